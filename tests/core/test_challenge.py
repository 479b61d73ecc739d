"""Challenges are written and read back; only RFC 6750's characters ever stand in them."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.challenge import Challenge, parse_challenge, terms_of, write_challenge
from stepguard_service.core.model import ResourceMetadata, Scheme

from tests.support.policies import policy, rule

_ALLOWED = [chr(code) for code in (0x20, 0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F))]
_TEXT = st.text(st.sampled_from(_ALLOWED))
_WORDS = st.lists(st.text(st.sampled_from(_ALLOWED[1:]), min_size=1), max_size=3).map(tuple)
_CHALLENGES = st.builds(
    Challenge,
    scheme=st.sampled_from(Scheme),
    realm=_TEXT,
    error=_TEXT,
    error_description=_TEXT,
    algs=_WORDS,
    acr_values=_WORDS,
    max_age=st.none() | st.integers(0, 9_999_999_999),
    scope=_WORDS,
    resource_metadata=_TEXT,
)
FULL = Challenge(
    Scheme.DPOP,
    "bank/payments",
    error="insufficient_user_authentication",
    error_description="more recent authentication is required",
    algs=("ES256", "EdDSA"),
    acr_values=("urn:phr", "urn:mfa"),
    max_age=300,
    scope=("read", "write"),
    resource_metadata="https://api.example.com/.well-known/oauth-protected-resource",
)


def test_a_challenge_with_everything() -> None:
    """Each parameter is a quoted-string; DPoP's, step-up's and RFC 9728's ride in one challenge."""
    assert write_challenge(FULL) == (
        'DPoP realm="bank/payments", error="insufficient_user_authentication", '
        'error_description="more recent authentication is required", algs="ES256 EdDSA", '
        'acr_values="urn:phr urn:mfa", max_age="300", scope="read write", '
        'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"'
    )


def test_a_bare_challenge_still_has_a_realm() -> None:
    """RFC 6750 §3: a Bearer challenge has at least one parameter."""
    assert write_challenge(Challenge(Scheme.BEARER, "bank/payments")) == 'Bearer realm="bank/payments"'


def test_a_max_age_of_zero_is_written() -> None:
    """Zero is a number of seconds, not none."""
    assert 'max_age="0"' in write_challenge(replace(FULL, max_age=0))


@given(_CHALLENGES)
def test_what_is_written_is_read_back(challenge: Challenge) -> None:
    """Any challenge of allowed characters survives being written and read."""
    assert parse_challenge(write_challenge(challenge)) == challenge


@given(st.builds(Challenge, st.sampled_from(Scheme), realm=st.text(), error=st.text(), scope=st.tuples(st.text())))
def test_only_allowed_characters_are_written(challenge: Challenge) -> None:
    """Whatever a value has, the line is one challenge of quoted-strings of RFC 6750's characters."""
    written = write_challenge(challenge)
    assert re.fullmatch(
        r'(DPoP|Bearer) [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*', written
    )


@given(st.text() | _CHALLENGES.map(write_challenge).flatmap(lambda line: st.integers(0, 99).map(lambda n: line[:n])))
def test_any_text_is_a_challenge_or_none(text: str) -> None:
    """Reading any text gives None or a challenge that survives being written and read; it never fails."""
    challenge = parse_challenge(text)
    assert challenge is None or parse_challenge(write_challenge(challenge)) == challenge


NOT_OURS = {
    "another scheme": 'Basic realm="a"',
    "no parameters": "DPoP ",
    "no realm": 'DPoP error="invalid_token"',
    "a parameter twice": 'DPoP realm="a", realm="b"',
    "an unknown parameter": 'DPoP realm="a", colour="b"',
    "a token instead of a quoted-string": "DPoP realm=a",
    "a quote inside": 'DPoP realm="a\\"b"',
    "a max_age that is no number": 'DPoP realm="a", max_age="soon"',
    "something at the end": 'DPoP realm="a", ',
}


@pytest.mark.parametrize("line", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_we_never_write_is_not_read(line: str) -> None:
    """The reader is as strict as the writer."""
    assert parse_challenge(line) is None


def test_the_terms_of_a_rule_that_asks_for_dpop_offer_no_bearer() -> None:
    """It would invite a client to send a bound token as a bearer token."""
    assert terms_of(rule(dpop_required=True)).schemes == (Scheme.DPOP,)
    assert terms_of(rule()).schemes == (Scheme.DPOP, Scheme.BEARER)


def test_the_terms_of_a_rule_name_its_policy_and_document() -> None:
    """Realm, algorithms and RFC 9728 document come from the policy."""
    document = ResourceMetadata("/.well-known/oauth-protected-resource", "https://a/.well-known/x", "{}")
    terms = terms_of(rule(of=policy("bank/payments", resource_metadata=document)))
    assert (terms.realm, terms.algs) == ("bank/payments", ("ES256", "EdDSA"))
    assert terms.resource_metadata == "https://a/.well-known/x"
