"""Signature algorithms (RFC 7518 §3, RFC 8037, RFC 9864): which fit a key, and how each verifies.

Straight on `cryptography`: what a JWT library puts around it costs half as much as the verification itself.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from stepguard_service.core.keys import Verify

_SHA2 = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_PKCS1 = {f"RS{bits}": (padding.PKCS1v15(), digest) for bits, digest in _SHA2.items()}
_PSS = {
    # RFC 7518 §3.5: MGF1 with the same hash, and a salt as long as the hash.
    f"PS{bits}": (padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    for bits, digest in _SHA2.items()
}
_RSA = {**_PKCS1, **_PSS}
_ECDSA = {f"ES{bits}": ECDSA(digest) for bits, digest in _SHA2.items()}

RSA_ALGORITHMS = frozenset(_RSA)
EC_ALGORITHMS = {"P-256": frozenset({"ES256"}), "P-384": frozenset({"ES384"}), "P-521": frozenset({"ES512"})}
EDWARDS_ALGORITHMS = frozenset({"EdDSA", "Ed25519"})
ALGORITHMS = RSA_ALGORITHMS | EDWARDS_ALGORITHMS | frozenset[str]().union(*EC_ALGORITHMS.values())
"""Every algorithm we verify. Ed448 is not among them: `EdDSA` means Ed25519 here."""


def ec_verifier(key: EllipticCurvePublicKey, width: int) -> Verify:
    """ECDSA with signatures of two numbers of `width` octets each (RFC 7518 §3.4)."""
    verify_der = key.verify

    def verify(algorithm: str, signature: bytes, signed: bytes) -> bool:
        scheme = _ECDSA.get(algorithm)
        if scheme is None or len(signature) != 2 * width:
            return False
        try:
            verify_der(_der(signature, width), signed, scheme)
        except InvalidSignature:
            return False
        return True

    return verify


def _der(signature: bytes, width: int) -> bytes:
    """Both numbers as the DER sequence that OpenSSL wants; half the time of going through Python's integers."""
    r = signature[:width].lstrip(b"\0")
    s = signature[width:].lstrip(b"\0")
    if not r or r[0] > 0x7F:  # noqa: PLR2004 - the sign bit
        r = b"\0" + r
    if not s or s[0] > 0x7F:  # noqa: PLR2004 - the sign bit
        s = b"\0" + s
    length = len(r) + len(s) + 4
    # A sequence of two P-521 numbers is the only one that needs a length octet of its own.
    form = b"\x30%c\x02%c%b\x02%c%b" if length <= 0x7F else b"\x30\x81%c\x02%c%b\x02%c%b"  # noqa: PLR2004 - DER
    return form % (length, len(r), r, len(s), s)


def rsa_verifier(key: RSAPublicKey) -> Verify:
    """RSASSA-PKCS1-v1_5 and RSASSA-PSS with signatures as long as the modulus (RFC 8017 §8.1.2, §8.2.2)."""
    width = (key.key_size + 7) // 8
    verify_padded = key.verify

    def verify(algorithm: str, signature: bytes, signed: bytes) -> bool:
        scheme = _RSA.get(algorithm)
        if scheme is None or len(signature) != width:
            return False
        try:
            verify_padded(signature, signed, *scheme)
        except InvalidSignature:
            return False
        return True

    return verify


def edwards_verifier(key: Ed25519PublicKey) -> Verify:
    """Ed25519 (RFC 8032 §5.1.7) under both of its names."""
    verify_pure = key.verify

    def verify(algorithm: str, signature: bytes, signed: bytes) -> bool:
        if algorithm not in EDWARDS_ALGORITHMS:
            return False
        try:
            verify_pure(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify
