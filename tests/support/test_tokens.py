"""The tokens and proofs that tests are made of are what they claim to be: PyJWT's own verification agrees."""

import jwt
import pytest

from tests.support.tokens import ABSENT, AUDIENCE, ClientKey, Signer, ath, thumbprint

NOW = 1_800_000_000
ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_verify_with_the_key_in_the_jwk_set(algorithm: str) -> None:
    """Every kind of signer makes tokens that PyJWT accepts with the published key."""
    signer = Signer(algorithm)
    name = "EdDSA" if algorithm == "Ed25519" else algorithm
    token = signer.access_token(NOW, jkt="x", header={"alg": name})
    key = jwt.PyJWK.from_dict(signer.jwk(alg=name))
    claims = jwt.decode(
        token, key, algorithms=[name], audience=AUDIENCE, options={"verify_exp": False, "verify_iat": False}
    )
    assert claims["cnf"] == {"jkt": "x"}


def test_a_proof_carries_its_public_key_and_the_hash_of_the_token() -> None:
    """`jwk` verifies the proof and has no private member."""
    client = ClientKey()
    proof = client.proof("POST", "https://api.example.com/x", now=NOW, token="abc", nonce="n1")
    header = jwt.get_unverified_header(proof)
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}
    claims = jwt.decode(proof, jwt.PyJWK.from_dict(header["jwk"]), algorithms=["ES256"], options={"verify_iat": False})
    assert claims | {"jti": ""} == {
        "jti": "",
        "htm": "POST",
        "htu": "https://api.example.com/x",
        "iat": NOW,
        "ath": ath("abc"),
        "nonce": "n1",
    }


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """The RSA example of RFC 7638 §3.1."""
    vector = {
        "kty": "RSA",
        "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi"
        "FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0"
        "zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFC"
        "ur-kEgU8awapJzKnqDKgw",
    }
    assert thumbprint(vector) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_an_absent_member_is_left_out() -> None:
    """A fault asked for is in the token."""
    token = Signer().access_token(NOW, header={"typ": ABSENT}, claims={"exp": ABSENT, "sub": 5})
    assert "typ" not in jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert "exp" not in claims
    assert claims["sub"] == 5
