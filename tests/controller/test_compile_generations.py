"""What serves while something is wrong: the table of that name in docs/resources.md, row by row."""

from dataclasses import replace
from typing import Any

import pytest
from stepguard_policy.compile import AcceptedReason, Allowance, HostGrant, RefsReason
from stepguard_policy.resources import Accepted, PolicyResource, Problem

from tests.support.resources import (
    HOST,
    INTROSPECTION,
    accepted,
    compiled,
    issuer,
    issuer_spec,
    match,
    policy,
    policy_spec,
    rule,
    served_by,
    tables,
    verdict_on,
    walk,
)

GOOD = policy_spec(rule("good"))
BROKEN = policy_spec(rule("broken", when="nosuch == 1"))
UNREADABLE = (Problem("", 0, "spec.rules[0].access", "must be one of Authenticated, Anonymous, Denied"),)

FAULTS = {
    "a bad expression": (BROKEN, AcceptedReason.INVALID_EXPRESSION),
    "a conflict within the policy": (
        policy_spec(rule("x", match("/a")), rule("y", match("/a"))),
        AcceptedReason.DUPLICATE_MATCH,
    ),
    "an unknown issuer": (policy_spec(issuers=["nobody"]), AcceptedReason.UNRESOLVED_REFS),
    "a path that no request has": (policy_spec(rule("x", match("/a/../b"))), AcceptedReason.INVALID),
    "more than the quota": (
        policy_spec(rule("x", *(match(f"/{number}") for number in range(9)))),
        AcceptedReason.QUOTA_EXCEEDED,
    ),
    "audit where no grant allows it": (policy_spec(mode="Audit"), AcceptedReason.NOT_ALLOWED),
    "a host without a grant": (policy_spec(hosts=["other.example"]), AcceptedReason.HOST_NOT_GRANTED),
    "other settings than an older policy's": (
        policy_spec(origin={"port": 8443}),
        AcceptedReason.HOST_SETTINGS_CONFLICT,
    ),
    "a match of an older policy": (policy_spec(rule("x", match("/old"))), AcceptedReason.CONFLICTED),
}

OLDER = policy("bank/older", policy_spec(rule("old", match("/old"))), day=0)
OPTIONS = {"grants": (HostGrant((HOST,), ("bank",)),), "max_matches_per_namespace": 5}


@pytest.mark.parametrize(("spec", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_the_last_accepted_spec_serves_while_a_new_one_is_refused(spec: Any, reason: AcceptedReason) -> None:
    """The verdict is about the new one and names the generation that serves."""
    result = compiled(OLDER, policy("bank/p", spec, generation=4, accepted=GOOD), **OPTIONS)
    verdict = verdict_on(result, "bank/p")
    assert (verdict.accepted, verdict.reason, verdict.serving_generation) == (False, reason, 3)
    assert not verdict.accepts_new
    assert walk(tables(result)[HOST]) == ["old /old", "good /"]


DENIES = [AcceptedReason.INVALID_EXPRESSION, AcceptedReason.DUPLICATE_MATCH, AcceptedReason.UNRESOLVED_REFS,
          AcceptedReason.INVALID, AcceptedReason.NOT_ALLOWED]  # fmt: skip


@pytest.mark.parametrize(("spec", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_without_an_accepted_spec_a_policy_denies_its_host_or_contributes_nothing(
    spec: Any, reason: AcceptedReason
) -> None:
    """It denies where its namespace owns the host and nobody serves it."""
    alone = [] if reason in DENIES or reason is AcceptedReason.QUOTA_EXCEEDED else [OLDER]
    result = compiled(*alone, policy("bank/p", spec), **OPTIONS)
    verdict = verdict_on(result, "bank/p")
    assert (verdict.accepted, verdict.reason, verdict.serving_generation) == (False, reason, None)
    assert verdict.policy_hash is None
    expected: dict[str, list[str]] = {HOST: [one.namespace + "/" + one.name for one in alone]}
    assert served_by(result) == ({} if reason is AcceptedReason.QUOTA_EXCEEDED else expected)


def test_a_broken_policy_denies_nothing_that_another_policy_serves() -> None:
    """The others' rules of that host go on."""
    assert served_by(compiled(OLDER, policy("bank/p", BROKEN))) == {HOST: ["bank/older"]}


def test_a_host_that_is_denied_has_no_rules_at_all() -> None:
    """An empty table, which the service answers with 403."""
    table = tables(compiled(policy("bank/p", BROKEN)))[HOST]
    assert (len(table.policies), len(table.candidates), table.pattern) == (0, 0, HOST)


def test_an_unreadable_spec_leaves_the_last_accepted_one_serving() -> None:
    """The API server refuses most of them; an older CRD may have let one in."""
    resource = replace(policy("bank/p", generation=4, accepted=GOOD), spec=None, spec_problems=UNREADABLE)
    verdict = verdict_on(compiled(resource), "bank/p")
    assert (verdict.accepted, verdict.reason, verdict.serving_generation) == (False, AcceptedReason.INVALID, 3)
    assert verdict.message == "spec.rules[0].access: must be one of Authenticated, Anonymous, Denied"


def test_an_unreadable_spec_without_an_accepted_one_is_refused() -> None:
    """Its hosts are not known, so there is nothing to deny."""
    resource = replace(policy("bank/p"), spec=None, spec_problems=UNREADABLE)
    result = compiled(resource)
    assert not verdict_on(result, "bank/p").accepted
    assert served_by(result) == {}


def test_an_accepted_spec_that_became_invalid_denies_its_hosts() -> None:
    """For instance when a grant's allowance was taken away."""
    audit = accepted(policy("bank/p", policy_spec(mode="Audit")))
    allowed = (HostGrant((HOST,), ("bank",), frozenset({Allowance.AUDIT})),)
    assert served_by(compiled(audit, grants=allowed)) == {HOST: ["bank/p"]}
    assert served_by(compiled(audit, grants=(HostGrant((HOST,), ("bank",)),))) == {HOST: []}


def test_an_accepted_spec_that_loses_too_does_not_serve() -> None:
    """An older policy that grows takes the match, whatever was accepted before."""
    former = policy_spec(rule("x", match("/old")))
    result = compiled(OLDER, policy("bank/p", BROKEN, generation=2, accepted=former))
    assert served_by(result) == {HOST: ["bank/older"]}


def test_a_new_spec_becomes_the_accepted_one() -> None:
    """Once: when status has it already there is nothing to write."""
    fresh = policy("bank/p", GOOD, generation=2, accepted=policy_spec())
    assert verdict_on(compiled(fresh), "bank/p").accepts_new
    assert not verdict_on(compiled(accepted(fresh)), "bank/p").accepts_new


def referring(*names: str, **fields: Any) -> PolicyResource:
    """A policy that refers to these TokenIssuers, accepted before."""
    return accepted(policy("bank/p", policy_spec(issuers=names, **fields)))


TAKEN = {
    "a deleted issuer": ([issuer("kept")], RefsReason.ISSUER_NOT_FOUND),
    "an issuer that is not for the namespace any more": (
        [issuer("kept"), issuer("gone", issuer_spec("https://gone.example", namespaces=["shop"]))],
        RefsReason.ISSUER_NOT_ALLOWED,
    ),
    "an issuer that was never valid": (
        [issuer("kept"), replace(issuer("gone"), spec=None, spec_problems=UNREADABLE)],
        RefsReason.ISSUER_NOT_ACCEPTED,
    ),
    "an issuer that became the same as another": (
        [issuer("kept"), issuer("gone")],
        RefsReason.ISSUERS_AMBIGUOUS,
    ),
    "a second issuer with introspection": (
        [
            issuer("kept", issuer_spec(introspection=INTROSPECTION)),
            issuer("gone", issuer_spec("https://gone.example", introspection=INTROSPECTION)),
        ],
        RefsReason.ISSUERS_AMBIGUOUS,
    ),
}


@pytest.mark.parametrize(("issuers", "reason"), TAKEN.values(), ids=TAKEN.keys())
def test_an_accepted_policy_loses_an_issuer_at_once_and_serves_on(issuers: Any, reason: RefsReason) -> None:
    """Last-good never keeps a trust anchor alive: the reference is left out, and tokens of that issuer are refused."""
    result = compiled(referring("kept", "gone"), *issuers)
    verdict = verdict_on(result, "bank/p")
    assert (verdict.accepted, verdict.resolved_refs, verdict.refs_reason) == (True, False, reason)
    assert verdict.refs_findings[0].field == "spec.issuerRefs[1]"
    assert list(tables(result)[HOST].policies[0].issuers) == ["kept"]


@pytest.mark.parametrize(("issuers", "reason"), TAKEN.values(), ids=TAKEN.keys())
def test_the_same_is_an_error_in_a_new_generation(issuers: Any, reason: RefsReason) -> None:
    """Nobody relies on it yet, and a misspelt name is best refused."""
    verdict = verdict_on(compiled(policy("bank/p", policy_spec(issuers=["kept", "gone"])), *issuers), "bank/p")
    assert (verdict.accepted, verdict.reason) == (False, AcceptedReason.UNRESOLVED_REFS)
    assert (verdict.resolved_refs, verdict.refs_reason) == (False, reason)


def test_a_former_spec_that_serves_loses_its_issuers_too() -> None:
    """Whatever generation serves."""
    result = compiled(policy("bank/p", BROKEN, generation=2, accepted=policy_spec(issuers=["gone", "main"])))
    assert list(tables(result)[HOST].policies[0].issuers) == ["main"]


def test_a_policy_that_lost_every_issuer_keeps_its_public_rules() -> None:
    """And refuses every token."""
    spec = policy_spec(rule("private"), rule("public", match("/health"), access="Anonymous"), issuers=["gone"])
    result = compiled(accepted(policy("bank/p", spec)))
    assert walk(tables(result)[HOST]) == ["public /health", "private /"]
    assert list(tables(result)[HOST].policies[0].issuers) == []


def test_in_file_mode_a_missing_issuer_is_for_the_caller_to_judge() -> None:
    """There is no accepted generation in files: the policy serves without it, and ResolvedRefs says so."""
    verdict = verdict_on(compiled(policy("bank/p", policy_spec(issuers=["gone"])), file_mode=True), "bank/p")
    assert (verdict.accepted, verdict.resolved_refs) == (True, False)


def test_in_file_mode_ambiguous_issuers_are_an_error() -> None:
    """Nothing was taken away: the author wrote both."""
    twice = policy("bank/p", policy_spec(issuers=["main", "same"]))
    verdict = verdict_on(compiled(twice, issuer(), issuer("same"), file_mode=True), "bank/p")
    assert not verdict.accepted


def test_two_issuers_of_one_iss_in_two_policies_are_fine() -> None:
    """Only within one policy would the token's iss pick none."""
    result = compiled(
        policy("a/x", policy_spec(hosts=["x.example"])),
        policy("a/y", policy_spec(hosts=["y.example"], issuers=["same"])),
        issuer(),
        issuer("same"),
    )
    assert verdict_on(result, "a/x").accepted
    assert verdict_on(result, "a/y").accepted


def test_an_issuer_whose_update_is_wrong_serves_in_its_previous_generation() -> None:
    """From its own status.accepted; policies notice nothing."""
    former = issuer_spec(audiences=["former"])
    broken = replace(
        issuer(generation=2), spec=None, spec_problems=UNREADABLE, accepted=Accepted(generation=1, spec=former)
    )
    result = compiled(referring("main"), broken)
    verdict = verdict_on(result, "main")
    assert (verdict.accepted, verdict.reason, verdict.serving_generation) == (False, AcceptedReason.INVALID, 1)
    assert list(result.snapshot.issuers[0].audiences) == ["former"]
    assert verdict_on(result, "bank/p").resolved_refs


def test_a_wrong_update_of_an_issuer_still_takes_namespaces_away() -> None:
    """Trust that was taken away ends at once, even where the rest of the update cannot be used."""
    bundle = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    broken = replace(
        issuer("main", issuer_spec(namespaces=["shop"], caBundle=bundle), generation=2),
        accepted=Accepted(generation=1, spec=issuer_spec()),
    )
    result = compiled(referring("main"), broken)
    assert verdict_on(result, "main").serving_generation == 1
    assert verdict_on(result, "bank/p").refs_reason is RefsReason.ISSUER_NOT_ALLOWED


def test_an_issuer_that_was_never_valid_is_not_in_the_snapshot() -> None:
    """There is nothing to fall back on."""
    result = compiled(replace(issuer(), spec=None, spec_problems=UNREADABLE))
    assert list(result.snapshot.issuers) == []
    assert verdict_on(result, "main").serving_generation is None
