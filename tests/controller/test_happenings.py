"""Events: once for each change of state, and none on the way."""

from typing import Any

import pytest
from stepguard_operator.happenings import Happening, event, happening

METADATA = {"name": "payments", "namespace": "bank", "uid": "u", "generation": 3, "resourceVersion": "9"}


def ready(status: str, reason: str) -> dict[str, Any]:
    """A status with this condition Ready."""
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "m"}]}


CASES = {
    "the first state": ({}, ready("True", "Ready"), Happening(warning=False, reason="Ready", message="m")),
    "from good to bad": (
        ready("True", "Ready"),
        ready("False", "Conflicted"),
        Happening(warning=True, reason="Conflicted", message="m"),
    ),
    "from one fault to another": (
        ready("False", "Conflicted"),
        ready("False", "HostConflict"),
        Happening(warning=True, reason="HostConflict", message="m"),
    ),
    "nothing new": (ready("True", "Ready"), ready("True", "Ready"), None),
    "on the way": (ready("True", "Ready"), ready("False", "Pending"), None),
    "arrived": (
        ready("False", "Pending"),
        ready("True", "Ready"),
        Happening(warning=False, reason="Ready", message="m"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_told(case: tuple[dict[str, Any], dict[str, Any], Happening | None]) -> None:
    before, after, expected = case
    assert happening(before, after) == expected


def test_the_same_happening_has_the_same_name_so_that_it_is_told_once() -> None:
    told = Happening(warning=True, reason="Conflicted", message="m")
    first = event("StepUpPolicy", METADATA, told, "2030-01-01T00:00:00Z")
    again = event("StepUpPolicy", {**METADATA, "resourceVersion": "10"}, told, "2030-01-01T00:10:00Z")
    assert first["metadata"] == again["metadata"]
    assert event("StepUpPolicy", {**METADATA, "generation": 4}, told, "x")["metadata"] != first["metadata"]


def test_an_event_about_an_object_without_a_namespace_stands_in_default() -> None:
    told = event(
        "TokenIssuer", {"name": "main", "uid": "u"}, Happening(warning=False, reason="Ready", message="m"), "x"
    )
    assert told["metadata"]["namespace"] == "default"
    assert told["involvedObject"]["namespace"] == ""
