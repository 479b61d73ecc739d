"""Putting snapshots in force: whole or not at all, reusing what did not change, never weaker than what they ask."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import SCHEMA_VERSION as COMPILED_SCHEMA_VERSION
from stepguard_policy.compile import snapshot_hash
from stepguard_service.core.matching import HostRules
from stepguard_service.core.model import (
    Access,
    ClaimHeader,
    ConditionInput,
    Discovery,
    DpopSettings,
    Introspection,
    JwksUri,
    Mode,
    Origin,
    PathMatching,
    PathType,
    Requirement,
    UpstreamAuthorization,
)
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.stores.keys import KeyStore
from stepguard_service.stores.replay_memory import MemoryReplayStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.report import Enforcement
from stepguard_service.transport.rules_loader import RulesLoader
from stepguard_service.transport.schema import SCHEMA_VERSION

from tests.support.resources import HOST, INTROSPECTION, compiled, issuer, issuer_spec, match, policy, policy_spec, rule

OTHER = "other.example.com"

GIVEN = ConditionInput("GET", "/a", HOST, {}, {}, {}, None)

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


@pytest.fixture
def loaded() -> Loaded:
    """Nothing is in force yet."""
    return Loaded()


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


def test_a_snapshot_comes_into_force_as_a_whole(loaded: Loaded) -> None:
    """Rules, issuers and the word that it happened."""
    snapshot = two_policies()
    assert loaded.loader.apply(snapshot) is None
    assert loaded.accesses() == {"a": Access.AUTHENTICATED, "b": Access.AUTHENTICATED}
    assert loaded.accesses(OTHER) == {"all": Access.AUTHENTICATED}
    assert loaded.loader.in_force is not None
    assert loaded.loader.in_force.hash == snapshot.hash == loaded.rules.current.hash  # type: ignore[union-attr]
    assert loaded.loader.in_force.policies == {one.name: one.hash for one in snapshot.policies}
    assert [state.name for state in loaded.keys.states(time.monotonic())] == ["main"]
    assert loaded.applied == 1


def test_every_part_of_a_policy_arrives(loaded: Loaded) -> None:
    """Each field where the core looks for it."""
    spec = policy_spec(
        rule(
            "all",
            match("/{id}", "GET", kind="Template"),
            require={"dpop": "Required", "acrValues": ["a", "b"], "maxAge": "5m", "scopes": ["s"]},
            when="request.method == 'GET'",
        ),
        audiences=["urn:narrow"],
        mode="Audit",
        origin={"host": "pay.example", "port": 8443},
        dpop={"algorithms": ["ES256"], "proofMaxAge": "30s", "clockSkew": "3s", "nonce": "Required", "replay": "Skip"},
        pathMatching={"ignoreCase": True, "encodedSlashes": "Keep", "parameters": "Drop"},
        cors={"allowOrigins": ["https://app.example"]},
        upstream={"authorization": "Bearer", "claims": [{"claim": "sub", "header": "x-auth-sub"}]},
        protectedResourceMetadata={"resource": "https://pay.example:8443"},
    )
    assert loaded.loader.apply(compiled(policy("bank/payments", spec)).snapshot) is None
    host = loaded.host()
    (entry,) = host.entries
    found = entry.rule.policy
    assert (entry.path_type, entry.path, entry.method) == (PathType.TEMPLATE, "/{id}", "GET")
    assert entry.rule.require == Requirement(dpop_required=True, acr_values=("a", "b"), max_age=300, scopes=("s",))
    assert entry.rule.condition is not None
    assert entry.rule.condition.evaluate(GIVEN) is True
    assert not entry.rule.condition.mentions_claims
    assert (found.name, found.mode, found.audiences) == ("bank/payments", Mode.AUDIT, frozenset({"urn:narrow"}))
    assert found.origin == Origin(scheme="https", port=8443, host="pay.example")
    assert found.dpop == DpopSettings(("ES256",), 30, 3, nonce_required=True, skip_replay=True)
    assert host.path_matching == PathMatching(ignore_case=True, keep_encoded_slashes=True, drop_parameters=True)
    assert host.allow_origins == {"https://app.example"}
    assert "x-auth-sub" in host.stripped
    assert found.authorization is UpstreamAuthorization.BEARER
    assert found.claim_headers == (ClaimHeader("sub", "x-auth-sub"),)
    assert found.resource_metadata is not None
    assert json.loads(found.resource_metadata.document)["resource"] == "https://pay.example:8443"


def test_every_part_of_an_issuer_arrives(loaded: Loaded) -> None:
    """Each field where the verifiers look for it."""
    spec = issuer_spec(
        audiences=["urn:a"],
        algorithms=["ES256"],
        tokenTypes=["at+jwt", "JWT"],
        clockSkew="7s",
        requiredClaims=["jti"],
        jwks={"uri": "https://as.example/jwks", "refreshInterval": "2m"},
        introspection={**INTROSPECTION, "use": "Always", "cacheTTL": "9s", "requiredClaims": ["sub"]},
    )
    loaded.loader.apply(compiled(policy(), issuer(spec=spec)).snapshot)
    found = loaded.host().policies[0].opaque_issuer
    assert found is not None
    assert (found.name, found.issuer, found.audiences) == ("main", "https://as.example", frozenset({"urn:a"}))
    assert found.algorithms == {"ES256"}
    assert found.token_types == {"at+jwt", "jwt"}
    assert found.clock_skew == 7
    assert set(found.required_claims) == {"exp", "jti"}
    assert found.keys == JwksUri("https://as.example/jwks", 120)
    assert found.introspection == Introspection(
        endpoint="https://as.example/introspect",
        client_id="stepguard",
        secret_name="as-client",
        secret_key="secret",
        always=True,
        cache_ttl=9,
        required_claims=("sub",),
    )


SOURCES: dict[str, tuple[dict[str, Any], object]] = {
    "discovery": ({}, Discovery(600)),
    "a URL": ({"jwks": {"uri": "https://as.example/k"}}, JwksUri("https://as.example/k", 600)),
}


@pytest.mark.parametrize(("fields", "keys"), SOURCES.values(), ids=SOURCES.keys())
def test_every_source_of_keys_arrives(loaded: Loaded, fields: dict[str, Any], keys: object) -> None:
    """Inline keys are what most other tests have."""
    loaded.loader.apply(compiled(policy(), issuer(spec=issuer_spec(**fields))).snapshot)
    (found,) = loaded.host().policies[0].issuers.values()
    assert found.keys == keys


def test_tables_that_did_not_change_are_used_again(loaded: Loaded) -> None:
    """The very same object, so that a change of one policy costs nothing at others."""
    loaded.loader.apply(two_policies())
    first, other = loaded.host(), loaded.host(OTHER)
    loaded.loader.apply(two_policies(mode="Audit"))
    assert loaded.host(OTHER) is other
    assert loaded.host() is not first


def test_a_changed_issuer_reaches_tables_that_did_not_change(loaded: Loaded) -> None:
    """A table holds its issuers as they were when it was built."""
    loaded.loader.apply(compiled(policy()).snapshot)
    loaded.loader.apply(compiled(policy(), issuer(spec=issuer_spec(audiences=["urn:new"]))).snapshot)
    (trusted,) = loaded.host().policies[0].issuers.values()
    assert trusted.audiences == {"urn:new"}


def test_an_issuer_that_is_taken_away_is_trusted_no_more(loaded: Loaded) -> None:
    """Though the table still names it."""
    snapshot = compiled(policy()).snapshot
    loaded.loader.apply(snapshot)
    del snapshot.issuers[:]
    snapshot.hash = snapshot_hash(snapshot)
    assert loaded.loader.apply(snapshot) is None
    assert loaded.host().policies[0].issuers == {}
    assert loaded.keys.states(time.monotonic()) == ()


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


def bad_expression(table: pb.HostTable) -> None:
    """A condition that this replica cannot compile."""
    table.policies[0].rules[0].when = "later.function()"


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


def test_the_schema_version_is_the_compilers() -> None:
    """One number in two places that may not import each other."""
    assert SCHEMA_VERSION == COMPILED_SCHEMA_VERSION


def test_a_report_says_what_is_in_force(loaded: Loaded) -> None:
    """Each policy with its hash and its error, each issuer with its keys, the replay store and nonce keys."""
    snapshot = two_policies()
    table = table_of(snapshot)
    bad_expression(table)
    loaded.loader.apply(edited(snapshot, table))
    enforcement = Enforcement(loaded.loader, MemoryReplayStore(10), loaded.keys.states, lambda: ("k1", "k2"))
    report = enforcement.describe()
    assert [(one.name, bool(one.error)) for one in report.policies] == [("bank/payments", True), ("shop/other", False)]
    assert [one.hash for one in report.policies] == [one.hash for one in snapshot.policies]
    assert [one.name for one in report.issuers] == ["main"]
    assert (report.replay_store.kind, report.replay_store.shared) == ("memory", False)
    assert (report.schema_version, list(report.nonce_key_ids)) == (SCHEMA_VERSION, ["k1", "k2"])
