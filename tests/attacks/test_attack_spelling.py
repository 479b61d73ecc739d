"""Spellings of a path that a server takes for the plain one must not reach a weaker rule, through a real Envoy too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_policy.paths import PathRefused, normalize_path

from tests.support.gateway import HOST, Gateway
from tests.support.http_clients import http1, http2

SPELLINGS = {
    "a colon as %3A": "/orders%3Acancel",
    "a colon as %3a": "/orders%3acancel",
    "an at sign as %40, inside a template": "/orders/7/%40me",
    "a character that must be escaped, sent bare": "/a|b",
    "escaped letters and an escaped colon": "/%6Frders%3Acancel/",
}


@pytest.mark.parametrize("listener", ["raw", "mesh"], ids=["Envoy normalises paths", "Envoy leaves paths alone"])
@pytest.mark.parametrize("target", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_escaping_a_reserved_character_does_not_turn_a_denied_path_into_a_public_one(
    gateway: Gateway, listener: str, target: str
) -> None:
    """Servers decode before they route: to them it is the path that the strict rule names."""
    before = len(gateway.application.received)
    port = gateway.envoy.port(listener)
    assert {http1(port, target, host=HOST).status, http2(port, target, host=HOST).status} <= {400, 403}
    assert len(gateway.application.received) == before


_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "\\?#/;%")


@given(st.text(_VISIBLE, min_size=1, max_size=12), st.sets(st.integers(0, 11)), st.booleans())
def test_escaping_any_character_of_a_segment_changes_nothing(
    segment: str,
    escaped: set[int],
    ignore_case: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    """A segment has one normal form, whichever of its visible characters are percent-encoded."""
    spelled = "".join(f"%{ord(char):02x}" if at in escaped else char for at, char in enumerate(segment))
    plain = normalize_path(f"/x/{segment}", ignore_case=ignore_case)
    assert not isinstance(plain, PathRefused)
    assert normalize_path(f"/x/{spelled}", ignore_case=ignore_case) == plain


FOLDED = {
    "the long s, which is an s in upper case": ("/%C5%BFecret", "/secret"),
    "the dotless i, which is an I in upper case": ("/secret/adm%C4%B1n", "/secret/admin"),
    "a final sigma": ("/x%CF%82", "/x%CF%83"),
}


@pytest.mark.parametrize(("target", "plain"), FOLDED.values(), ids=FOLDED.keys())
def test_a_letter_that_servers_fold_by_its_upper_case_reaches_the_same_rule(target: str, plain: str) -> None:
    """Some servers that ignore case compare in upper case, some in lower case, some in both (`ignoreCase: true`)."""
    assert normalize_path(target, ignore_case=True) == plain
