"""Resources for tests of the compiler, in few words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import Compiled, CompileOptions, Ref, Verdict, compile_resources
from stepguard_policy.resources import (
    Accepted,
    IssuerResource,
    PolicyResource,
    Resource,
    StepUpPolicySpec,
    TokenIssuerSpec,
)

HOST = "api.example.com"
DAY = 86_400.0


def match(path: str, *methods: str, kind: str = "Exact") -> dict[str, Any]:
    """One match."""
    methods_given = {"methods": list(methods)} if methods else {}
    return {"path": {"type": kind, "value": path}, **methods_given}


def rule(name: str = "all", *matches: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A rule; without matches it is about every path."""
    return {"name": name, "matches": list(matches) or [match("/", kind="PathPrefix")], **fields}


def policy_spec(
    *rules: Mapping[str, Any], hosts: Sequence[str] = (HOST,), issuers: Sequence[str] = ("main",), **fields: Any
) -> StepUpPolicySpec:
    """The spec of a policy; without rules it has one about every path."""
    refs = {"issuerRefs": [{"name": name} for name in issuers]} if issuers else {}
    return StepUpPolicySpec.model_validate(
        {"hosts": list(hosts), **refs, "rules": list(rules) or [rule()], **fields}, by_alias=True
    )


def policy(
    name: str = "bank/payments",
    spec: StepUpPolicySpec | None = None,
    *,
    day: float = 1,
    generation: int = 1,
    accepted: StepUpPolicySpec | None = None,
    accepted_generation: int | None = None,
) -> PolicyResource:
    """A policy created on a day. With `accepted` its status has that spec, of the generation before."""
    namespace, _, own_name = name.partition("/")
    former = generation - 1 if accepted_generation is None else accepted_generation
    return PolicyResource(
        namespace=namespace,
        name=own_name,
        uid=f"uid of {name}",
        generation=generation,
        created=day * DAY,
        spec=spec or policy_spec(),
        accepted=None if accepted is None else Accepted(former, accepted),
    )


def accepted(resource: PolicyResource) -> PolicyResource:
    """The same policy once its current spec was accepted."""
    assert resource.spec is not None
    return replace(resource, accepted=Accepted(resource.generation, resource.spec))


def issuer_spec(issuer: str = "https://as.example", **fields: Any) -> TokenIssuerSpec:
    """The spec of a TokenIssuer."""
    return TokenIssuerSpec.model_validate(
        {"issuer": issuer, "audiences": ["https://api.example.com"], **fields}, by_alias=True
    )


def issuer(name: str = "main", spec: TokenIssuerSpec | None = None, *, generation: int = 1) -> IssuerResource:
    """A TokenIssuer."""
    return IssuerResource(name=name, uid=f"uid of {name}", generation=generation, spec=spec or issuer_spec())


INTROSPECTION = {
    "endpoint": "https://as.example/introspect",
    "clientId": "stepguard",
    "clientSecretRef": {"name": "as-client", "key": "secret"},
}


def compiled(*resources: Resource, **options: Any) -> Compiled:
    """Compile with the TokenIssuer `main`, unless another of that name is given."""
    given = list(resources)
    if not any(isinstance(one, IssuerResource) for one in given):
        given.append(issuer())
    return compile_resources(given, CompileOptions(**options))


def verdict_on(result: Compiled, name: str) -> Verdict:
    """The verdict on a policy, `namespace/name`, or on a TokenIssuer."""
    namespace, slash, own_name = name.partition("/")
    ref = Ref("StepUpPolicy", namespace, own_name) if slash else Ref("TokenIssuer", "", name)
    return result.verdicts[ref]


def tables(result: Compiled) -> dict[str, pb.HostTable]:
    """The decoded host tables by pattern."""
    return {entry.pattern: pb.HostTable.FromString(entry.table) for entry in result.snapshot.host_tables}


def served_by(result: Compiled) -> dict[str, list[str]]:
    """Which policies serve each host pattern, oldest first; an empty list where every request is denied."""
    return {pattern: [one.name for one in table.policies] for pattern, table in tables(result).items()}


def walk(table: pb.HostTable) -> list[str]:
    """The candidates of a table in walking order, as `rule METHOD path`."""
    return [
        " ".join(filter(None, (table.policies[one.policy].rules[one.rule].name, one.method, one.path)))
        for one in table.candidates
    ]
