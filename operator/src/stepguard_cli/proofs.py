"""The client's side of DPoP (RFC 9449 §4.2): keys in files and proofs made with them."""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from stepguard_cli.console import CliError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
PUBLIC_MEMBERS: Final = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def algorithm_of(key: PrivateKey) -> str:
    """The JWS algorithm that this kind of key signs proofs with."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return EC_ALGORITHMS[key.curve.name]
    return "PS256" if isinstance(key, rsa.RSAPrivateKey) else "EdDSA"


def public_jwk(key: PrivateKey) -> dict[str, str]:
    """The public members of the key (RFC 7517), which are also those of its thumbprint."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        members = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, rsa.RSAPrivateKey):
        members = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        members = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: str(members[name]) for name in PUBLIC_MEMBERS[str(members["kty"])]}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638 over the public members, SHA-256, base64url."""
    return base64url_hash(json.dumps(jwk, sort_keys=True, separators=(",", ":")))


def base64url_hash(text: str) -> str:
    """SHA-256 of ASCII text in unpadded base64url: `ath`, `jkt`."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def make_proof(
    key: PrivateKey, method: str, *, url: str, now: int, token: str | None = None, nonce: str | None = None
) -> str:
    """A proof with a new `jti` for this method and URL (whose query and fragment do not count), issued at `now`."""
    parts = urlsplit(url)
    claims: dict[str, object] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
        "iat": now,
    }
    if token is not None:
        claims["ath"] = base64url_hash(token)
    if nonce is not None:
        claims["nonce"] = nonce
    header = {"typ": "dpop+jwt", "jwk": public_jwk(key)}
    return jwt.encode(claims, key, algorithm_of(key), headers=header)


def read_key(path: Path) -> PrivateKey:
    """The private key in a PEM file (PKCS #8 or traditional, unencrypted). Raises CliError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise CliError(f"{path}: cannot read the key: {error.strerror}") from None
    except (ValueError, TypeError):
        raise CliError(f"{path}: not an unencrypted private key in PEM form") from None
    if isinstance(key, PrivateKey) and (
        not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name in EC_ALGORITHMS
    ):
        return key
    raise CliError(f"{path}: use an EC key (P-256, P-384, P-521), an RSA key or an Ed25519 key")


def write_key(key: PrivateKey, path: Path) -> None:
    """Write a new PEM file that only its owner may read. Raises CliError, also where the file exists."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CliError(f"{path}: cannot write the key: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
