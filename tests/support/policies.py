"""Policies, rules and hosts as the service's core sees them, in few words, for pure tests.

The one issuer is that of `tests.support.tokens`; its keys are given inline.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stepguard_service.core.matching import HostRules, HostTable, RuleSet, RuleSetBuilder, index
from stepguard_service.core.model import (
    Access,
    Candidate,
    Condition,
    ConditionInput,
    DpopSettings,
    InlineKeys,
    Issuer,
    Mode,
    Origin,
    PathType,
    Policy,
    Request,
    Requirement,
    Rule,
)

from tests.support.tokens import AUDIENCE, ISSUER

HOST: Final = "api.example.com"
ALGORITHMS: Final = ("ES256", "EdDSA")


def issuer(**fields: Any) -> Issuer:
    """The TokenIssuer `main`; its hash changes with its fields."""
    given: dict[str, Any] = {
        "name": "main",
        "issuer": ISSUER,
        "audiences": frozenset({AUDIENCE}),
        "keys": InlineKeys('{"keys": []}'),
        "algorithms": frozenset({"ES256", "RS256", "EdDSA"}),
        "token_types": frozenset({"at+jwt"}),
        "clock_skew": 5,
        "required_claims": ("exp", "sub"),
        **fields,
    }
    return Issuer(hash=str(hash(tuple(sorted((name, str(value)) for name, value in given.items())))), **given)


def policy(name: str = "bank/payments", *, issuers: Sequence[Issuer] | None = None, **fields: Any) -> Policy:
    """A policy that trusts `issuers`, by default the one of `issuer()`."""
    trusted = [issuer()] if issuers is None else issuers
    opaque = next((one for one in trusted if one.introspection is not None), None)
    given: dict[str, Any] = {
        "mode": Mode.ENFORCE,
        "issuers": {one.issuer: one for one in trusted},
        "audiences": frozenset(),
        "dpop": DpopSettings(ALGORITHMS),
        "origin": Origin(),
        "opaque_issuer": opaque,
        **fields,
    }
    return Policy(name=name, **given)


def dpop_settings(**fields: Any) -> DpopSettings:
    """The default settings but for these."""
    return replace(DpopSettings(ALGORITHMS), **fields)


@dataclass(frozen=True)
class When:
    """A condition that is what a Python function makes of its input; None is a condition that fails."""

    holds: Callable[[ConditionInput], bool | None]
    mentions_claims: bool = False
    seen: list[ConditionInput] = field(default_factory=list)

    def evaluate(self, given: ConditionInput) -> bool | None:
        """As the function says."""
        self.seen.append(given)
        return self.holds(given)


def rule(
    name: str = "everything",
    of: Policy | None = None,
    *,
    access: Access = Access.AUTHENTICATED,
    when: Condition | None = None,
    **require: Any,
) -> Rule:
    """A rule of a policy; further fields are its requirement."""
    return Rule(name, of or policy(), access, Requirement(**require), when)


def candidate(of: Rule, path: str = "/", method: str = "", *, kind: PathType = PathType.PREFIX) -> Candidate:
    """One match of a rule; by default it is about every request."""
    return Candidate(kind, path, method, of)


def exact(of: Rule, path: str, method: str = "") -> Candidate:
    """A match of exactly one path."""
    return candidate(of, path, method, kind=PathType.EXACT)


def template(of: Rule, path: str, method: str = "") -> Candidate:
    """A match of a template."""
    return candidate(of, path, method, kind=PathType.TEMPLATE)


def host_rules(*candidates: Candidate, pattern: str = HOST, **fields: Any) -> HostRules:
    """The rules of a host; its policies, oldest first, are those of the candidates unless they are given."""
    policies = {id(one.rule.policy): one.rule.policy for one in candidates}
    given: dict[str, Any] = {"policies": tuple(policies.values()), **fields}
    return index(HostTable(pattern=pattern, candidates=candidates, **given))


def rule_set(*hosts: HostRules, identity_headers: Iterable[str] = ()) -> RuleSet:
    """All of them in force."""
    builder = RuleSetBuilder()
    for one in hosts:
        builder.add(one)
    return builder.finish(identity_headers=identity_headers)


def request(
    method: str = "GET",
    target: str = "/accounts",
    headers: Mapping[str, str] | None = None,
    *,
    authority: str = HOST,
    id: str = "1001",  # noqa: A002 - the field's name
    certificate: str = "",
) -> Request:
    """A request as Envoy describes one."""
    return Request(id, method, authority, target, dict(headers or {}), certificate)
