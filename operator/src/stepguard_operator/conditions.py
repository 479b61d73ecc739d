"""Conditions of an object's status, as the Kubernetes API has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from stepguard_policy.compile.verdicts import Verdict, join_findings

NAMED_AT_MOST: Final = 3
"""Replicas in one message."""
MESSAGE_LENGTH: Final = 1024
"""The API allows 32 768 bytes; a person reads one line."""
COMPARED: Final = ("type", "status", "reason", "message", "observedGeneration")
"""Of a condition: its time alone is no reason to write."""
APART: Final = frozenset({"conditions", "lastFetchTime"})


class Tristate(StrEnum):
    """Value of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """What a condition is about."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    READY = "Ready"


class Reason(StrEnum):
    """Reasons of Programmed and Ready; those of Accepted and ResolvedRefs are the compiler's."""

    PROGRAMMED = "Programmed"
    """In force on every replica."""
    PENDING = "Pending"
    """Not every replica has it yet."""
    NOT_ACCEPTED = "NotAccepted"
    """The current generation does not serve; the message says what does."""
    REPLICA_UNREACHABLE = "ReplicaUnreachable"
    """A replica is silent; it serves what it has."""
    REPLICA_REJECTED = "ReplicaRejected"
    """A replica refuses the snapshot, or cannot use a rule of this policy."""
    UNSAFE_REPLICAS = "UnsafeReplicas"
    """Replicas that do not see each other's replays or nonces."""
    NO_REPLICAS = "NoReplicas"
    """Nobody is connected."""
    READY = "Ready"
    """Every other condition is True."""
    KEYS_UNAVAILABLE = "KeysUnavailable"
    """A replica has no key of this issuer: tokens are answered with 503 there."""
    KEYS_STALE = "KeysStale"
    """The last fetch failed on a replica; the keys from before still verify."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, but for its times."""

    type: ConditionType
    status: Tristate
    reason: str
    message: str
    generation: int

    def as_object(self, previous: Sequence[Mapping[str, Any]], now: str) -> dict[str, Any]:
        """As the API takes it; `now` (RFC 3339) counts where the status differs from the previous one."""
        before = find(previous, self.type)
        kept = before.get("lastTransitionTime") if before and before.get("status") == self.status else None
        return {
            "type": str(self.type),
            "status": str(self.status),
            "reason": str(self.reason),
            "message": self.message[:MESSAGE_LENGTH],
            "observedGeneration": self.generation,
            "lastTransitionTime": kept or now,
        }


def accepted(verdict: Verdict, generation: int) -> Condition:
    """The compiler's word about the current generation; warnings stand beside it."""
    value = Tristate.TRUE if verdict.accepted else Tristate.FALSE
    message = verdict.message or "this generation is accepted"
    if verdict.warnings:
        message += f"; warning: {join_findings(verdict.warnings)}"
    return Condition(ConditionType.ACCEPTED, value, verdict.reason, message, generation)


def resolved_refs(verdict: Verdict, generation: int) -> Condition:
    """Whether every TokenIssuer that the policy refers to counts for it."""
    value = Tristate.TRUE if verdict.resolved_refs else Tristate.FALSE
    message = verdict.refs_message or "every TokenIssuer is there and may be used"
    return Condition(ConditionType.RESOLVED_REFS, value, verdict.refs_reason, message, generation)


def find(conditions: Sequence[Mapping[str, Any]], wanted: ConditionType) -> Mapping[str, Any] | None:
    """The condition of that type among those of the API object."""
    return next((condition for condition in conditions if condition.get("type") == wanted), None)


def kept(conditions: Sequence[Mapping[str, Any]], wanted: ConditionType, generation: int) -> Condition | None:
    """What was found about this generation before, where it was good."""
    before = find(conditions, wanted)
    if before is None or before.get("observedGeneration") != generation or before.get("status") != Tristate.TRUE:
        return None
    return Condition(wanted, Tristate.TRUE, str(before.get("reason")), str(before.get("message")), generation)


def summarize(conditions: Sequence[Condition], generation: int) -> Condition:
    """Ready: False if any is False, else Unknown if any is Unknown; the first such one says why."""
    for status in (Tristate.FALSE, Tristate.UNKNOWN):
        for condition in conditions:
            if condition.status is status:
                return Condition(ConditionType.READY, status, condition.reason, condition.message, generation)
    return Condition(ConditionType.READY, Tristate.TRUE, Reason.READY, conditions[-1].message, generation)


def differs(status: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
    """Whether anything but a time is different."""
    return _timeless(status) != _timeless(written)


def names(replicas: Sequence[str]) -> str:
    """At most three of them, and how many more there are."""
    shown = ", ".join(replicas[:NAMED_AT_MOST])
    more = len(replicas) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def _timeless(status: Mapping[str, Any]) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    conditions = [tuple(condition.get(name) for name in COMPARED) for condition in status.get("conditions", ())]
    return conditions, {name: value for name, value in status.items() if name not in APART}
