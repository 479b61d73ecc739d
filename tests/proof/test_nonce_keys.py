"""The file of nonce keys."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_policy.nonce_keys import BadKeys, key_id, parse_nonce_keys, render_nonce_keys

KEY = b"k" * 32
OTHER = b"o" * 48


def line(key: bytes) -> str:
    return urlsafe_b64encode(key).decode()


def test_keys_come_in_the_order_of_the_file() -> None:
    assert parse_nonce_keys(f"# current\n{line(KEY)}\n\n{line(OTHER)}\n") == (KEY, OTHER)


@given(st.lists(st.binary(min_size=32, max_size=80), min_size=1, max_size=16, unique=True))
def test_what_is_written_is_read_back(keys: list[bytes]) -> None:
    assert parse_nonce_keys(render_nonce_keys(keys)) == tuple(keys)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "no keys", id="an empty file"),
        pytest.param("# nothing\n", "no keys", id="only a comment"),
        pytest.param(f"{line(KEY)}\n{line(b'k' * 31)}", "line 2: 31 bytes; a key has at least 32", id="a short key"),
        pytest.param("!!!!", "line 1: not base64url", id="other characters"),
        pytest.param("é" * 43, "line 1: not base64url", id="characters beyond ASCII"),
        pytest.param(f"{line(KEY)}\n{line(KEY)}", "two lines", id="one key twice"),
        pytest.param("\n".join(line(bytes([n]) * 32) for n in range(17)), "17 keys", id="too many keys"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text: str, problem: str) -> None:
    parsed = parse_nonce_keys(text)
    assert isinstance(parsed, BadKeys)
    assert any(problem in found for found in parsed.problems)


def test_all_bad_lines_are_reported_at_once() -> None:
    parsed = parse_nonce_keys("!\n?\n")
    assert isinstance(parsed, BadKeys)
    assert len(parsed.problems) == 2


def test_no_problem_quotes_a_key() -> None:
    parsed = parse_nonce_keys("topsecretkeymaterial")
    assert isinstance(parsed, BadKeys)
    assert "topsecret" not in "".join(parsed.problems)


def test_the_id_of_a_key_is_stable() -> None:
    """The operator and the replicas compare ids with each other over a release."""
    assert key_id(KEY) == key_id(bytes(KEY)) != key_id(OTHER)


@given(st.text())
def test_fuzz_any_text_gives_keys_of_32_bytes_or_more_or_problems(text: str) -> None:
    """Any text gives usable keys or at least one problem, never an exception."""
    parsed = parse_nonce_keys(text)
    assert parsed.problems if isinstance(parsed, BadKeys) else all(len(key) >= 32 for key in parsed)
