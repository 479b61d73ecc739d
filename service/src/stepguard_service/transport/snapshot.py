"""One host table of a PolicySnapshot as the core's types.

A restriction that this version does not understand must not be dropped (docs/architecture.md, section 1, *Skew*): a
rule with an unknown field or enum number, or one that cannot be compiled, becomes Denied. Where it cannot be told
which requests are meant, the whole table denies. Both are reported for the policies they concern.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Final

from google.protobuf.message import DecodeError
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.expressions import Expression, ExpressionError, compile_expression

from stepguard_service.core.matching import HostTable
from stepguard_service.core.model import (
    Access,
    Candidate,
    ClaimHeader,
    Condition,
    ConditionInput,
    DpopSettings,
    Issuer,
    Mode,
    Origin,
    PathMatching,
    PathType,
    Policy,
    Requirement,
    ResourceMetadata,
    Rule,
    UpstreamAuthorization,
)
from stepguard_service.transport.schema import NotUnderstoodError, chosen, has_unknown

_MODES: Final = {pb.MODE_ENFORCE: Mode.ENFORCE, pb.MODE_AUDIT: Mode.AUDIT}
_ACCESS: Final = {
    pb.ACCESS_AUTHENTICATED: Access.AUTHENTICATED,
    pb.ACCESS_ANONYMOUS: Access.ANONYMOUS,
    pb.ACCESS_DENIED: Access.DENIED,
}
_AUTHORIZATION: Final = {
    pb.UPSTREAM_AUTHORIZATION_KEEP: UpstreamAuthorization.KEEP,
    pb.UPSTREAM_AUTHORIZATION_BEARER: UpstreamAuthorization.BEARER,
    pb.UPSTREAM_AUTHORIZATION_REMOVE: UpstreamAuthorization.REMOVE,
}
_PATH_TYPES: Final = {
    pb.PATH_TYPE_EXACT: PathType.EXACT,
    pb.PATH_TYPE_TEMPLATE: PathType.TEMPLATE,
    pb.PATH_TYPE_PREFIX: PathType.PREFIX,
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """All policies of one host pattern, and what else is to know about them."""

    table: HostTable
    references: frozenset[str]
    """Names of the TokenIssuers that it mentions, whether or not they are in force."""
    problems: Mapping[str, str]
    """Policy → why some of its rules are Denied here."""


def decode_table(entry: pb.HostTableEntry, issuers: Mapping[str, Issuer]) -> Decoded:
    """The table, whatever is in it: what is not understood denies. `issuers` are those in force, by name."""
    try:
        message = pb.HostTable.FromString(entry.table)
    except DecodeError:
        return Decoded(HostTable(entry.pattern), frozenset(), {})
    try:
        return _Decoder(message, issuers).decode(entry.pattern)
    except NotUnderstoodError as error:
        policies = tuple(_denied_policy(policy.name) for policy in message.policies)
        table = HostTable(entry.pattern, policies=policies)
        return Decoded(table, frozenset(), {policy.name: str(error) for policy in policies})


def _denied_policy(name: str) -> Policy:
    return Policy(
        name=name,
        mode=Mode.ENFORCE,
        issuers={},
        audiences=frozenset(),
        dpop=DpopSettings(algorithms=()),
        origin=Origin(),
    )


_SHARED: Final = 1024
"""Hosts say much the same: what is equal is one object for all of them, in memory and in the processor's caches."""

_requirement = lru_cache(_SHARED)(Requirement)
_dpop_settings = lru_cache(_SHARED)(DpopSettings)
_path_matching = lru_cache(_SHARED)(PathMatching)


@lru_cache(_SHARED)
def _strings(*members: str) -> frozenset[str]:
    return frozenset(members)


class _Decoder:
    """Decodes one HostTable. What raises NotUnderstoodError outside of a policy makes the whole table deny."""

    def __init__(self, message: pb.HostTable, issuers: Mapping[str, Issuer]) -> None:
        self._message = message
        self._issuers = issuers
        self._all_known = not has_unknown(message)
        self._problems: dict[str, str] = {}

    def decode(self, pattern: str) -> Decoded:
        message = self._message
        if message.pattern != pattern:
            raise NotUnderstoodError("the table is of another host pattern than it says")
        if not self._all_known and has_unknown(message, "policies"):
            raise NotUnderstoodError("the table has fields that this version does not know")
        origin = _origin(message.origin) if message.HasField("origin") else Origin()
        decoded = [self._policy(policy, origin) for policy in message.policies]
        table = HostTable(
            pattern=pattern,
            path_matching=_path_matching(
                ignore_case=message.path_matching.ignore_case,
                keep_encoded_slashes=message.path_matching.keep_encoded_slashes,
                drop_parameters=message.path_matching.drop_parameters,
            ),
            policies=tuple(policy for policy, _ in decoded),
            candidates=tuple(_candidate(candidate, decoded) for candidate in message.candidates),
            allow_origins=_strings(*message.cors.allow_origins),
            identity_headers=_strings(*message.identity_headers),
        )
        references = frozenset(name for policy in message.policies for name in policy.issuers)
        return Decoded(table, references, self._problems)

    def _policy(self, message: pb.Policy, origin: Origin) -> tuple[Policy, Sequence[Rule]]:
        try:
            if not self._all_known and has_unknown(message, "rules"):
                raise NotUnderstoodError("the policy has fields that this version does not know")  # noqa: TRY301 - one way out
            policy = _policy(message, origin, self._issuers)
        except NotUnderstoodError as error:
            self._problems[message.name] = str(error)
            policy = _denied_policy(message.name)
            return policy, [Rule(rule.name, policy, Access.DENIED) for rule in message.rules]
        return policy, [self._rule(rule, policy) for rule in message.rules]

    def _rule(self, message: pb.Rule, policy: Policy) -> Rule:
        try:
            if not self._all_known and has_unknown(message):
                raise NotUnderstoodError("it has fields that this version does not know")  # noqa: TRY301 - one way out
            return _rule(message, policy)
        except NotUnderstoodError as error:
            self._problems.setdefault(policy.name, f"rule {message.name}: {error}")
            return Rule(message.name, policy, Access.DENIED)


def _origin(message: pb.Origin) -> Origin:
    match message.scheme:
        case "https" | "http" as scheme:
            return Origin(scheme=scheme, port=message.port, host=message.host)
        case _:
            raise NotUnderstoodError("the origin has a scheme that this version does not know")


def _candidate(message: pb.Candidate, decoded: Sequence[tuple[Policy, Sequence[Rule]]]) -> Candidate:
    try:
        rule = decoded[message.policy][1][message.rule]
    except IndexError:
        raise NotUnderstoodError("a candidate names a rule that is not there") from None
    path_type = chosen(_PATH_TYPES, message.path_type, what="the type of a path")
    return Candidate(path_type=path_type, path=intern(message.path), method=intern(message.method), rule=rule)


def _policy(message: pb.Policy, origin: Origin, issuers: Mapping[str, Issuer]) -> Policy:
    named = [issuers[name] for name in message.issuers if name in issuers]
    if len({issuer.issuer for issuer in named}) < len(named):
        raise NotUnderstoodError("two of its TokenIssuers have one issuer")
    upstream = message.upstream
    return Policy(
        name=message.name,
        mode=chosen(_MODES, message.mode, what="the mode"),
        issuers={issuer.issuer: issuer for issuer in named},
        audiences=_strings(*message.audiences),
        dpop=_dpop(message.dpop),
        origin=origin,
        opaque_issuer=next((issuer for issuer in named if issuer.introspection is not None), None),
        authorization=(
            chosen(_AUTHORIZATION, upstream.authorization, what="upstream.authorization")
            if message.HasField("upstream")
            else UpstreamAuthorization.KEEP
        ),
        claim_headers=tuple(ClaimHeader(claim=one.claim, header=one.header) for one in upstream.claims),
        resource_metadata=_metadata(message.resource_metadata) if message.HasField("resource_metadata") else None,
    )


def _dpop(message: pb.DpopSettings) -> DpopSettings:
    return _dpop_settings(
        algorithms=tuple(message.algorithms),
        proof_max_age=message.proof_max_age_seconds,
        clock_skew=message.clock_skew_seconds,
        nonce_required=message.nonce_required,
        skip_replay=message.skip_replay,
    )


def _metadata(message: pb.ResourceMetadata) -> ResourceMetadata:
    try:
        document = message.document.decode()
    except UnicodeDecodeError:
        raise NotUnderstoodError("its metadata document is not UTF-8") from None
    return ResourceMetadata(path=message.path, url=message.url, document=document)


def _rule(message: pb.Rule, policy: Policy) -> Rule:
    return Rule(
        name=message.name,
        policy=policy,
        access=chosen(_ACCESS, message.access, what="its access"),
        require=_requirement(
            dpop_required=message.require.dpop_required,
            acr_values=tuple(message.require.acr_values),
            max_age=message.require.max_age_seconds or None,
            scopes=tuple(message.require.scopes),
        ),
        condition=_condition(message) if message.when else None,
    )


def _condition(message: pb.Rule) -> Condition:
    compiled = compile_expression(message.when)
    if isinstance(compiled, ExpressionError):
        raise NotUnderstoodError(f"its `when` does not compile here: {compiled.message}")
    if compiled.mentions_claims and message.access != pb.ACCESS_AUTHENTICATED:
        raise NotUnderstoodError("its `when` mentions claims, and nobody has any without authentication")
    return _Compiled(compiled)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The policy language's expression as the core's Condition."""

    expression: Expression

    @property
    def mentions_claims(self) -> bool:
        return self.expression.mentions_claims

    def evaluate(self, given: ConditionInput) -> bool | None:
        return self.expression.evaluate(
            method=given.method,
            path=given.path,
            host=given.host,
            query=given.query,
            headers=given.headers,
            params=given.params,
            claims=given.claims,
        )
