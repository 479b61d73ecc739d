"""A loader of rules, and snapshots to load into it."""

from collections.abc import Callable
from typing import Any

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_service.core.matching import HostRules
from stepguard_service.core.model import (
    Access,
)
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.stores.keys import KeyStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.rules_loader import RulesLoader

from tests.support.resources import HOST, compiled, match, policy, policy_spec, rule

OTHER = "other.example.com"

UNKNOWN = b"\xc0\x3e\x01"
"""A field that only a later version knows: number 1000, varint 1."""

Fault = Callable[[pb.HostTable], None]


class Loaded:
    """A loader with its stores."""

    def __init__(self) -> None:
        self.rules = RuleStore()
        self.keys = KeyStore(parse_jwk_set)
        self.applied = 0
        self.loader = RulesLoader(self.rules, self.keys, on_applied=self._count)

    def _count(self) -> None:
        self.applied += 1

    def host(self, name: str = HOST) -> HostRules:
        """The rules in force for a host."""
        assert self.rules.current is not None
        found = self.rules.current.find(name)
        assert found is not None
        return found

    def accesses(self, name: str = HOST) -> dict[str, Access]:
        """The access of each rule of a host."""
        return {entry.rule.name: entry.rule.access for entry in self.host(name).entries}


def two_policies(**fields: Any) -> pb.PolicySnapshot:
    """One policy on each of two hosts; `fields` are of the first."""
    payments = policy("bank/payments", policy_spec(rule("a", match("/a")), rule("b", match("/b")), **fields))
    other = policy("shop/other", policy_spec(hosts=[OTHER]))
    return compiled(payments, other).snapshot


def edited(snapshot: pb.PolicySnapshot, table: pb.HostTable) -> pb.PolicySnapshot:
    """The snapshot with another table for one host."""
    for entry in snapshot.host_tables:
        if entry.pattern == table.pattern:
            entry.table = table.SerializeToString()
            entry.hash = "edited"
    return snapshot


def table_of(snapshot: pb.PolicySnapshot, host: str = HOST) -> pb.HostTable:
    """One host's table."""
    return next(pb.HostTable.FromString(one.table) for one in snapshot.host_tables if one.pattern == host)


def bad_expression(table: pb.HostTable) -> None:
    """A condition that this replica cannot compile."""
    table.policies[0].rules[0].when = "later.function()"
