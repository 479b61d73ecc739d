"""Nonces of this resource server (RFC 9449 §9)."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.proof.nonce import NonceKeys, random_keys

OLD = b"o" * 32
NEW = b"n" * 32
KEYS = NonceKeys((OLD,))
HOST = "api.example.com"
NOW = 1_800_000_000


def test_a_nonce_is_good_at_the_moment_it_was_issued_and_has_the_age_zero() -> None:
    assert KEYS.check(KEYS.issue(HOST, NOW), HOST, NOW, 10) == 0


def test_a_nonce_fits_the_syntax_of_the_header() -> None:
    """RFC 9449 §8: only the characters %x21, %x23-5B and %x5D-7E."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", KEYS.issue(HOST, NOW))


def test_two_nonces_of_one_second_differ() -> None:
    assert KEYS.issue(HOST, NOW) != KEYS.issue(HOST, NOW)


@pytest.mark.parametrize(
    ("later", "age"),
    [
        pytest.param(1, 1, id="one second old"),
        pytest.param(150, 150, id="at half its life"),
        pytest.param(300, 300, id="on its last second"),
        pytest.param(301, None, id="one second too old"),
        pytest.param(-10, 0, id="from a replica whose clock is ahead by the skew"),
        pytest.param(-11, None, id="from further in the future than the skew"),
    ],
)
def test_a_nonce_is_good_for_300_seconds(later: int, age: float | None) -> None:
    assert KEYS.check(KEYS.issue(HOST, NOW), HOST, NOW + later, 10) == age


def test_a_nonce_of_one_host_is_no_nonce_of_another() -> None:
    assert KEYS.check(KEYS.issue(HOST, NOW), "other.example.com", NOW, 10) is None


def test_replicas_with_the_same_keys_agree() -> None:
    assert NonceKeys((OLD,)).check(NonceKeys((OLD,)).issue(HOST, NOW), HOST, NOW, 10) == 0


def test_a_rotation_in_three_steps_refuses_no_nonce_at_any_replica() -> None:
    """First the new key is appended, then moved to the front, then the old one is dropped: neighbours always agree."""
    before, appended, moved, dropped = (NonceKeys(keys) for keys in ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,)))
    for one, other in ((before, appended), (appended, moved), (moved, dropped)):
        assert one.check(one.issue(HOST, NOW), HOST, NOW, 10) == 0
        if other is not dropped:
            assert other.check(one.issue(HOST, NOW), HOST, NOW, 10) == 0
        if one is not before:
            assert one.check(other.issue(HOST, NOW), HOST, NOW, 10) == 0


def test_a_nonce_of_a_dropped_key_is_unknown() -> None:
    assert NonceKeys((NEW,)).check(KEYS.issue(HOST, NOW), HOST, NOW, 10) is None


def test_a_process_without_keys_of_its_own_makes_unpredictable_ones() -> None:
    assert random_keys().check(random_keys().issue(HOST, NOW), HOST, NOW, 10) is None


def test_ids_name_the_signing_key_first_and_reveal_no_key() -> None:
    ids = NonceKeys((NEW, OLD)).ids
    assert len(set(ids)) == 2
    assert ids[1:] == NonceKeys((OLD,)).ids
    assert all(re.fullmatch(r"[0-9a-f]{16}", key_id) for key_id in ids)


@given(st.text() | st.binary(max_size=64).map(lambda raw: urlsafe_b64encode(raw).decode().rstrip("=")))
def test_fuzz_no_text_that_we_did_not_issue_is_a_nonce(text: str) -> None:
    """Any text is refused, and never by an exception."""
    assert KEYS.check(text, HOST, NOW, 10) is None


@given(st.integers(0, 255))
def test_no_nonce_survives_a_changed_bit(bit: int) -> None:
    raw = int.from_bytes(urlsafe_b64decode(KEYS.issue(HOST, NOW) + "="), "big") ^ (1 << bit)
    changed = urlsafe_b64encode(raw.to_bytes(32, "big")).decode().rstrip("=")
    assert KEYS.check(changed, HOST, NOW, 10) is None


def test_a_nonce_has_only_one_spelling() -> None:
    """The last character of 43 carries two unused bits; other values of them are another text for the same bytes."""
    nonce = KEYS.issue(HOST, NOW)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = nonce[:-1] + alphabet[alphabet.index(nonce[-1]) + 1]
    assert urlsafe_b64decode(sibling + "=") == urlsafe_b64decode(nonce + "=")
    assert KEYS.check(sibling, HOST, NOW, 10) is None
