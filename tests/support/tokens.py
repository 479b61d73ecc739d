"""Access tokens and DPoP proofs as authorization servers and clients make them, right or with any fault asked for.

Built with PyJWT's signing functions and `cryptography`, independent of `stepguard_service.proof`: what this module
makes and what the service reads must agree because both follow the RFCs, not because they share code.

A fault is asked for by overriding members of the header or the claims; `ABSENT` removes one. Where JSON itself shall be
odd (duplicate members, NaN, deep nesting), pass the text instead of a mapping.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt import get_algorithm_by_name
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER: Final = "https://as.example"
AUDIENCE: Final = "https://api.example.com"
TOKEN_LIFETIME: Final = 300
ABSENT: Final = object()
"""As the value of a header parameter or claim: leave the member out."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
Members = Mapping[str, object]
Json = Members | str | bytes

CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
    "ES256K": ec.SECP256K1(),
}
THUMBPRINT_MEMBERS: Final = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


def base64url(data: bytes) -> str:
    """Unpadded base64url (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ath(token: str) -> str:
    """Hash of an access token for a proof (RFC 9449 §4.2)."""
    return base64url(hashlib.sha256(token.encode()).digest())


def thumbprint(jwk: Members) -> str:
    """The key's name by its required members alone (RFC 7638), SHA-256."""
    required = {name: jwk[name] for name in THUMBPRINT_MEMBERS[str(jwk["kty"])]}
    text = json.dumps(required, sort_keys=True, separators=(",", ":"))
    return base64url(hashlib.sha256(text.encode()).digest())


def merged(members: Members, overrides: Members) -> dict[str, object]:
    """`members` with `overrides` on top; those overridden by ABSENT are left out."""
    return {name: value for name, value in {**members, **overrides}.items() if value is not ABSENT}


def encoded(part: Json) -> bytes:
    """A segment's octets: text as it stands, members as compact JSON."""
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode()
    return json.dumps(part, separators=(",", ":")).encode()


@cache
def rsa_key(bits: int, name: str) -> rsa.RSAPrivateKey:
    """An RSA key; the same one for the same name, because making them takes long."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def generate(algorithm: str, *, name: str = "", bits: int = 2048) -> PrivateKey:
    """A private key that fits the JWS algorithm; `name` tells RSA keys of the same size apart."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm[:2] in {"RS", "PS"}:
        return rsa_key(bits, name)
    if algorithm == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class SigningKey:
    """A private key and the algorithm it signs with."""

    algorithm: str
    private: PrivateKey

    @cached_property
    def private_jwk(self) -> dict[str, object]:
        """The key as a JWK, private members included."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return dict(ECAlgorithm.to_jwk(self.private, as_dict=True))
        if isinstance(self.private, rsa.RSAPrivateKey):
            members = dict(RSAAlgorithm.to_jwk(self.private, as_dict=True))
            members.pop("key_ops", None)
            return members
        return dict(OKPAlgorithm.to_jwk(self.private, as_dict=True))

    @cached_property
    def public_jwk(self) -> dict[str, object]:
        """The public members alone."""
        return {name: self.private_jwk[name] for name in THUMBPRINT_MEMBERS[str(self.private_jwk["kty"])]}

    @cached_property
    def thumbprint(self) -> str:
        """RFC 7638, SHA-256."""
        return thumbprint(self.private_jwk)

    def signature(self, signed: bytes) -> bytes:
        """The JWS signature over these octets."""
        name = "EdDSA" if self.algorithm.startswith("Ed") else self.algorithm
        algorithm: Any = get_algorithm_by_name(name)
        return bytes(algorithm.sign(signed, self.private))

    def compact(self, header: Json, claims: Json) -> str:
        """A JWS in compact form (RFC 7515 §3.1) over exactly these two parts."""
        signed = f"{base64url(encoded(header))}.{base64url(encoded(claims))}"
        return f"{signed}.{base64url(self.signature(signed.encode()))}"


@dataclass(frozen=True)
class Signer:
    """One signing key of an authorization server."""

    algorithm: str = "ES256"
    kid: str = "key-1"
    issuer: str = ISSUER
    bits: int = 2048
    key: SigningKey = field(init=False)

    def __post_init__(self) -> None:
        """Make the key."""
        private = generate(self.algorithm, name=self.kid, bits=self.bits)
        object.__setattr__(self, "key", SigningKey(self.algorithm, private))

    def jwk(self, **overrides: object) -> dict[str, object]:
        """The public key as its JWK Set shows it."""
        shown = {**self.key.public_jwk, "kid": self.kid, "use": "sig", "alg": self.algorithm}
        return merged(shown, overrides)

    def access_token(
        self,
        now: float,
        *,
        jkt: str | None = None,
        header: Members | None = None,
        claims: Members | None = None,
        raw_header: Json | None = None,
        raw_claims: Json | None = None,
        signed_by: SigningKey | None = None,
    ) -> str:
        """A JWT access token (RFC 9068) issued at `now`, bound to the key with thumbprint `jkt` where one is given."""
        members = merged(
            {"typ": "at+jwt", "alg": self.algorithm, "kid": self.kid},
            header or {},
        )
        issued = int(now)
        stated: dict[str, object] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "alice",
            "client_id": "client-1",
            "iat": issued,
            "exp": issued + TOKEN_LIFETIME,
            "jti": secrets.token_urlsafe(12),
        }
        if jkt is not None:
            stated["cnf"] = {"jkt": jkt}
        key = signed_by or self.key
        return key.compact(
            members if raw_header is None else raw_header,
            merged(stated, claims or {}) if raw_claims is None else raw_claims,
        )


def jwk_set(*keys: Signer | Members) -> str:
    """A JWK Set document (RFC 7517 §5) of signers' public keys and of keys given as members."""
    return json.dumps({"keys": [key.jwk() if isinstance(key, Signer) else key for key in keys]})


@dataclass(frozen=True)
class ClientKey:
    """The key that a client proves possession of."""

    algorithm: str = "ES256"
    bits: int = 2048
    name: str = "client"
    key: SigningKey = field(init=False)

    def __post_init__(self) -> None:
        """Make the key."""
        object.__setattr__(
            self, "key", SigningKey(self.algorithm, generate(self.algorithm, name=self.name, bits=self.bits))
        )

    @property
    def jkt(self) -> str:
        """The thumbprint that a token bound to this key carries in `cnf.jkt`."""
        return self.key.thumbprint

    def proof(  # noqa: PLR0913 - each argument is a part of a proof or a kind of fault
        self,
        method: str,
        url: str,
        *,
        now: float,
        token: str | None = None,
        nonce: str | None = None,
        header: Members | None = None,
        claims: Members | None = None,
        raw_header: Json | None = None,
        raw_claims: Json | None = None,
        signed_by: SigningKey | None = None,
    ) -> str:
        """A DPoP proof (RFC 9449 §4.2) with a new jti for this method and URL, over `token` where one is given."""
        members = merged({"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.key.public_jwk}, header or {})
        stated: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url,
            "iat": int(now),
        }
        if token is not None:
            stated["ath"] = ath(token)
        if nonce is not None:
            stated["nonce"] = nonce
        key = signed_by or self.key
        return key.compact(
            members if raw_header is None else raw_header,
            merged(stated, claims or {}) if raw_claims is None else raw_claims,
        )
