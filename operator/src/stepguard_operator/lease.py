"""Who is the active operator: the rules, without a clock and without the API.

The Lease's holder is active. Whether a holder is gone is judged by how long *we* have seen the Lease unchanged, so no
two clocks are compared. `acquireTime` is the epoch of what the holder publishes: it grows with every take-over,
whatever the clocks say, and stays when the Lease is released.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

LEASE_NAME: Final = "stepguard-operator"
LEASE_SECONDS: Final = 15
RENEW_SECONDS: Final = 5.0
POLL_SECONDS: Final = 2.0
"""How often a standby looks: a released Lease is taken over within this time."""
_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lease:
    """What the Lease object says. `acquired` is acquireTime in Unix microseconds; an empty holder: released."""

    holder: str
    acquired: int
    transitions: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    renewed: str = ""
    seconds: int = LEASE_SECONDS


class Step(Enum):
    """What to do next."""

    TAKE = auto()
    RENEW = auto()
    WAIT = auto()


def next_step(lease: Lease | None, *, identity: str, unchanged_for: float) -> Step:
    """Judge the Lease, None where there is none. `unchanged_for`: seconds since we first saw it as it is."""
    if lease is None or not lease.holder:
        return Step.TAKE
    if lease.holder == identity:
        return Step.RENEW
    return Step.TAKE if unchanged_for > lease.seconds else Step.WAIT


def taken(lease: Lease | None, *, identity: str, now: int) -> Lease:
    """The Lease after a take-over; `now` in Unix microseconds."""
    if lease is None:
        return Lease(identity, now, 0, renewed=micro_time(now))
    acquired = max(now, lease.acquired + 1)
    return Lease(identity, acquired, lease.transitions + 1, lease.metadata, micro_time(now))


def renewed(lease: Lease, *, now: int) -> Lease:
    """The Lease after a renewal by its holder."""
    return Lease(lease.holder, lease.acquired, lease.transitions, lease.metadata, micro_time(now))


def released(lease: Lease, *, now: int) -> Lease:
    """The Lease after its holder gave it up; acquireTime stays, for the next epoch to be larger."""
    return Lease("", lease.acquired, lease.transitions, lease.metadata, micro_time(now), seconds=1)


def parse_lease(raw: Mapping[str, Any]) -> Lease:
    """Read the API object. Whatever somebody wrote by hand, a missing or odd acquireTime counts as 1970."""
    spec = raw.get("spec") or {}
    return Lease(
        holder=str(spec.get("holderIdentity") or ""),
        acquired=_parse_time(spec.get("acquireTime")),
        transitions=int(spec.get("leaseTransitions") or 0),
        metadata=raw["metadata"],
        renewed=str(spec.get("renewTime") or ""),
        seconds=int(spec.get("leaseDurationSeconds") or LEASE_SECONDS),
    )


def lease_object(lease: Lease, namespace: str) -> dict[str, Any]:
    """As the API takes it. The metadata's resourceVersion makes the API refuse whoever read an older one."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {**lease.metadata, "name": LEASE_NAME, "namespace": namespace},
        "spec": {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": lease.seconds,
            "acquireTime": micro_time(lease.acquired),
            "renewTime": lease.renewed,
            "leaseTransitions": lease.transitions,
        },
    }


def micro_time(microseconds: int) -> str:
    """RFC 3339 with six digits: MicroTime of the Kubernetes API."""
    return (_ZERO + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse_time(value: object) -> int:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return 0
    if at.tzinfo is None:
        return 0
    return (at - _ZERO) // timedelta(microseconds=1)
