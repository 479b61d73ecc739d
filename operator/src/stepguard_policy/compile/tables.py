"""Host tables: all policies of one host pattern, their candidates in walking order."""

from collections.abc import Sequence
from dataclasses import dataclass

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.bind import Bound
from stepguard_policy.compile.draft import HostSettings, Route
from stepguard_policy.compile.host_table import host_table
from stepguard_policy.compile.lint import conditions_that_clients_choose
from stepguard_policy.compile.matches import PathSettings
from stepguard_policy.compile.verdicts import Finding, Ref
from stepguard_policy.encode import encode, table_hash

_NOTHING_SET = HostSettings(PathSettings(False, False, False), ("https", 0, ""), None)  # noqa: FBT003 three plain flags


@dataclass(frozen=True, slots=True)
class Table:
    """A finished entry of the snapshot, and what is worth saying about its rules."""

    entry: pb.HostTableEntry
    warnings: tuple[tuple[Ref, Finding], ...]


def build_table(pattern: str, policies: Sequence[Bound]) -> Table:
    """The table of a pattern; `policies` come oldest first. Without policies it denies every request."""
    candidates = sorted(
        ((index, route) for index, bound in enumerate(policies) for route in bound.routes),
        key=_walking_order,
    )
    table = host_table(
        pattern,
        policies[0].settings if policies else _NOTHING_SET,
        [bound.message for bound in policies],
        candidates,
        sorted({header for bound in policies for header in bound.identity_headers}),
    )
    encoded = encode(table)
    entry = pb.HostTableEntry(pattern=pattern, hash=table_hash(encoded), table=encoded)
    return Table(entry, tuple(_warnings(policies, candidates)))


def _walking_order(candidate: tuple[int, Route]) -> tuple[object, ...]:
    policy, route = candidate
    return route.key.order, not route.conditional, policy, route.rule


def _warnings(policies: Sequence[Bound], candidates: Sequence[tuple[int, Route]]) -> list[tuple[Ref, Finding]]:
    if not any(route.conditional for _, route in candidates):
        return []
    described = [
        (bound.ref, bound.message.rules[route.rule], bound.rule_fields[route.rule], route)
        for bound, route in ((policies[index], route) for index, route in candidates)
    ]
    return list(conditions_that_clients_choose(described))
