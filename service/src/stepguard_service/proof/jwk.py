"""Public keys in JSON (RFC 7517, 7518 §6, 8037) and their thumbprints (RFC 7638).

Values count as they stand: a second spelling of the same key would have another thumbprint, so only the one canonical
spelling is a key (checklist §3.6).
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from stepguard_service.core.keys import KeySet, PublicKey, Verify
from stepguard_service.core.model import Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.limits import JWKS_KEYS, JWKS_LENGTH, RSA_BITS, RSA_EXPONENT_BITS
from stepguard_service.proof.jose import Malformed, decode_text, strict_json
from stepguard_service.proof.signatures import (
    EC_ALGORITHMS,
    EDWARDS_ALGORITHMS,
    RSA_ALGORITHMS,
    ec_verifier,
    edwards_verifier,
    rsa_verifier,
)

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_THUMBPRINTED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_CURVES: dict[str, tuple[EllipticCurve, int]] = {
    "P-256": (SECP256R1(), 32),
    "P-384": (SECP384R1(), 48),
    "P-521": (SECP521R1(), 66),
}

_Parsed = tuple[frozenset[str], Verify]


def thumbprint(members: Mapping[str, object]) -> str:
    """The RFC 7638 thumbprint (SHA-256, base64url: 43 characters) of a key, or of the public part of a private one.

    Raises KeyError for a type other than EC, RSA and OKP and for a missing member. Checks nothing else.
    """
    required = {name: members[name] for name in _THUMBPRINTED[str(members["kty"])]}
    text = json.dumps(required, separators=(",", ":"), ensure_ascii=False)
    return urlsafe_b64encode(sha256(text.encode("utf-8")).digest()).rstrip(b"=").decode("ascii")


def parse_jwk(members: Mapping[str, object]) -> PublicKey | Rejected:
    """A public key that may verify signatures.

    Refused: private members by their mere presence, symmetric keys, what is not canonical or not on its curve, RSA
    outside 2048 to 8192 bits, and `use`, `key_ops` or `alg` that contradict verifying.
    """
    if not _PRIVATE.isdisjoint(members):
        return _refuse("private or symmetric key material")
    kty, kid = members.get("kty"), members.get("kid")
    parse = _PARSERS.get(kty) if isinstance(kty, str) else None
    if parse is None:
        return _refuse("unknown kty")
    if "kid" in members and not isinstance(kid, str):
        return _refuse("kid is not a string")
    if (fault := _usage_fault(members)) is not None:
        return fault
    try:
        parsed = parse(members)
    except (ValueError, UnsupportedAlgorithm):
        return _refuse("not a point of its curve, or not a usable number")
    if isinstance(parsed, Rejected):
        return parsed
    algorithms, verify = parsed
    if "alg" in members:
        algorithms &= {members["alg"]} if isinstance(members["alg"], str) else frozenset()
        if not algorithms:
            return _refuse("alg does not fit the key")
    return PublicKey(thumbprint(members), algorithms, verify, kid if isinstance(kid, str) else None)


def parse_jwk_set(document: bytes) -> KeySet | Rejected:
    """The usable keys of a JWK Set (RFC 7517 §5). A single bad key is skipped and reported, never the whole set."""
    if len(document) > JWKS_LENGTH:
        return Rejected(Reason.KEYS_UNAVAILABLE, "the JWK Set is too long")
    members = strict_json(document)
    if isinstance(members, Malformed):
        return Rejected(Reason.KEYS_UNAVAILABLE, f"the JWK Set is not acceptable JSON: {members.detail}")
    listed = members.get("keys")
    if not isinstance(listed, list):
        return Rejected(Reason.KEYS_UNAVAILABLE, "the JWK Set has no array of keys")
    keys: list[PublicKey] = []
    problems: list[str] = []
    for position, entry in enumerate(listed[:JWKS_KEYS]):
        key = parse_jwk(entry) if isinstance(entry, dict) else _refuse("not an object")
        if isinstance(key, PublicKey):
            keys.append(key)
        else:
            problems.append(f"keys[{position}]: {key.detail}")
    if len(listed) > JWKS_KEYS:
        problems.append(f"only the first {JWKS_KEYS} of {len(listed)} keys count")
    return KeySet(_version(keys), tuple(keys), tuple(problems))


def _version(keys: list[PublicKey]) -> str:
    """The same for the same keys in the same order, however the document around them is written."""
    content = [[key.thumbprint, key.kid, sorted(key.algorithms)] for key in keys]
    return sha256(json.dumps(content).encode("ascii")).hexdigest()


def _refuse(detail: str) -> Rejected:
    return Rejected(Reason.PROOF_KEY, detail)


def _usage_fault(members: Mapping[str, object]) -> Rejected | None:
    """RFC 7517 §4.2 and §4.3: both members are optional; where they are, they must allow verifying."""
    if members.get("use", "sig") != "sig":
        return _refuse("use is not sig")
    operations = members.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return _refuse("key_ops does not list verify")
    if any(not isinstance(operation, str) for operation in operations) or len(set(operations)) != len(operations):
        return _refuse("key_ops is not a list of different strings")
    return None


def _parse_ec(members: Mapping[str, object]) -> _Parsed | Rejected:
    crv = members.get("crv")
    if not isinstance(crv, str) or crv not in _CURVES:
        return _refuse("unknown crv")
    curve, width = _CURVES[crv]
    x, y = decode_text(members.get("x")), decode_text(members.get("y"))
    # RFC 7518 §6.2.1.2: always the full width of the field.
    if x is None or y is None or len(x) != width or len(y) != width:
        return _refuse("a coordinate is missing, not canonical, or not of full width")
    key = EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
    return EC_ALGORITHMS[crv], ec_verifier(key, width)


def _parse_rsa(members: Mapping[str, object]) -> _Parsed | Rejected:
    modulus, exponent = _number(members.get("n")), _number(members.get("e"))
    if modulus is None or exponent is None:
        return _refuse("n or e is missing or not canonical")
    if modulus.bit_length() not in RSA_BITS or modulus % 2 == 0:
        return _refuse("n is even, or not of 2048 to 8192 bits")
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > RSA_EXPONENT_BITS:  # noqa: PLR2004 - RFC 8017 §3.1
        return _refuse("e is not an odd number from 3 to 64 bits")
    return RSA_ALGORITHMS, rsa_verifier(RSAPublicNumbers(exponent, modulus).public_key())


def _number(encoded: object) -> int | None:
    """Base64urlUInt (RFC 7518 §2): no leading zero octet, so never zero."""
    octets = decode_text(encoded)
    return int.from_bytes(octets, "big") if octets and octets[0] else None


_FIELD = 2**255 - 19
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_TORSION_Y = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})
"""y of the eight points whose order divides the cofactor: such a key verifies signatures that nobody made."""


def _parse_okp(members: Mapping[str, object]) -> _Parsed | Rejected:
    if members.get("crv") != "Ed25519":
        return _refuse("unknown crv")
    x = decode_text(members.get("x"))
    if x is None or len(x) != 32:  # noqa: PLR2004 - RFC 8032 §5.1.5
        return _refuse("x is missing, not canonical, or not of full width")
    y = int.from_bytes(x, "little") % 2**255
    if y >= _FIELD or y in _TORSION_Y:
        return _refuse("x is not a point of the prime-order group")
    return EDWARDS_ALGORITHMS, edwards_verifier(Ed25519PublicKey.from_public_bytes(x))


_PARSERS: Mapping[str, Callable[[Mapping[str, object]], _Parsed | Rejected]] = {
    "EC": _parse_ec,
    "RSA": _parse_rsa,
    "OKP": _parse_okp,
}
