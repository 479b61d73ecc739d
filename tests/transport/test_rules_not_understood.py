"""What a replica does not understand denies: a rule, a policy, a host, or the whole snapshot."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_service.core.model import (
    Access,
    Mode,
)

from tests.support.loading import OTHER, UNKNOWN, Fault, Loaded, bad_expression, edited, table_of, two_policies
from tests.support.resources import HOST


@pytest.fixture
def loaded() -> Loaded:
    """Nothing is in force yet."""
    return Loaded()


def test_a_rule_with_an_unknown_field_is_denied(loaded: Loaded) -> None:
    """It may be a restriction; the other rules serve, and its policy says why."""
    snapshot = two_policies()
    table = table_of(snapshot)
    table.policies[0].rules[0].MergeFromString(UNKNOWN)
    assert loaded.loader.apply(edited(snapshot, table)) is None
    assert loaded.accesses() == {"a": Access.DENIED, "b": Access.AUTHENTICATED}
    assert loaded.loader.in_force is not None
    assert loaded.loader.in_force.problems == {"bank/payments": "rule a: it has fields that this version does not know"}


def test_a_requirement_with_an_unknown_field_denies_its_rule(loaded: Loaded) -> None:
    """However deep it is."""
    snapshot = two_policies()
    table = table_of(snapshot)
    table.policies[0].rules[1].require.MergeFromString(UNKNOWN)
    loaded.loader.apply(edited(snapshot, table))
    assert loaded.accesses() == {"a": Access.AUTHENTICATED, "b": Access.DENIED}


def unknown_access(table: pb.HostTable) -> None:
    """An enum number of later."""
    table.policies[0].rules[0].access = 99  # type: ignore[assignment]


def no_access(table: pb.HostTable) -> None:
    """Nothing said at all."""
    table.policies[0].rules[0].ClearField("access")


def claims_without_authentication(table: pb.HostTable) -> None:
    """A condition that could never be evaluated."""
    table.policies[0].rules[0].access = pb.ACCESS_ANONYMOUS
    table.policies[0].rules[0].when = "claims.sub == 'a'"


RULES = [unknown_access, no_access, bad_expression, claims_without_authentication]


@pytest.mark.parametrize("fault", RULES, ids=[str(fault.__doc__) for fault in RULES])
def test_a_rule_that_cannot_be_understood_is_denied_alone(loaded: Loaded, fault: Fault) -> None:
    """The rest of its policy serves."""
    snapshot = two_policies()
    table = table_of(snapshot)
    fault(table)
    assert loaded.loader.apply(edited(snapshot, table)) is None
    assert loaded.accesses() == {"a": Access.DENIED, "b": Access.AUTHENTICATED}
    assert loaded.loader.in_force is not None
    assert loaded.loader.in_force.problems["bank/payments"].startswith("rule a: ")


def unknown_candidate_field(table: pb.HostTable) -> None:
    """A match with a field of later."""
    table.candidates[0].MergeFromString(UNKNOWN)


def unknown_path_type(table: pb.HostTable) -> None:
    """A match of a type of later."""
    table.candidates[0].path_type = 99  # type: ignore[assignment]


def unknown_table_field(table: pb.HostTable) -> None:
    """A table with a field of later."""
    table.MergeFromString(UNKNOWN)


def rule_that_is_not_there(table: pb.HostTable) -> None:
    """A match that names no rule."""
    table.candidates[0].rule = 17


def unknown_scheme(table: pb.HostTable) -> None:
    """An origin with a scheme of later."""
    table.origin.scheme = "coap"


TABLES = [unknown_candidate_field, unknown_path_type, unknown_table_field, rule_that_is_not_there, unknown_scheme]


@pytest.mark.parametrize("fault", TABLES, ids=[str(fault.__doc__) for fault in TABLES])
def test_a_table_of_which_nobody_knows_whom_it_is_about_denies_its_host(loaded: Loaded, fault: Fault) -> None:
    """Any request may be meant; other hosts are served as ever."""
    snapshot = two_policies()
    table = table_of(snapshot)
    fault(table)
    assert loaded.loader.apply(edited(snapshot, table)) is None
    assert loaded.accesses() == {}
    assert loaded.accesses(OTHER) == {"all": Access.AUTHENTICATED}
    assert loaded.loader.in_force is not None
    assert list(loaded.loader.in_force.problems) == ["bank/payments"]


def unknown_mode(table: pb.HostTable) -> None:
    """A mode of later."""
    table.policies[0].mode = 99  # type: ignore[assignment]


def unknown_policy_field(table: pb.HostTable) -> None:
    """A policy with a field of later."""
    table.policies[0].MergeFromString(UNKNOWN)


def unknown_dpop_field(table: pb.HostTable) -> None:
    """A setting of proofs of later."""
    table.policies[0].dpop.MergeFromString(UNKNOWN)


def unknown_upstream(table: pb.HostTable) -> None:
    """Something of later that is done with credentials."""
    table.policies[0].upstream.authorization = 99  # type: ignore[assignment]


POLICIES = [unknown_mode, unknown_policy_field, unknown_dpop_field, unknown_upstream]


@pytest.mark.parametrize("fault", POLICIES, ids=[str(fault.__doc__) for fault in POLICIES])
def test_a_policy_that_cannot_be_understood_denies_and_blocks(loaded: Loaded, fault: Fault) -> None:
    """All its rules are Denied, and it is no Audit policy, whatever it said."""
    snapshot = two_policies(mode="Audit")
    table = table_of(snapshot)
    fault(table)
    assert loaded.loader.apply(edited(snapshot, table)) is None
    assert loaded.accesses() == {"a": Access.DENIED, "b": Access.DENIED}
    assert loaded.host().mode is Mode.ENFORCE


def test_a_table_that_is_no_message_denies_its_host(loaded: Loaded) -> None:
    """Bytes of something else."""
    snapshot = two_policies()
    snapshot.host_tables[0].table = b"\xff"
    assert loaded.loader.apply(snapshot) is None
    assert loaded.accesses(snapshot.host_tables[0].pattern) == {}


TABLE = next(iter(two_policies().host_tables)).table


@given(st.integers(0, len(TABLE)), st.integers(0, 8), st.binary(max_size=8))
def test_any_table_comes_into_force(position: int, length: int, instead: bytes) -> None:
    """Any bytes in any place of a table give rules for its host, if only ones that deny; never an exception."""
    loaded = Loaded()
    table = TABLE[:position] + instead + TABLE[position + length :]
    entry = pb.HostTableEntry(pattern=HOST, hash="x", table=table)
    assert loaded.loader.apply(pb.PolicySnapshot(hash="h", host_tables=[entry])) is None
    assert Access.ANONYMOUS not in loaded.accesses().values() or b"\x10\x02" in table


def later_schema(snapshot: pb.PolicySnapshot) -> None:
    """A smallest schema version above ours."""
    snapshot.min_schema_version = 2


def unknown_snapshot_field(snapshot: pb.PolicySnapshot) -> None:
    """A field of later in the snapshot."""
    snapshot.MergeFromString(UNKNOWN)


def unknown_entry_field(snapshot: pb.PolicySnapshot) -> None:
    """A field of later beside a table."""
    snapshot.host_tables[0].MergeFromString(UNKNOWN)


def unknown_issuer_field(snapshot: pb.PolicySnapshot) -> None:
    """A field of later in an issuer."""
    snapshot.issuers[0].MergeFromString(UNKNOWN)


def unknown_introspection_field(snapshot: pb.PolicySnapshot) -> None:
    """A field of later deep in an issuer."""
    snapshot.issuers[0].introspection.MergeFromString(UNKNOWN)


def issuer_without_keys(snapshot: pb.PolicySnapshot) -> None:
    """An issuer whose keys are nowhere."""
    snapshot.issuers[0].ClearField("keys")
    snapshot.issuers[0].hash = "edited"


def issuer_twice(snapshot: pb.PolicySnapshot) -> None:
    """Two issuers of one name."""
    snapshot.issuers.append(snapshot.issuers[0])


def host_twice(snapshot: pb.PolicySnapshot) -> None:
    """Two tables for one host."""
    snapshot.host_tables.append(snapshot.host_tables[0])


def no_pattern(snapshot: pb.PolicySnapshot) -> None:
    """A table for something that is no host pattern."""
    snapshot.host_tables[0].pattern = "*x"


REFUSED: dict[Callable[[pb.PolicySnapshot], None], str] = {
    later_schema: "needs schema version 2, this replica has 1",
    unknown_snapshot_field: "fields that this version does not know",
    unknown_entry_field: "fields that this version does not know",
    unknown_issuer_field: "fields that this version does not know",
    unknown_introspection_field: "fields that this version does not know",
    issuer_without_keys: "the source of its keys is not known",
    issuer_twice: "two TokenIssuers are named main",
    host_twice: f"two host tables are for {HOST}",
    no_pattern: "pattern *x",
}


@pytest.mark.parametrize(("fault", "why"), REFUSED.items(), ids=[str(fault.__doc__) for fault in REFUSED])
def test_a_snapshot_that_cannot_be_understood_changes_nothing(
    loaded: Loaded, fault: Callable[[pb.PolicySnapshot], None], why: str
) -> None:
    """What is in force stays, all of it; the reason is one line."""
    loaded.loader.apply(two_policies())
    before, keys = loaded.rules.current, loaded.keys.states(time.monotonic())
    snapshot = two_policies(mode="Audit")
    fault(snapshot)
    reason = loaded.loader.apply(snapshot)
    assert reason is not None
    assert why in reason
    assert "\n" not in reason
    assert loaded.rules.current is before
    assert loaded.keys.states(time.monotonic()) == keys
    assert loaded.applied == 1
