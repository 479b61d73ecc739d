"""The status of a TokenIssuer: accepted, and keys on every replica."""

from collections.abc import Mapping
from typing import Any

import pytest
from stepguard_operator.issuer_status import IssuerFacts, issuer_status
from stepguard_operator.replicas import Fleet, IssuerThere, ReplicaReport
from stepguard_policy.compile.reasons import AcceptedReason
from stepguard_policy.compile.verdicts import Verdict

NOW = "2030-01-01T00:00:00Z"
GOOD = Verdict(accepted=True, reason=AcceptedReason.ACCEPTED, message="", serving_generation=1, policy_hash="h")
BAD = Verdict(accepted=False, reason=AcceptedReason.INVALID, message="a bad certificate", serving_generation=None)
REPLACED = Verdict(accepted=False, reason=AcceptedReason.INVALID, message="a bad certificate", serving_generation=1)


def facts(verdict: Verdict = GOOD, status: Mapping[str, Any] | None = None, generation: int = 1) -> IssuerFacts:
    """One TokenIssuer called main."""
    return IssuerFacts(name="main", generation=generation, verdict=verdict, accepted=None, status=status or {})


def fleet(*issuers: IssuerThere | None, silent: tuple[str, ...] = (), settled: bool = True) -> Fleet:
    """One replica for each, called pod-0, pod-1 …; None: it does not know the issuer."""
    reports = {
        f"pod-{index}": ReplicaReport(name=f"pod-{index}", boot_id="b", issuers={"main": issuer} if issuer else {})
        for index, issuer in enumerate(issuers)
    }
    return Fleet(reports, silent, (), settled)


def ready(status: Mapping[str, Any]) -> str:
    """`status reason` of Ready."""
    return next(f"{one['status']} {one['reason']}" for one in status["conditions"] if one["type"] == "Ready")


HAS_KEYS = IssuerThere(3, 1000)

CASES = {
    "every replica has keys": (GOOD, fleet(HAS_KEYS, HAS_KEYS), "True Ready", 3),
    "keys is the smallest number that a replica holds": (GOOD, fleet(HAS_KEYS, IssuerThere(2, 1000)), "True Ready", 2),
    "a replica without keys": (
        GOOD,
        fleet(HAS_KEYS, IssuerThere(0, None, "connection refused")),
        "False KeysUnavailable",
        0,
    ),
    "a failed refresh leaves it ready and says so": (GOOD, fleet(IssuerThere(3, 1000, "timeout")), "True KeysStale", 3),
    "a replica that does not know it yet": (GOOD, fleet(HAS_KEYS, None), "False Pending", 3),
    "a silent replica": (GOOD, fleet(HAS_KEYS, silent=("pod-9",)), "False ReplicaUnreachable", 3),
    "nobody connected": (GOOD, fleet(), "Unknown NoReplicas", 0),
    "never valid": (BAD, fleet(HAS_KEYS), "False Invalid", 3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_ready_says(case: tuple[Verdict, Fleet, str, int]) -> None:
    verdict, replicas, expected, keys = case
    status = issuer_status(facts(verdict), replicas, now=NOW)
    assert (ready(status), status["keys"]) == (expected, keys)


def test_an_update_that_does_not_compile_is_not_accepted_whatever_counts_meanwhile() -> None:
    status = issuer_status(facts(REPLACED, generation=2), fleet(HAS_KEYS), now=NOW)
    assert ready(status) == "False Invalid"


def test_the_time_of_the_fetch_moves_only_together_with_a_condition() -> None:
    first = issuer_status(facts(), fleet(HAS_KEYS), now=NOW)
    assert first["lastFetchTime"] == "1970-01-01T00:16:40Z"
    same = issuer_status(facts(status=first), fleet(IssuerThere(3, 2000)), now=NOW)
    assert same == first
    changed = issuer_status(facts(status=first), fleet(IssuerThere(3, 2000, "timeout")), now=NOW)
    assert changed["lastFetchTime"] == "1970-01-01T00:33:20Z"


def test_a_new_leader_changes_nothing_because_of_who_has_not_come_back_yet() -> None:
    first = issuer_status(facts(), fleet(HAS_KEYS, IssuerThere(2, 1000)), now=NOW)
    assert issuer_status(facts(status=first), fleet(settled=False), now=NOW) == first
    assert issuer_status(facts(status=first), fleet(HAS_KEYS, settled=False), now=NOW) == first
    assert ready(issuer_status(facts(status=first), fleet(), now=NOW)) == "Unknown NoReplicas"
