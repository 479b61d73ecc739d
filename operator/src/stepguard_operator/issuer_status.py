"""The status of a TokenIssuer: whether it counts, and whether every replica has its keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stepguard_policy.compile.verdicts import Verdict

from stepguard_operator.conditions import (
    Condition,
    ConditionType,
    Reason,
    Tristate,
    accepted,
    differs,
    kept,
    names,
    summarize,
)
from stepguard_operator.replicas import Fleet, IssuerThere


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerFacts:
    """What is known about one TokenIssuer; the fields are those of PolicyFacts."""

    name: str
    generation: int
    verdict: Verdict
    accepted: Mapping[str, Any] | None
    status: Mapping[str, Any]


def issuer_status(facts: IssuerFacts, fleet: Fleet, *, now: str) -> dict[str, Any]:
    """What the object's status has to be. `now` is RFC 3339. lastFetchTime moves only with something else."""
    there = {name: report.issuers[facts.name] for name, report in fleet.heard.items() if facts.name in report.issuers}
    before = facts.status.get("conditions", ())
    counts, ready = accepted(facts.verdict, facts.generation), _keys(facts, fleet, there)
    keys = min((issuer.keys for issuer in there.values()), default=0)
    if counts.status is not Tristate.TRUE:
        ready = summarize([counts], facts.generation)
    elif _still_gathering(fleet, ready, there) and (was := kept(before, ConditionType.READY, facts.generation)):
        ready, keys = was, facts.status.get("keys", keys)
    status: dict[str, Any] = {
        "observedGeneration": facts.generation,
        "conditions": [condition.as_object(before, now) for condition in (counts, ready)],
        "keys": keys,
    }
    if (fetched := _fetched(status, facts.status, there)) is not None:
        status["lastFetchTime"] = fetched
    return status if facts.accepted is None else {**status, "accepted": facts.accepted}


def _keys(facts: IssuerFacts, fleet: Fleet, there: Mapping[str, IssuerThere]) -> Condition:
    """Whether every replica can verify its tokens; only its part in Ready is shown."""

    def condition(status: Tristate, reason: Reason, message: str) -> Condition:
        return Condition(ConditionType.READY, status, reason, message, facts.generation)

    serving = facts.verdict.serving_generation
    if serving != facts.generation:
        what = "nothing of this issuer counts" if serving is None else f"generation {serving} counts"
        return condition(Tristate.FALSE, Reason.NOT_ACCEPTED, f"{what}; see Accepted")
    if not fleet.heard and not fleet.silent:
        return condition(Tristate.UNKNOWN, Reason.NO_REPLICAS, "no replica of the service is connected")
    if without := {name: issuer for name, issuer in there.items() if not issuer.keys}:
        why = next((issuer.error for issuer in without.values() if issuer.error), "not fetched yet")
        return condition(Tristate.FALSE, Reason.KEYS_UNAVAILABLE, f"{names([*without])} has no keys: {why}")
    if fleet.silent:
        return condition(Tristate.FALSE, Reason.REPLICA_UNREACHABLE, f"no report from {names(fleet.silent)}")
    if waiting := [*fleet.awaited, *(name for name in fleet.heard if name not in there)]:
        return condition(Tristate.FALSE, Reason.PENDING, f"waiting for {names(waiting)}")
    if stale := {name: issuer.error for name, issuer in there.items() if issuer.error}:
        message = f"{names([*stale])} could not refresh the keys: {next(iter(stale.values()))}"
        return condition(Tristate.TRUE, Reason.KEYS_STALE, message)
    return condition(Tristate.TRUE, Reason.READY, "every replica has its keys")


def _still_gathering(fleet: Fleet, ready: Condition, there: Mapping[str, IssuerThere]) -> bool:
    """Whether all that speaks against it is who has not come back to a new leader yet."""
    good = ready.status is Tristate.TRUE or ready.reason in {Reason.PENDING, Reason.NO_REPLICAS}
    return good and not fleet.settled and there.keys() == fleet.heard.keys()


def _fetched(status: Mapping[str, Any], before: Mapping[str, Any], there: Mapping[str, IssuerThere]) -> str | None:
    """The oldest fetch of any replica where a condition changes, else what stands there."""
    oldest = min((it.last_success for it in there.values() if it.last_success is not None), default=None)
    stands: str | None = before.get("lastFetchTime")
    conditions = {"conditions": status["conditions"]}
    if oldest is None or not differs(conditions, {"conditions": before.get("conditions", [])}):
        return stands
    return datetime.fromtimestamp(oldest, UTC).isoformat().replace("+00:00", "Z")
