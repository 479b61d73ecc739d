"""Whether keys and certificates that a TokenIssuer carries are what they claim to be."""

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stepguard_policy.resources import InlineKey, KeyCurve, KeyType, TokenAlgorithm

RSA_BITS = range(2048, 8193)
"""RFC 7518 §3.3 sets the minimum; the maximum bounds the time of a verification, as in the service's limits."""

_CURVES: dict[KeyCurve, ec.EllipticCurve] = {
    KeyCurve.P256: ec.SECP256R1(),
    KeyCurve.P384: ec.SECP384R1(),
    KeyCurve.P521: ec.SECP521R1(),
}
_RSA_ALGORITHMS = {TokenAlgorithm.RS256, TokenAlgorithm.PS256, TokenAlgorithm.PS384, TokenAlgorithm.PS512}
_CURVE_ALGORITHMS = {
    KeyCurve.P256: {TokenAlgorithm.ES256},
    KeyCurve.P384: {TokenAlgorithm.ES384},
    KeyCurve.P521: {TokenAlgorithm.ES512},
    KeyCurve.ED25519: {TokenAlgorithm.EDDSA, TokenAlgorithm.ED25519},
}


def check_key(key: InlineKey) -> str | None:
    """What is wrong with a public JWK whose members fit its type; None where nothing is."""
    try:
        _load(key)
    except ValueError as problem:
        return str(problem)
    fitting = _RSA_ALGORITHMS if key.crv is None else _CURVE_ALGORITHMS[key.crv]
    return f"alg {key.alg} does not fit the key" if key.alg not in {None, *fitting} else None


def check_certificates(pem: str) -> str | None:
    """What is wrong with a bundle of certificates; None where nothing is."""
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return "holds something that is not a certificate in PEM"
    return None


def _load(key: InlineKey) -> None:
    """ValueError says what is wrong."""
    if key.kty is KeyType.RSA:
        _load_rsa(_decode(key.n), _decode(key.e))
    elif key.kty is KeyType.EC and key.crv in _CURVES:
        _load_ec(_CURVES[key.crv], _decode(key.x), _decode(key.y))
    else:
        _load_ed25519(_decode(key.x))


def _load_rsa(modulus: bytes, exponent: bytes) -> None:
    if modulus[:1] == b"\0" or exponent[:1] == b"\0":
        raise ValueError("n and e must have no leading zero octets (RFC 7518 §6.3.1)")
    number = int.from_bytes(modulus)
    if number.bit_length() not in RSA_BITS:
        raise ValueError(f"the modulus must have {RSA_BITS.start} to {RSA_BITS.stop - 1} bits")
    try:
        rsa.RSAPublicNumbers(int.from_bytes(exponent), number).public_key()
    except ValueError:
        raise ValueError("n and e are no RSA public key") from None


def _load_ec(curve: ec.EllipticCurve, x: bytes, y: bytes) -> None:
    width = (curve.key_size + 7) // 8
    if len(x) != width or len(y) != width:
        raise ValueError(f"x and y must have {width} octets each (RFC 7518 §6.2.1.2)")
    try:
        ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()
    except ValueError:
        raise ValueError("x and y are no point on the curve") from None


def _load_ed25519(x: bytes) -> None:
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(x)
    except ValueError:
        raise ValueError("x must have 32 octets (RFC 8032 §5.1.5)") from None


def _decode(text: str | None) -> bytes:
    """Canonical unpadded base64url, as everywhere in JOSE."""
    encoded = text or ""
    try:
        octets = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("a member is not base64url without padding") from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != encoded.encode():
        raise ValueError("a member is not base64url in its only canonical spelling")
    return octets
