"""Which pods of the service are ready, from its EndpointSlices."""

from collections.abc import Iterable, Mapping
from typing import Any


def ready_pods(slices: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the pods behind ready addresses (the address where no pod is named); a terminating one is not ready."""
    return frozenset(
        _name(endpoint)
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if endpoint.get("addresses") and _counts(endpoint.get("conditions") or {})
    )


def _counts(conditions: Mapping[str, Any]) -> bool:
    # The API says of an absent `ready` that it is to be read as true.
    return conditions.get("ready") is not False and conditions.get("terminating") is not True


def _name(endpoint: Mapping[str, Any]) -> str:
    target = endpoint.get("targetRef") or {}
    name = target.get("name") if target.get("kind", "Pod") == "Pod" else None
    return str(name or endpoint["addresses"][0])
