"""Events: what `kubectl describe` shows, once for each change of state."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from stepguard_policy.resources import API_VERSION

from stepguard_operator.conditions import ConditionType, Reason, Tristate, find

COMPONENT: Final = "stepguard-operator"
CLUSTER_EVENTS_NAMESPACE: Final = "default"
"""Where the Kubernetes API keeps events about objects without a namespace."""
MESSAGE_LENGTH: Final = 1024
"""The API's own limit for an Event's note."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A change of state that somebody should hear of."""

    warning: bool
    reason: str
    message: str


def happening(before: Mapping[str, Any], after: Mapping[str, Any]) -> Happening | None:
    """What to tell about this step from one status to the next; on the way to a state there is nothing to tell yet."""
    was = find(before.get("conditions", ()), ConditionType.READY) or {}
    now = find(after.get("conditions", ()), ConditionType.READY) or {}
    if (
        not now
        or now["reason"] == Reason.PENDING
        or (was.get("status"), was.get("reason"))
        == (
            now["status"],
            now["reason"],
        )
    ):
        return None
    return Happening(now["status"] != Tristate.TRUE, now["reason"], now["message"])


def event(kind: str, metadata: Mapping[str, Any], what: Happening, now: str) -> dict[str, Any]:
    """The Event object. Its name is its content, so that telling it twice is refused by the API and harms nobody."""
    namespace = metadata.get("namespace") or CLUSTER_EVENTS_NAMESPACE
    content = "\0".join((metadata["uid"], str(metadata.get("generation", 0)), what.reason, what.message))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{sha256(content.encode()).hexdigest()[:16]}",
            "namespace": namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": "Warning" if what.warning else "Normal",
        "reason": what.reason,
        "message": what.message[:MESSAGE_LENGTH],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
