"""A draft together with the TokenIssuers it refers to: everything that a policy contributes, and its hash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.draft import Draft, HostSettings, Route
from stepguard_policy.compile.host_table import host_table
from stepguard_policy.compile.issuers import IssuerInForce, Issuers
from stepguard_policy.compile.matches import MatchKey
from stepguard_policy.compile.metadata import render_metadata
from stepguard_policy.compile.reasons import RefsReason
from stepguard_policy.compile.verdicts import Finding, Ref
from stepguard_policy.encode import digest, encode
from stepguard_policy.resources import Mode, NonceMode, ReplayMode, StepUpPolicySpec, UpstreamAuthorization

_MODE = {Mode.ENFORCE: pb.MODE_ENFORCE, Mode.AUDIT: pb.MODE_AUDIT}
_AUTHORIZATION = {
    UpstreamAuthorization.KEEP: pb.UPSTREAM_AUTHORIZATION_KEEP,
    UpstreamAuthorization.BEARER: pb.UPSTREAM_AUTHORIZATION_BEARER,
    UpstreamAuthorization.REMOVE: pb.UPSTREAM_AUTHORIZATION_REMOVE,
}


@dataclass(frozen=True, slots=True)
class Refs:
    """The usable TokenIssuers of a policy, by name, as (name, issuer); why others are left out."""

    usable: tuple[tuple[str, str], ...]
    problems: tuple[tuple[RefsReason, Finding], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """What one policy contributes to each of its hosts. Equal hashes mean equal contributions."""

    ref: Ref
    hosts: tuple[str, ...]
    settings: HostSettings
    message: pb.Policy
    routes: tuple[Route, ...]
    """In walking order."""
    certain: Mapping[MatchKey, Route]
    """Those without a condition."""
    rule_fields: tuple[str, ...]
    identity_headers: tuple[str, ...]
    hash: str


def resolve_refs(spec: StepUpPolicySpec, namespace: str, issuers: Issuers) -> Refs:
    """Look up each reference. Of two that exclude each other the first in the list stays."""
    usable: dict[str, IssuerInForce] = {}
    problems: list[tuple[RefsReason, Finding]] = []
    for index, ref in enumerate(spec.issuer_refs or ()):
        found = _resolve(ref.name, namespace, issuers, usable)
        if isinstance(found, IssuerInForce):
            usable[ref.name] = found
        else:
            reason, message = found
            problems.append((reason, Finding(f"spec.issuerRefs[{index}]", message)))
    return Refs(
        tuple(sorted((name, issuer.message.issuer) for name, issuer in usable.items())),
        tuple(problems),
    )


def _resolve(
    name: str, namespace: str, issuers: Issuers, usable: dict[str, IssuerInForce]
) -> IssuerInForce | tuple[RefsReason, str]:
    if name not in issuers.by_name:
        return RefsReason.ISSUER_NOT_FOUND, f"there is no TokenIssuer {name}"
    issuer = issuers.by_name[name]
    if issuer is None:
        return RefsReason.ISSUER_NOT_ACCEPTED, f"TokenIssuer {name} is not valid"
    if not issuer.serves(namespace):
        return RefsReason.ISSUER_NOT_ALLOWED, f"TokenIssuer {name} is not for namespace {namespace}"
    for other, present in usable.items():
        if issuer.message.issuer == present.message.issuer:
            return RefsReason.ISSUERS_AMBIGUOUS, f"TokenIssuers {other} and {name} have the same issuer"
        if issuer.message.HasField("introspection") and present.message.HasField("introspection"):
            return RefsReason.ISSUERS_AMBIGUOUS, f"TokenIssuers {other} and {name} both have introspection"
    return issuer


def bind_policy(ref: Ref, draft: Draft, usable: Sequence[tuple[str, str]]) -> Bound:
    """Compile a draft without fault."""
    message = _message(ref, draft, usable)
    routes = tuple(sorted(draft.routes, key=lambda route: (route.key.order, not route.conditional, route.rule)))
    return Bound(
        ref,
        draft.hosts,
        draft.settings,
        message,
        routes,
        {route.key: route for route in routes if not route.conditional},
        draft.rule_fields,
        tuple(claim.header for claim in message.upstream.claims),
        _hash(message, draft, routes),
    )


def _hash(message: pb.Policy, draft: Draft, routes: Sequence[Route]) -> str:
    """Over all that is compiled from the policy: the table it would have alone on a host, and its hosts."""
    alone = host_table("", draft.settings, [message], ((0, route) for route in routes), ())
    return digest(encode(alone), *(host.encode() for host in sorted(draft.hosts)))


def _message(ref: Ref, draft: Draft, usable: Sequence[tuple[str, str]]) -> pb.Policy:
    spec = draft.spec
    message = pb.Policy(
        name=str(ref),
        mode=_MODE[spec.mode],
        issuers=[name for name, _ in usable],
        audiences=sorted(spec.audiences or ()),
        dpop=_dpop(spec),
        upstream=_upstream(spec),
        rules=draft.rules,
    )
    if spec.protected_resource_metadata is not None:
        authenticated = [rule for rule in draft.rules if rule.access == pb.ACCESS_AUTHENTICATED]
        rendered = render_metadata(
            spec,
            spec.protected_resource_metadata,
            authorization_servers=[issuer for _, issuer in usable],
            dpop_only=bool(authenticated) and all(rule.require.dpop_required for rule in authenticated),
            paths=draft.settings.paths,
        )
        message.resource_metadata.CopyFrom(rendered)
    return message


def _dpop(spec: StepUpPolicySpec) -> pb.DpopSettings:
    return pb.DpopSettings(
        algorithms=spec.dpop.algorithms,
        proof_max_age_seconds=spec.dpop.proof_max_age,
        clock_skew_seconds=spec.dpop.clock_skew,
        nonce_required=spec.dpop.nonce is NonceMode.REQUIRED,
        skip_replay=spec.dpop.replay is ReplayMode.SKIP,
    )


def _upstream(spec: StepUpPolicySpec) -> pb.Upstream:
    claims = sorted(spec.upstream.claims or (), key=lambda claim: claim.header)
    return pb.Upstream(
        authorization=_AUTHORIZATION[spec.upstream.authorization],
        claims=[pb.ClaimHeader(claim=claim.claim, header=claim.header) for claim in claims],
    )
