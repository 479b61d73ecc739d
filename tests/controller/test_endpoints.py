"""Which pods count as ready replicas."""

from typing import Any

import pytest
from stepguard_operator.endpoints import ready_pods


def endpoint(name: str | None, address: str = "10.0.0.1", **conditions: bool) -> dict[str, Any]:
    """One endpoint of a slice, of that pod or of none."""
    target = {"targetRef": {"kind": "Pod", "name": name}} if name else {}
    return {"addresses": [address], "conditions": conditions, **target}


CASES = {
    "a ready pod": (endpoint("a", ready=True), {"a"}),
    "a pod of which nothing is said is ready": (endpoint("a"), {"a"}),
    "a pod that is not ready": (endpoint("a", ready=False), set()),
    "a terminating pod, whatever else is said of it": (endpoint("a", ready=True, terminating=True), set()),
    "an address without a pod goes by its address": (endpoint(None, "10.0.0.9", ready=True), {"10.0.0.9"}),
    "no address, no replica": ({"addresses": [], "conditions": {"ready": True}}, set()),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_endpoint(case: tuple[dict[str, Any], set[str]]) -> None:
    given, expected = case
    assert ready_pods([{"endpoints": [given]}]) == expected


def test_a_pod_with_two_addresses_in_two_slices_is_one() -> None:
    assert ready_pods([{"endpoints": [endpoint("a")]}, {"endpoints": [endpoint("a", "fd00::1")]}, {}]) == {"a"}
