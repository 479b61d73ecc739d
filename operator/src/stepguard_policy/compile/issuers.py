"""TokenIssuers: from spec to message, which generation is in force, and who may refer to it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.inline_keys import check_certificates, check_key
from stepguard_policy.compile.memo import Memo
from stepguard_policy.compile.reasons import AcceptedReason
from stepguard_policy.compile.verdicts import Finding, Ref, Verdict, join_findings, ref_of, spec_findings
from stepguard_policy.encode import digest, encode
from stepguard_policy.resources import IntrospectionUse, IssuerResource, TokenIssuerSpec

EVERY_NAMESPACE = "*"
DEFAULT_REFRESH_SECONDS = 600


@dataclass(frozen=True, slots=True)
class IssuerDraft:
    """One spec of one TokenIssuer: what it compiles to, and what is wrong with it."""

    message: pb.Issuer
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class IssuerInForce:
    """The generation of a TokenIssuer that is in the snapshot."""

    message: pb.Issuer
    namespaces: tuple[frozenset[str], ...]
    """A policy's namespace must be in each of them."""

    def serves(self, namespace: str) -> bool:
        """Whether policies of this namespace may refer to it."""
        return all(EVERY_NAMESPACE in allowed or namespace in allowed for allowed in self.namespaces)


@dataclass(frozen=True, slots=True)
class Issuers:
    """All TokenIssuers: those in force by name, None where one exists without ever having been valid."""

    by_name: Mapping[str, IssuerInForce | None]
    verdicts: Mapping[Ref, Verdict]


Drafts = Memo[tuple[str, str], IssuerDraft]


def compile_issuers(resources: Iterable[IssuerResource], drafts: Drafts) -> Issuers:
    """Of each TokenIssuer the spec if it is valid, else the last accepted one if that is."""
    by_name: dict[str, IssuerInForce | None] = {}
    verdicts = {}
    for resource in resources:
        by_name[resource.name], verdicts[ref_of(resource)] = _compile(resource, drafts)
    return Issuers(by_name, verdicts)


def _compile(resource: IssuerResource, drafts: Drafts) -> tuple[IssuerInForce | None, Verdict]:
    spec, accepted = resource.spec, resource.accepted
    draft = None if spec is None else _draft(resource.name, "spec", spec, drafts)
    if draft is not None and spec is not None and not draft.findings:
        accepts_new = accepted is None or accepted.generation != resource.generation
        return IssuerInForce(draft.message, _namespaces(spec)), Verdict(
            accepted=True,
            reason=AcceptedReason.ACCEPTED,
            message="",
            serving_generation=resource.generation,
            policy_hash=draft.message.hash,
            accepts_new=accepts_new,
        )
    findings = spec_findings(resource) if draft is None else draft.findings
    former = None if accepted is None else _draft(resource.name, "accepted", accepted.spec, drafts)
    if accepted is None or former is None or former.findings:
        return None, _refused(findings)
    # Trust that the new spec takes away ends now, whatever else is wrong with it.
    namespaces = _namespaces(accepted.spec) + (() if spec is None else _namespaces(spec))
    verdict = replace(_refused(findings), serving_generation=accepted.generation, policy_hash=former.message.hash)
    return IssuerInForce(former.message, namespaces), verdict


def _refused(findings: tuple[Finding, ...]) -> Verdict:
    return Verdict(accepted=False, reason=AcceptedReason.INVALID, message=join_findings(findings), findings=findings)


def _namespaces(spec: TokenIssuerSpec) -> tuple[frozenset[str], ...]:
    return (frozenset(spec.namespaces),)


def _draft(name: str, slot: str, spec: TokenIssuerSpec, drafts: Drafts) -> IssuerDraft:
    return drafts.get((name, slot), (spec,), lambda: IssuerDraft(_message(name, spec), tuple(_check(spec))))


def _check(spec: TokenIssuerSpec) -> Iterable[Finding]:
    for index, key in enumerate(spec.jwks.keys or ()):
        if (problem := check_key(key)) is not None:
            yield Finding(f"spec.jwks.keys[{index}]", problem)
    if spec.ca_bundle is not None and (problem := check_certificates(spec.ca_bundle)) is not None:
        yield Finding("spec.caBundle", problem)


def _message(name: str, spec: TokenIssuerSpec) -> pb.Issuer:
    message = pb.Issuer(
        name=name,
        issuer=spec.issuer,
        audiences=sorted(spec.audiences),
        keys=_keys(spec),
        algorithms=spec.algorithms,
        token_types=sorted({token_type.lower() for token_type in spec.token_types}),
        clock_skew_seconds=spec.clock_skew,
        required_claims=sorted({"exp", *spec.required_claims}),
        introspection=_introspection(spec),
        ca_bundle=spec.ca_bundle or "",
    )
    message.hash = digest(encode(message))
    return message


def _keys(spec: TokenIssuerSpec) -> pb.KeySource:
    if spec.jwks.keys is not None:
        keys = [key.to_object() for key in spec.jwks.keys]
        return pb.KeySource(inline_jwks=json.dumps({"keys": keys}, separators=(",", ":"), sort_keys=True))
    refresh = spec.jwks.refresh_interval or DEFAULT_REFRESH_SECONDS
    if spec.jwks.uri is not None:
        return pb.KeySource(jwks_uri=spec.jwks.uri, refresh_interval_seconds=refresh)
    return pb.KeySource(discovery=True, refresh_interval_seconds=refresh)


def _introspection(spec: TokenIssuerSpec) -> pb.Introspection | None:
    lookup = spec.introspection
    if lookup is None:
        return None
    return pb.Introspection(
        endpoint=lookup.endpoint,
        client_id=lookup.client_id,
        secret_name=lookup.client_secret_ref.name,
        secret_key=lookup.client_secret_ref.key,
        always=lookup.use is IntrospectionUse.ALWAYS,
        cache_ttl_seconds=lookup.cache_ttl,
        required_claims=sorted(lookup.required_claims),
    )
