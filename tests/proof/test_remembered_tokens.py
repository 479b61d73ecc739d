"""Remembered access tokens: what enters, what is looked at every time, and what ends it."""

from dataclasses import replace
from typing import Final

import pytest
from stepguard_service.core.keys import KeySet
from stepguard_service.core.model import AccessToken, Issuer, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import NeedIntrospection, NeedKeys
from stepguard_service.proof.access_token import TokenVerifier

from tests.support.tokens import ABSENT, Signer
from tests.support.trust import issuer, key_set, policy

NOW: Final = 1_800_000_000
SIGNER: Final = Signer()
KEYS: Final = key_set(SIGNER)
MAIN: Final = issuer()
POLICY: Final = policy(MAIN)
GOOD: Final = SIGNER.access_token(NOW)


def reason(outcome: AccessToken | Rejected | NeedKeys | NeedIntrospection) -> Reason:
    assert isinstance(outcome, Rejected)
    return outcome.reason


class Keys:
    """Keys in force that a test changes."""

    def __init__(self, keys: KeySet | None) -> None:
        self.now = keys

    def __call__(self, _: Issuer) -> KeySet | None:
        """What the verifier asks for."""
        return self.now


def test_an_accepted_token_is_remembered() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    first = verifier.verify(GOOD, POLICY, NOW)
    assert verifier.verify(GOOD, POLICY, NOW) is first
    assert (verifier.cache.hits, verifier.cache.misses, len(verifier.cache)) == (1, 1, 1)


REFUSED: Final = {
    "by another key": Signer().access_token(NOW),
    "for another audience": SIGNER.access_token(NOW, claims={"aud": "x"}),
    "that is over": SIGNER.access_token(NOW, claims={"exp": NOW - 9}),
    "that is not yet valid": SIGNER.access_token(NOW, claims={"nbf": NOW + 9}),
    "without sub": SIGNER.access_token(NOW, claims={"sub": ABSENT}),
    "of a wrong type": SIGNER.access_token(NOW, header={"typ": "JWT"}),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_nothing_is_remembered_of_a_token(value: str) -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    assert isinstance(verifier.verify(value, POLICY, NOW), Rejected)
    assert len(verifier.cache) == 0


def test_time_is_looked_at_for_remembered_tokens_too() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    value = SIGNER.access_token(NOW, claims={"nbf": NOW})
    assert isinstance(verifier.verify(value, POLICY, NOW), AccessToken)
    assert isinstance(verifier.verify(value, POLICY, NOW + 304), AccessToken)
    assert reason(verifier.verify(value, POLICY, NOW + 305)) is Reason.TOKEN_EXPIRED
    assert reason(verifier.verify(value, POLICY, NOW - 6)) is Reason.TOKEN_NOT_YET_VALID


def test_the_audiences_of_each_policy_hold_for_remembered_tokens_too() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    assert isinstance(verifier.verify(GOOD, POLICY, NOW), AccessToken)
    assert reason(verifier.verify(GOOD, replace(POLICY, audiences=frozenset({"x"})), NOW)) is Reason.TOKEN_AUDIENCE


def test_a_policy_that_does_not_trust_the_issuer_refuses_remembered_tokens() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    assert isinstance(verifier.verify(GOOD, POLICY, NOW), AccessToken)
    assert reason(verifier.verify(GOOD, policy(), NOW)) is Reason.TOKEN_ISSUER


def test_a_key_that_was_taken_away_verifies_no_remembered_token() -> None:
    keys = Keys(KEYS)
    verifier = TokenVerifier(keys)
    assert isinstance(verifier.verify(GOOD, POLICY, NOW), AccessToken)
    keys.now = key_set(Signer(kid="key-2"))
    assert verifier.verify(GOOD, POLICY, NOW) == NeedKeys(MAIN, SIGNER.kid)


def test_an_issuer_without_keys_verifies_no_remembered_token() -> None:
    keys = Keys(KEYS)
    verifier = TokenVerifier(keys)
    assert isinstance(verifier.verify(GOOD, POLICY, NOW), AccessToken)
    keys.now = None
    assert verifier.verify(GOOD, POLICY, NOW) == NeedKeys(MAIN, None)


def test_two_issuers_of_one_iss_share_nothing() -> None:
    """The second TokenIssuer accepts other types; what the first accepted does not count for it."""
    verifier = TokenVerifier(lambda _: KEYS)
    other = policy(issuer(name="other", hash="other-1", token_types=frozenset({"JWT"})))
    assert isinstance(verifier.verify(GOOD, POLICY, NOW), AccessToken)
    assert reason(verifier.verify(GOOD, other, NOW)) is Reason.TOKEN_TYPE


def test_a_changed_issuer_verifies_its_tokens_anew() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    assert isinstance(verifier.verify(GOOD, POLICY, NOW), AccessToken)
    stricter = policy(issuer(hash="main-2", required_claims=("groups",)))
    assert reason(verifier.verify(GOOD, stricter, NOW)) is Reason.TOKEN_CLAIM_MISSING


def test_the_algorithms_of_the_issuer_hold_for_remembered_tokens_whatever_its_hash_says() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    assert isinstance(verifier.verify(GOOD, POLICY, NOW), AccessToken)
    same_hash = policy(issuer(algorithms=frozenset({"PS256"})))
    assert reason(verifier.verify(GOOD, same_hash, NOW)) is Reason.TOKEN_ALGORITHM


def test_what_issuers_that_are_gone_had_signed_is_forgotten() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    verifier.verify(GOOD, POLICY, NOW)
    for in_force, remembered in (("main-1", 1), ("main-2", 0)):
        verifier.retain(frozenset({in_force}))
        verifier.verify("no token", POLICY, NOW)
        assert len(verifier.cache) == remembered


def test_a_remembered_token_is_found_under_any_issuer_of_the_policy() -> None:
    verifier = TokenVerifier(lambda _: KEYS)
    many = policy(issuer(hash="a", issuer="https://a.example"), MAIN, issuer(hash="b", issuer="https://b.example"))
    verifier.verify(GOOD, many, NOW)
    verifier.verify(GOOD, many, NOW)
    assert (verifier.cache.hits, verifier.cache.misses) == (1, 1)
