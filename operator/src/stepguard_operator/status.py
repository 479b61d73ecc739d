"""The status of a StepUpPolicy: a pure function of the compiler's verdict and of what replicas report.

`Programmed` compares the policy's own compiled hash with the hashes that replicas report, so that another policy's
change touches no status here. The table it implements is the last one of docs/resources.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stepguard_policy.compile.verdicts import Verdict

from stepguard_operator.conditions import (
    Condition,
    ConditionType,
    Reason,
    Tristate,
    accepted,
    kept,
    names,
    resolved_refs,
    summarize,
)
from stepguard_operator.replicas import Fleet, ReplicaReport


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What is known about one policy.

    `name` is namespace/name. `snapshot` is the hash of the snapshot that is published now. `accepted` is what
    status.accepted has to be, None for nothing. `status` is what the API object has now.
    """

    name: str
    generation: int
    verdict: Verdict
    requires_nonce: bool
    snapshot: str
    accepted: Mapping[str, Any] | None
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _There:
    """How far the policy is in force. The lists name replicas."""

    programmed: tuple[str, ...]
    rejecting: tuple[tuple[str, str], ...]
    waiting: tuple[str, ...]


def policy_status(facts: PolicyFacts, fleet: Fleet, *, now: str) -> dict[str, Any]:
    """What the object's status has to be. `now` is RFC 3339."""
    before = facts.status.get("conditions", ())
    there = _look(facts, fleet)
    programmed, replicas = _programmed(facts, fleet, there), _replicas(fleet, there)
    was = kept(before, ConditionType.PROGRAMMED, facts.generation)
    if was is not None and _still_gathering(facts, fleet, there):
        programmed, replicas = was, facts.status.get("replicas", replicas)
    conditions = [
        accepted(facts.verdict, facts.generation),
        resolved_refs(facts.verdict, facts.generation),
        programmed,
    ]
    conditions.append(summarize(conditions, facts.generation))
    status = {
        "observedGeneration": facts.generation,
        "conditions": [condition.as_object(before, now) for condition in conditions],
        "replicas": replicas,
        "rules": facts.verdict.rules,
    }
    return status if facts.accepted is None else {**status, "accepted": facts.accepted}


def _look(facts: PolicyFacts, fleet: Fleet) -> _There:
    programmed: list[str] = []
    rejecting: list[tuple[str, str]] = []
    waiting: list[str] = [*fleet.awaited]
    for name, report in fleet.heard.items():
        if facts.name in report.policies and report.policies[facts.name] == facts.verdict.policy_hash:
            if error := report.errors.get(facts.name):
                rejecting.append((name, error))
            else:
                programmed.append(name)
        elif report.refused is not None and report.refused.hash == facts.snapshot:
            rejecting.append((name, report.refused.reason))
        else:
            waiting.append(name)
    return _There(tuple(programmed), tuple(rejecting), tuple(waiting))


def _programmed(facts: PolicyFacts, fleet: Fleet, there: _There) -> Condition:
    """The first of these that holds."""

    def condition(status: Tristate, reason: Reason, message: str) -> Condition:
        return Condition(ConditionType.PROGRAMMED, status, reason, message, facts.generation)

    serving = facts.verdict.serving_generation
    if serving != facts.generation:
        what = "nothing of this policy serves" if serving is None else f"generation {serving} serves"
        return condition(Tristate.FALSE, Reason.NOT_ACCEPTED, f"{what}; see Accepted and ResolvedRefs")
    if not fleet.heard and not fleet.silent:
        return condition(Tristate.UNKNOWN, Reason.NO_REPLICAS, "no replica of the service is connected")
    if there.rejecting:
        refusing = names([name for name, _ in there.rejecting])
        return condition(Tristate.FALSE, Reason.REPLICA_REJECTED, f"{refusing}: {there.rejecting[0][1]}")
    if fleet.silent:
        message = f"no report from {names(fleet.silent)}, which may serve an older policy"
        return condition(Tristate.FALSE, Reason.REPLICA_UNREACHABLE, message)
    if there.waiting:
        message = f"in force on {len(there.programmed)}/{fleet.desired} replicas; waiting for {names(there.waiting)}"
        return condition(Tristate.FALSE, Reason.PENDING, message)
    if danger := unsafe(fleet, requires_nonce=facts.requires_nonce):
        return condition(Tristate.FALSE, Reason.UNSAFE_REPLICAS, danger)
    count = len(there.programmed)
    where = f"all {count} replicas" if count > 1 else "the only replica"
    return condition(Tristate.TRUE, Reason.PROGRAMMED, f"in force on {where}")


def unsafe(fleet: Fleet, *, requires_nonce: bool) -> str:
    """Why these replicas must not serve together; empty where they may."""
    reports = fleet.heard
    alone = [name for name, report in reports.items() if not report.shared_replay_store]
    if len(reports) > 1 and alone:
        return (
            f"{len(reports)} replicas, but {names(alone)} cannot see the others' replays: --replay-store is not shared"
        )
    if requires_nonce and (without := [name for name, report in reports.items() if not report.nonce_key_ids]):
        return f"the policy requires nonces, but {names(without)} has no nonce keys: --nonce-keys is not set"
    for report in reports.values():
        if lacking := _lacking(report, reports):
            return f"{names(lacking)} cannot check the nonces of {report.name}: their --nonce-keys differ"
    return ""


def _lacking(signer: ReplicaReport, reports: Mapping[str, ReplicaReport]) -> list[str]:
    """Who does not hold the key that this replica signs nonces with."""
    signing = signer.nonce_key_ids[:1]
    return [name for name, report in reports.items() if not set(signing) <= set(report.nonce_key_ids)]


def _replicas(fleet: Fleet, there: _There) -> dict[str, Any]:
    programmed = len(there.programmed)
    return {"desired": fleet.desired, "programmed": programmed, "summary": f"{programmed}/{fleet.desired}"}


def _still_gathering(facts: PolicyFacts, fleet: Fleet, there: _There) -> bool:
    """Whether all that speaks against the policy is who has not come back to a new leader yet."""
    before = facts.status.get("replicas", {}).get("desired", 0)
    if fleet.settled or len(fleet.heard) >= before or facts.verdict.serving_generation != facts.generation:
        return False
    missing = set(there.waiting) <= set(fleet.awaited)
    return missing and not there.rejecting and not fleet.silent
