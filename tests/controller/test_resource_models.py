"""The models refuse and accept what tests/data/resources says; test_crds.py asks a real API server the same."""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stepguard_policy.documents import parse_object
from stepguard_policy.resources import (
    API_VERSION,
    Resource,
    StepUpPolicySpec,
    TokenIssuerSpec,
    format_duration,
    parse_duration,
)

from tests.support.resource_cases import Case, accepted, bounds, refused


def parsed(case: Case) -> Resource:
    value: dict[str, Any] = {"apiVersion": API_VERSION, "kind": case.kind, "metadata": {"name": "x"}, "spec": case.spec}
    resource = parse_object(value)
    assert not isinstance(resource, tuple), resource
    return resource


def said(case: Case) -> dict[str, str]:
    """Field below spec → what is said about it."""
    return {problem.field.removeprefix("spec."): problem.message for problem in parsed(case).spec_problems}


@pytest.mark.parametrize("case", accepted(), ids=lambda case: case.name)
def test_a_good_spec_is_taken(case: Case) -> None:
    assert said(case) == {}
    assert parsed(case).spec is not None


@pytest.mark.parametrize("case", refused(), ids=lambda case: case.name)
def test_nonsense_is_refused_with_its_field_and_a_sentence(case: Case) -> None:
    problems = said(case)
    assert case.where in problems
    assert case.says in problems[case.where]
    assert parsed(case).spec is None


@pytest.mark.parametrize("case", list(bounds()), ids=lambda case: case.name)
def test_each_bound_is_kept(case: Case) -> None:
    assert any(field.startswith(case.where) or case.where.startswith(field) for field in said(case)), said(case)


@pytest.mark.parametrize("case", accepted(), ids=lambda case: case.name)
def test_a_spec_written_out_reads_back_the_same(case: Case) -> None:
    spec = parsed(case).spec
    assert isinstance(spec, StepUpPolicySpec | TokenIssuerSpec)
    again = type(spec).model_validate(spec.to_object())
    assert again == spec


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("300s", 300),
        ("5m", 300),
        ("1h30m", 5400),
        ("1s1s1s", 3),
        ("99999h99999m99999s", 366_096_339),
        ("007s", 7),
    ],
)
def test_a_duration_counts_whole_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5", "5 s", "-5s", "+5s", "5ms", "1.5s", "100000s", "1h1m1s1s", "5S", "5s\n", "٣s", "5d"]
)
def test_what_is_no_duration_has_no_length(text: str) -> None:
    assert parse_duration(text) is None


@given(st.text())
def test_any_text_is_a_duration_or_none(text: str) -> None:
    seconds = parse_duration(text)
    assert seconds is None or seconds >= 0


@given(st.from_regex(re.compile(r"([0-9]{1,5}[hms]){1,3}", re.ASCII), fullmatch=True))
def test_a_duration_written_by_us_means_the_same(text: str) -> None:
    seconds = parse_duration(text)
    assert seconds is not None
    assume(seconds <= 99_999 * 3600)
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (60, "60s"), (300, "5m"), (7200, "2h"), (5430, "5430s"), (359_996_399, "99998h59m59s")],
)
def test_a_duration_is_written_as_people_do(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text
