"""Keys and tokens of test cases: every TokenIssuer gets a key of ours in place of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_cli.proofs import PrivateKey, public_jwk

KEY_ID: Final = "test"
LIFETIME: Final = 300
RSA_BITS: Final = 2048
CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


@dataclass(frozen=True, slots=True)
class SigningIssuer:
    """A TokenIssuer of the policies, with a key that signs for it."""

    message: pb.Issuer
    algorithm: str
    key: PrivateKey

    def token(self, claims: Mapping[str, object], now: int) -> str:
        """An access token that this issuer's rules accept, but for what `claims` change; null leaves a claim out."""
        stated: dict[str, object] = {
            "iss": self.message.issuer,
            "aud": list(self.message.audiences),
            "sub": "test-user",
            "client_id": "test-client",
            "iat": now,
            "exp": now + LIFETIME,
            "jti": "test-token",
            **claims,
        }
        payload = json.dumps({name: value for name, value in stated.items() if value is not None}).encode()
        algorithm = "EdDSA" if self.algorithm == "Ed25519" else self.algorithm
        header = {"typ": self.message.token_types[0], "kid": KEY_ID}
        return jwt.PyJWS().encode(payload, self.key, algorithm, headers=header)


def with_test_keys(snapshot: pb.PolicySnapshot) -> tuple[pb.PolicySnapshot, dict[str, SigningIssuer]]:
    """The snapshot with keys of ours inline, nobody to introspect with, and who can sign for its issuers, by name."""
    changed = pb.PolicySnapshot()
    changed.CopyFrom(snapshot)
    issuers = {}
    for message in changed.issuers:
        algorithm = _algorithm(message)
        key = new_key(algorithm)
        shown = {**public_jwk(key), "kid": KEY_ID}
        message.keys.Clear()
        message.keys.inline_jwks = json.dumps({"keys": [shown]})
        message.ClearField("introspection")
        issuers[message.name] = SigningIssuer(message, algorithm, key)
    return changed, issuers


def _algorithm(message: pb.Issuer) -> str:
    return "ES256" if "ES256" in message.algorithms else message.algorithms[0]


def new_key(algorithm: str) -> PrivateKey:
    """A new key that signs with the JWS algorithm."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ed25519.Ed25519PrivateKey.generate()
