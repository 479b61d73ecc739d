"""The status of a StepUpPolicy, row by row of the last table of docs/resources.md."""

from collections.abc import Mapping
from typing import Any

import pytest
from stepguard_operator.conditions import differs
from stepguard_operator.replicas import Fleet, Refused, ReplicaReport
from stepguard_operator.status import PolicyFacts, policy_status
from stepguard_policy.compile.reasons import AcceptedReason, RefsReason
from stepguard_policy.compile.verdicts import Finding, Verdict

NOW = "2030-01-01T00:00:00Z"
LATER = "2030-01-01T01:00:00Z"
POLICY = "bank/payments"

GOOD = Verdict(
    accepted=True, reason=AcceptedReason.ACCEPTED, message="", serving_generation=3, policy_hash="new", rules=2
)


def facts(
    verdict: Verdict = GOOD, *, status: Mapping[str, Any] | None = None, requires_nonce: bool = False
) -> PolicyFacts:
    """Generation 3 of one policy, with snapshot `s` published."""
    accepted = {"generation": verdict.serving_generation, "spec": {}} if verdict.serving_generation else None
    return PolicyFacts(
        name=POLICY,
        generation=3,
        verdict=verdict,
        requires_nonce=requires_nonce,
        snapshot="s",
        accepted=accepted,
        status=status or {},
    )


def replica(name: str, policy_hash: str = "new", *, error: str = "", **more: Any) -> ReplicaReport:
    """A replica that has this hash of the policy in force, with a shared replay store."""
    errors = {POLICY: error} if error else {}
    known = {"policies": {POLICY: policy_hash}, "errors": errors, "shared_replay_store": True}
    return ReplicaReport(name=name, boot_id="b", **{**known, **more})


def fleet(
    *reports: ReplicaReport, silent: tuple[str, ...] = (), awaited: tuple[str, ...] = (), settled: bool = True
) -> Fleet:
    """These replicas."""
    return Fleet({report.name: report for report in reports}, silent, awaited, settled)


def shown(status: Mapping[str, Any]) -> dict[str, str]:
    """Type → `status reason`."""
    return {one["type"]: f"{one['status']} {one['reason']}" for one in status["conditions"]}


def message(status: Mapping[str, Any], wanted: str) -> str:
    """The message of one condition."""
    return next(str(one["message"]) for one in status["conditions"] if one["type"] == wanted)


def not_accepted(reason: AcceptedReason, serving: int | None) -> Verdict:
    """The current generation is refused; an older one serves, or none."""
    return Verdict(accepted=False, reason=reason, message="why", serving_generation=serving, policy_hash="old", rules=1)


LACKING_ISSUER = Verdict(
    accepted=True,
    reason=AcceptedReason.ACCEPTED,
    message="",
    resolved_refs=False,
    refs_reason=RefsReason.ISSUER_NOT_FOUND,
    refs_message="no TokenIssuer main",
    serving_generation=3,
    policy_hash="new",
)

ONE, TWO, THREE = replica("pod-1"), replica("pod-2"), replica("pod-3")
OLD = replica("pod-2", "old")

ROWS = {
    "in force on every replica": (GOOD, fleet(ONE, TWO), "True Programmed", "True Ready", "2/2"),
    "accepted, not yet in force everywhere": (GOOD, fleet(ONE, OLD, THREE), "False Pending", "False Pending", "2/3"),
    "a policy that a replica does not know yet is pending": (
        GOOD,
        fleet(ONE, ReplicaReport(name="pod-2", boot_id="b", shared_replay_store=True)),
        "False Pending",
        "False Pending",
        "1/2",
    ),
    "a ready pod that has not reported yet is pending": (
        GOOD,
        fleet(ONE, awaited=("pod-2",)),
        "False Pending",
        "False Pending",
        "1/2",
    ),
    "a bad expression while an older generation serves": (
        not_accepted(AcceptedReason.INVALID_EXPRESSION, 2),
        fleet(replica("pod-1", "old")),
        "False NotAccepted",
        "False InvalidExpression",
        "1/1",
    ),
    "a host conflict where nothing serves": (
        not_accepted(AcceptedReason.HOST_CONFLICT, None),
        fleet(ONE),
        "False NotAccepted",
        "False HostConflict",
        "0/1",
    ),
    "a refused generation is NotAccepted even with nobody connected": (
        not_accepted(AcceptedReason.CONFLICTED, 2),
        fleet(),
        "False NotAccepted",
        "False Conflicted",
        "0/0",
    ),
    "an issuer taken away from an accepted generation": (
        LACKING_ISSUER,
        fleet(ONE),
        "True Programmed",
        "False IssuerNotFound",
        "1/1",
    ),
    "a silent replica": (
        GOOD,
        fleet(ONE, silent=("pod-2",)),
        "False ReplicaUnreachable",
        "False ReplicaUnreachable",
        "1/2",
    ),
    "a replica that refuses the snapshot and has an older hash of the policy": (
        GOOD,
        fleet(ONE, replica("pod-2", "old", refused=Refused("s", "schema version 2 is too new"))),
        "False ReplicaRejected",
        "False ReplicaRejected",
        "1/2",
    ),
    "a replica that refuses the snapshot for another policy's sake has this one in force": (
        GOOD,
        fleet(ONE, replica("pod-2", refused=Refused("s", "x"))),
        "True Programmed",
        "True Ready",
        "2/2",
    ),
    "a refusal of an earlier snapshot is not held against the replica": (
        GOOD,
        fleet(ONE, replica("pod-2", "old", refused=Refused("before", "x"))),
        "False Pending",
        "False Pending",
        "1/2",
    ),
    "a replica that denies a rule which it does not understand": (
        GOOD,
        fleet(ONE, replica("pod-2", error="rule transfers: unknown field 9")),
        "False ReplicaRejected",
        "False ReplicaRejected",
        "1/2",
    ),
    "two replicas without a shared replay store": (
        GOOD,
        fleet(replica("pod-1", shared_replay_store=False), replica("pod-2", shared_replay_store=False)),
        "False UnsafeReplicas",
        "False UnsafeReplicas",
        "2/2",
    ),
    "one replica with a store of its own is safe": (
        GOOD,
        fleet(replica("pod-1", shared_replay_store=False)),
        "True Programmed",
        "True Ready",
        "1/1",
    ),
    "a signing nonce key that another replica does not hold": (
        GOOD,
        fleet(replica("pod-1", nonce_key_ids=("k1",)), replica("pod-2", nonce_key_ids=("k2", "k3"))),
        "False UnsafeReplicas",
        "False UnsafeReplicas",
        "2/2",
    ),
    "a rotation in which everybody verifies what anybody signs is safe": (
        GOOD,
        fleet(replica("pod-1", nonce_key_ids=("k1", "k2")), replica("pod-2", nonce_key_ids=("k2", "k1"))),
        "True Programmed",
        "True Ready",
        "2/2",
    ),
    "no replica connected": (GOOD, fleet(), "Unknown NoReplicas", "Unknown NoReplicas", "0/0"),
    "ready pods of which none has connected": (
        GOOD,
        fleet(awaited=("pod-1",)),
        "Unknown NoReplicas",
        "Unknown NoReplicas",
        "0/1",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_row_of_the_table(row: tuple[Verdict, Fleet, str, str, str]) -> None:
    verdict, replicas, programmed, ready, summary = row
    status = policy_status(facts(verdict), replicas, now=NOW)
    assert (shown(status)["Programmed"], shown(status)["Ready"]) == (programmed, ready)
    assert status["replicas"]["summary"] == summary
    assert all(condition["observedGeneration"] == 3 for condition in status["conditions"])


def test_a_policy_that_requires_nonces_is_unsafe_where_a_replica_has_no_key() -> None:
    replicas = fleet(replica("pod-1"))
    status = policy_status(facts(requires_nonce=True), replicas, now=NOW)
    assert shown(status)["Programmed"] == "False UnsafeReplicas"
    assert "pod-1 has no nonce keys" in message(status, "Programmed")
    assert shown(policy_status(facts(), replicas, now=NOW))["Programmed"] == "True Programmed"


def test_the_message_names_the_generation_that_serves() -> None:
    status = policy_status(facts(not_accepted(AcceptedReason.INVALID, 2)), fleet(), now=NOW)
    assert message(status, "Programmed") == "generation 2 serves; see Accepted and ResolvedRefs"


def test_at_most_three_replicas_are_named() -> None:
    status = policy_status(facts(), fleet(ONE, silent=("a", "b", "c", "d", "e")), now=NOW)
    assert message(status, "Programmed") == "no report from a, b, c and 2 more, which may serve an older policy"


def test_the_reason_of_a_refusal_is_shown() -> None:
    refusing = replica("pod-2", "old", refused=Refused("s", "schema version 2 is too new"))
    status = policy_status(facts(), fleet(ONE, refusing), now=NOW)
    assert message(status, "Programmed") == "pod-2: schema version 2 is too new"


def test_warnings_stand_beside_acceptance() -> None:
    warned = Verdict(
        accepted=True,
        reason=AcceptedReason.ACCEPTED,
        message="",
        serving_generation=3,
        policy_hash="new",
        warnings=(Finding("spec.rules[0].when", "a weaker rule follows"),),
    )
    status = policy_status(facts(warned), fleet(ONE), now=NOW)
    assert "warning: spec.rules[0].when: a weaker rule follows" in message(status, "Accepted")


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = policy_status(facts(), fleet(ONE, OLD), now=NOW)
    second = policy_status(facts(status=first), fleet(ONE, TWO), now=LATER)
    times = {one["type"]: one["lastTransitionTime"] for one in second["conditions"]}
    assert times == {"Accepted": NOW, "ResolvedRefs": NOW, "Programmed": LATER, "Ready": LATER}


def test_a_time_alone_is_no_reason_to_write() -> None:
    written = policy_status(facts(), fleet(ONE), now=NOW)
    assert not differs(policy_status(facts(), fleet(ONE), now=LATER), written)
    assert differs(policy_status(facts(), fleet(ONE, TWO), now=LATER), written)


def test_a_new_generation_is_always_a_reason_to_write() -> None:
    written = policy_status(facts(), fleet(ONE), now=NOW)
    assert differs({**written, "observedGeneration": 4}, written)


NOT_BACK_YET = {
    "nobody": fleet(settled=False),
    "one of two": fleet(ONE, awaited=("pod-2",), settled=False),
    "one, and no EndpointSlices tell of others": fleet(ONE, settled=False),
}


@pytest.mark.parametrize("replicas", NOT_BACK_YET.values(), ids=NOT_BACK_YET.keys())
def test_a_new_leader_changes_nothing_because_of_who_has_not_come_back_yet(replicas: Fleet) -> None:
    written = policy_status(facts(), fleet(ONE, TWO), now=NOW)
    assert not differs(policy_status(facts(status=written), replicas, now=LATER), written)


def test_a_replica_that_joins_a_new_leader_is_counted_at_once() -> None:
    written = policy_status(facts(), fleet(ONE), now=NOW)
    status = policy_status(facts(status=written), fleet(ONE, TWO, settled=False), now=LATER)
    assert status["replicas"]["summary"] == "2/2"


def test_a_pod_that_joins_a_new_leader_is_waited_for_at_once() -> None:
    written = policy_status(facts(), fleet(ONE), now=NOW)
    status = policy_status(facts(status=written), fleet(ONE, awaited=("pod-2",), settled=False), now=LATER)
    assert shown(status)["Programmed"] == "False Pending"


def test_a_new_leader_says_at_once_what_a_replica_that_is_back_reports() -> None:
    written = policy_status(facts(), fleet(ONE, TWO), now=NOW)
    status = policy_status(facts(status=written), fleet(OLD, awaited=("pod-1",), settled=False), now=LATER)
    assert shown(status)["Programmed"] == "False Pending"


def test_a_new_leader_keeps_nothing_of_an_older_generation() -> None:
    written = {**policy_status(facts(), fleet(ONE), now=NOW)}
    written["conditions"] = [{**one, "observedGeneration": 2} for one in written["conditions"]]
    status = policy_status(facts(status=written), fleet(settled=False), now=LATER)
    assert shown(status)["Programmed"] == "Unknown NoReplicas"


def test_accepted_is_always_part_of_what_is_written() -> None:
    assert policy_status(facts(), fleet(), now=NOW)["accepted"] == {"generation": 3, "spec": {}}
    assert "accepted" not in policy_status(facts(not_accepted(AcceptedReason.INVALID, None)), fleet(), now=NOW)
