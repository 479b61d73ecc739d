"""TokenIssuers and policies of the core, for tests of what verifies tokens and proofs."""

from dataclasses import replace
from typing import Any, Final

from stepguard_service.core.keys import KeySet
from stepguard_service.core.model import DpopSettings, InlineKeys, Issuer, Mode, Origin, Policy
from stepguard_service.proof.jwk import parse_jwk_set

from tests.support.tokens import AUDIENCE, ISSUER, Members, Signer, jwk_set

ALGORITHMS: Final = (
    "ES256",
    "ES384",
    "ES512",
    "PS256",
    "PS384",
    "PS512",
    "RS256",
    "RS384",
    "RS512",
    "EdDSA",
    "Ed25519",
)
"""All that may be configured."""


def issuer(**changes: Any) -> Issuer:
    """A TokenIssuer for what `Signer` makes, with these fields changed."""
    usual = Issuer(
        name="main",
        hash="main-1",
        issuer=ISSUER,
        audiences=frozenset({AUDIENCE}),
        keys=InlineKeys(""),
        algorithms=frozenset(ALGORITHMS),
        token_types=frozenset({"at+jwt"}),
        clock_skew=5,
        required_claims=("exp", "sub"),
    )
    return replace(usual, **changes)


def policy(*issuers: Issuer, **changes: Any) -> Policy:
    """A policy that trusts these TokenIssuers, with these fields changed."""
    usual = Policy(
        name="bank/payments",
        mode=Mode.ENFORCE,
        issuers={one.issuer: one for one in issuers},
        audiences=frozenset(),
        dpop=DpopSettings(ALGORITHMS),
        origin=Origin(),
    )
    return replace(usual, **changes)


def key_set(*keys: Signer | Members) -> KeySet:
    """The keys in force for signers' public keys, and for keys given as members."""
    parsed = parse_jwk_set(jwk_set(*keys).encode())
    assert isinstance(parsed, KeySet)
    return parsed
