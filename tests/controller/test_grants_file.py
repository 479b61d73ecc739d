"""The file of host grants: all of it or one line that says what is wrong."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepguard_operator.grants_file import BadGrantsError, read_grants
from stepguard_policy.compile import Allowance, HostGrant


def test_grants_are_read(tmp_path: Path) -> None:
    file = tmp_path / "grants.yaml"
    file.write_text(
        "- {hosts: ['*.bank.example.com'], namespaces: [bank], allow: [Audit]}\n- {hosts: [a.b], namespaces: ['*']}"
    )
    assert read_grants(file) == (
        HostGrant(("*.bank.example.com",), ("bank",), frozenset({Allowance.AUDIT})),
        HostGrant(("a.b",), ("*",), frozenset()),
    )


def test_an_empty_list_grants_nothing_to_anybody(tmp_path: Path) -> None:
    file = tmp_path / "grants.yaml"
    file.write_text("[]")
    assert read_grants(file) == ()


MISTAKES = {
    "no list": ("hosts: [a]", "a list of {hosts, namespaces, allow} is needed"),
    "an empty file": ("", "a list of {hosts, namespaces, allow} is needed"),
    "no YAML": ("- {", "no YAML"),
    "a grant without namespaces": ("- {hosts: [a.b]}", "[0]: hosts and namespaces are needed"),
    "a misspelt field": ("- {hosts: [a.b], namespaces: [x], alow: [Audit]}", "[0]: hosts and namespaces are needed"),
    "a host that is none": ("- {hosts: ['a b'], namespaces: [x]}", "[0].hosts: host grant for 'a b'"),
    "an allowance that is none": ("- {hosts: [a.b], namespaces: [x], allow: [All]}", "[0].allow: 'All' is none of"),
    "one namespace instead of a list": ("- {hosts: [a.b], namespaces: x}", "[0].namespaces: a list of strings"),
}


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_place(case: tuple[str, str], tmp_path: Path) -> None:
    text, expected = case
    file = tmp_path / "grants.yaml"
    file.write_text(text)
    with pytest.raises(BadGrantsError) as caught:
        read_grants(file)
    assert f"{file}: {expected}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadGrantsError, match="no such file"):
        read_grants(tmp_path / "missing")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_grants_or_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "grants.yaml"
    file.write_bytes(content)
    try:
        read_grants(file)
    except BadGrantsError as error:
        assert "\n" not in str(error)  # noqa: PT017  (either outcome is fine)
