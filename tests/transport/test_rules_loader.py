"""Putting snapshots in force: whole or not at all, reusing what did not change, never weaker than what they ask."""

import json
import time
from typing import Any

import pytest
from stepguard_policy.compile import SCHEMA_VERSION as COMPILED_SCHEMA_VERSION
from stepguard_policy.compile import snapshot_hash
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
from stepguard_service.stores.replay_memory import MemoryReplayStore
from stepguard_service.transport.report import Enforcement
from stepguard_service.transport.schema import SCHEMA_VERSION

from tests.support.loading import OTHER, Loaded, bad_expression, edited, table_of, two_policies
from tests.support.resources import HOST, INTROSPECTION, compiled, issuer, issuer_spec, match, policy, policy_spec, rule

GIVEN = ConditionInput("GET", "/a", HOST, {}, {}, {}, None)


@pytest.fixture
def loaded() -> Loaded:
    """Nothing is in force yet."""
    return Loaded()


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
