"""Remembered headers of proofs: what enters, and what is checked every time."""

from dataclasses import replace
from typing import Any, Final

import pytest
from stepguard_service.core.model import DpopSettings, Proof, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.proof.dpop import HeaderCache, header_cache

from tests.support.proofs import verify_proof
from tests.support.tokens import ClientKey, ath
from tests.support.trust import ALGORITHMS

NOW: Final = 1_800_000_000
URL: Final = "https://api.example.com/transfers"
TOKEN: Final = "token-1"
CLIENT: Final = ClientKey()
OTHER: Final = ClientKey()
SETTINGS: Final = DpopSettings(ALGORITHMS)


def proof(**parts: Any) -> str:
    return CLIENT.proof("POST", URL, now=NOW, token=TOKEN, **parts)


def verify(
    value: str,
    settings: DpopSettings = SETTINGS,
    *,
    headers: HeaderCache | None,
    method: str = "POST",
    target: str = URL,
    token: str = TOKEN,
    now: int = NOW,
) -> Proof | Rejected:
    return verify_proof(
        value, settings=settings, method=method, target=target, ath=ath(token), nonce=None, now=now, headers=headers
    )


def reason(outcome: Proof | Rejected) -> Reason:
    assert isinstance(outcome, Rejected)
    return outcome.reason


GOOD: Final = proof()
HEAD: Final = GOOD.split(".")[0]


def test_a_header_is_remembered_once_a_proof_with_it_is_signed_well() -> None:
    headers = header_cache()
    assert verify(proof(claims={"jti": "1"}), headers=headers) == Proof(CLIENT.jkt, "1", NOW)
    assert verify(proof(claims={"jti": "2"}), headers=headers) == Proof(CLIENT.jkt, "2", NOW)
    assert (headers.hits, headers.misses, len(headers)) == (1, 1, 1)


@pytest.mark.parametrize(
    "header",
    [{"jwk": OTHER.key.public_jwk}, {"typ": "JWT"}, {"jwk": CLIENT.key.private_jwk}, {"crit": ["x"]}],
    ids=["of another key", "of another type", "with a private key", "with a critical parameter"],
)
def test_the_header_of_a_refused_proof_is_not_remembered(header: dict[str, Any]) -> None:
    headers = header_cache()
    verify(proof(header=header), headers=headers)
    assert len(headers) == 0


def test_the_algorithms_of_the_policy_hold_for_remembered_headers_too() -> None:
    headers = header_cache()
    assert isinstance(verify(GOOD, headers=headers), Proof)
    other_policy = replace(SETTINGS, algorithms=("PS256",))
    assert reason(verify(GOOD, other_policy, headers=headers)) is Reason.PROOF_ALGORITHM


def test_a_signature_is_verified_every_time() -> None:
    headers = header_cache()
    assert isinstance(verify(GOOD, headers=headers), Proof)
    forged = proof(signed_by=OTHER.key)
    assert forged.split(".")[0] == HEAD
    assert reason(verify(forged, headers=headers)) is Reason.PROOF_SIGNATURE


@pytest.mark.parametrize("headers", [None, header_cache()], ids=["at first", "with its header remembered"])
def test_everything_else_is_checked_every_time(headers: HeaderCache | None) -> None:
    verify(GOOD, headers=headers)
    assert reason(verify(GOOD, headers=headers, method="PUT")) is Reason.PROOF_METHOD
    assert reason(verify(GOOD, headers=headers, target=f"{URL}x")) is Reason.PROOF_TARGET
    assert reason(verify(GOOD, headers=headers, token="another")) is Reason.PROOF_TOKEN_HASH
    assert reason(verify(GOOD, headers=headers, now=NOW + 61)) is Reason.PROOF_TOO_OLD
