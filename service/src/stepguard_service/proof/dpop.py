"""A DPoP proof at the resource server: the twelve checks of RFC 9449 §4.3, numbered as there.

 1. There is not more than one DPoP header field.
 2. Its value is one well-formed JWT.
 3. All required claims are there: jti, htm, htu, iat, and ath beside an access token.
 4. `typ` is dpop+jwt.
 5. `alg` is an asymmetric signature algorithm that we support and the policy allows.
 6. The signature verifies with the public key in `jwk`.
 7. `jwk` has no private key.
 8. `htm` is the method of the request.
 9. `htu` is the URI of the request, without query and fragment.
10. `nonce` is one that this server gave, where the policy requires nonces.
11. The proof was made within an acceptable time.
12. Beside an access token: (a) `ath` is its hash; (b) the key is the one it is bound to.

They run in the order of docs/decisions.md: form, key, signature, htm, htu, ath, nonce, iat. So a client whose nonce and
clock are both wrong learns of the nonce first, and no signature is verified for a proof that cannot pass.

Left to the caller: 12 b, which needs the token's `cnf`, and the replay check of §11.1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from math import inf
from typing import NamedTuple

from stepguard_service.core.keys import PublicKey
from stepguard_service.core.model import DpopSettings, Proof, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.limits import (
    JTI_LENGTH,
    PROOF_HEADER_CACHE_BYTES,
    PROOF_HEADER_CACHE_ENTRIES,
    PROOF_LENGTH,
)
from stepguard_service.proof.cache import LruCache
from stepguard_service.proof.claims import number
from stepguard_service.proof.htu import normalize_htu
from stepguard_service.proof.jose import Compact, Malformed, check_header, decode_header, parse_compact, strict_json
from stepguard_service.proof.jwk import parse_jwk
from stepguard_service.proof.signatures import ALGORITHMS

NonceCheck = Callable[[str], float | None]
"""nonce → its age in seconds, or None where it is not one of ours for this host and time."""


@dataclass(frozen=True, slots=True)
class ProofHeader:
    """What an acceptable JOSE header of a proof says. Whether a policy allows its algorithm is another question."""

    algorithm: str
    key: PublicKey


HeaderCache = LruCache[str, ProofHeader]
"""Encoded header → what it says. One client sends one and the same header with every proof."""


def header_cache() -> HeaderCache:
    """An empty one with the usual bounds."""
    return LruCache(PROOF_HEADER_CACHE_ENTRIES, PROOF_HEADER_CACHE_BYTES)


class _Claims(NamedTuple):
    """The claims of a proof, present and of the right types: a tuple, because one is made for every request.

    `exp` and `nbf` are infinite where the proof has none. `nonce` is looked at only where one is required.
    """

    jti: str
    htm: str
    htu: str
    ath: str
    iat: float
    exp: float
    nbf: float
    nonce: object


class UnverifiedProof(NamedTuple):
    """A proof of good form whose signature was not looked at yet: nothing in it is to be believed."""

    compact: Compact
    claims: _Claims
    header: ProofHeader
    remembered: bool
    """Whether the header was known: whether a proof with it was signed well before."""
    settings: DpopSettings


def read_proof(value: str, settings: DpopSettings, headers: HeaderCache | None) -> UnverifiedProof | Rejected:
    """Checks 1 to 5 and 7: everything about a proof that costs little and comes before its signature."""
    compact = _read_form(value, settings)
    if isinstance(compact, Rejected):
        return compact
    members = strict_json(compact.payload)
    if isinstance(members, Malformed):
        return Rejected(Reason.PROOF_MALFORMED, members.detail)
    claims = _read_claims(members)
    if isinstance(claims, Rejected):
        return claims
    known = None if headers is None else headers.get(compact.header)
    header = _read_header(compact.header) if known is None else known
    if isinstance(header, Rejected):
        return header

    # (5) again, on every hit: which of the algorithms this policy allows.
    if header.algorithm not in settings.algorithms:
        return Rejected(Reason.PROOF_ALGORITHM, "the policy does not allow alg")
    return UnverifiedProof(compact, claims, header, known is not None, settings)


def is_signed(proof: UnverifiedProof) -> bool:
    """Check 6, the one that costs something: the signature verifies with the key in the proof."""
    compact, header = proof.compact, proof.header
    return header.key.verify(header.algorithm, compact.signature, compact.signed)


def judge_proof(
    proof: UnverifiedProof,
    signed: bool,  # noqa: FBT001 - the answer of `is_signed`
    *,
    method: str,
    target: str,
    ath: str,
    nonce: NonceCheck | None,
    now: int,
    headers: HeaderCache | None,
) -> Proof | Rejected:
    """The rest of the checks of RFC 9449 §4.3, once it is known whether the proof is signed.

    `method` and `target` are those of the request, the latter as normalised URI of its policy's origin. `ath` is the
    hash of the access token; `now` is in Unix seconds. `headers` remembers parsed headers; None: nothing is
    remembered. Raises ValueError where the policy requires nonces and there is no `nonce` to check them with.
    """
    compact, claims, header, remembered, settings = proof

    # (6) Only headers of good proofs are remembered, so that noise displaces nobody.
    if not signed:
        return Rejected(Reason.PROOF_SIGNATURE, "the signature is wrong")
    if headers is not None and not remembered:
        headers.put(compact.header, header, len(compact.header))

    refusal = _refuse_request(claims, method, target, ath=ath)
    if refusal is not None:
        return refusal
    age = _nonce_age(claims.nonce, nonce) if settings.nonce_required else None
    if isinstance(age, Rejected):
        return age
    refusal = _refuse_time(claims, settings, now)
    return Proof(header.key.thumbprint, claims.jti, claims.iat, age) if refusal is None else refusal


def _read_form(value: str, settings: DpopSettings) -> Compact | Rejected:
    # (1) One header field: Envoy joins several with a comma, which no JWT has.
    if not value:
        return Rejected(Reason.NONCE_MISSING if settings.nonce_required else Reason.PROOF_MISSING, "no DPoP header")
    if len(value) > PROOF_LENGTH:
        return Rejected(Reason.PROOF_TOO_LONG, "the DPoP header is too long")
    if "," in value:
        return Rejected(Reason.PROOF_REPEATED, "more than one DPoP header")

    # (2) One JWT.
    compact = parse_compact(value)
    return Rejected(Reason.PROOF_MALFORMED, compact.detail) if isinstance(compact, Malformed) else compact


def _read_claims(members: Mapping[str, object]) -> _Claims | Rejected:
    # (3) What is required is there, and of the right type.
    try:
        jti, htm, htu, ath, made = members["jti"], members["htm"], members["htu"], members["ath"], members["iat"]
    except KeyError as missing:
        return Rejected(Reason.PROOF_CLAIM_MISSING, f"{missing.args[0]} is missing")
    if not (isinstance(jti, str) and isinstance(htm, str) and isinstance(htu, str) and isinstance(ath, str)):
        return Rejected(Reason.PROOF_CLAIM_INVALID, "jti, htm, htu or ath is not a string")
    if not jti or len(jti.encode("utf-8")) > JTI_LENGTH:
        return Rejected(Reason.PROOF_CLAIM_INVALID, "jti is empty or too long")
    iat = number(made)
    exp = number(members["exp"]) if "exp" in members else inf
    nbf = number(members["nbf"]) if "nbf" in members else -inf
    if iat is None or exp is None or nbf is None:
        return Rejected(Reason.PROOF_CLAIM_INVALID, "iat, exp or nbf is not a number")
    return _Claims(jti, htm, htu, ath, iat, exp, nbf, members.get("nonce"))


def _read_header(segment: str) -> ProofHeader | Rejected:
    header = decode_header(segment)
    if isinstance(header, Malformed):
        return Rejected(Reason.PROOF_MALFORMED, header.detail)
    if (fault := check_header(header)) is not None:
        return Rejected(Reason.PROOF_MALFORMED, fault.detail)

    # (4) Its type: exactly this text.
    if header.get("typ") != "dpop+jwt":
        return Rejected(Reason.PROOF_TYPE, "typ is not dpop+jwt")

    # (5) An algorithm that we verify.
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        return Rejected(Reason.PROOF_ALGORITHM, "alg is not one that we verify")

    # (6) and (7) A public key. `jwk` is the only source of the key: kid, jku, x5u and x5c are not looked at.
    jwk = header.get("jwk")
    if not isinstance(jwk, dict):
        return Rejected(Reason.PROOF_KEY, "jwk is not an object")
    key = parse_jwk(jwk)
    if isinstance(key, Rejected):
        return key
    if algorithm not in key.algorithms:
        return Rejected(Reason.PROOF_ALGORITHM, "alg does not fit the key")
    return ProofHeader(algorithm, key)


def _refuse_request(claims: _Claims, method: str, target: str, *, ath: str) -> Rejected | None:
    # (8) The method: case matters, and HEAD is not GET.
    if claims.htm != method:
        return Rejected(Reason.PROOF_METHOD, "htm is not the method of the request")

    # (9) The URI. `target` is in normal form, so what equals it needs no normalising. Nothing equals an empty one.
    if not target or (claims.htu != target and normalize_htu(claims.htu) != target):
        return Rejected(Reason.PROOF_TARGET, "htu is not the URI of the request")

    # (12 a) The access token.
    if not claims.ath.isascii() or not compare_digest(claims.ath, ath):
        return Rejected(Reason.PROOF_TOKEN_HASH, "ath is not the hash of the access token")
    return None


def _nonce_age(claimed: object, check: NonceCheck | None) -> float | Rejected:
    # (10) Ours, for this host and time. Where one is required a proof without it never passes (RFC 9449 §11.3).
    if check is None:
        raise ValueError("the policy requires nonces, and there is nothing to check them with")
    if claimed is None:
        return Rejected(Reason.NONCE_MISSING, "no nonce")
    age = check(claimed) if isinstance(claimed, str) else None
    return Rejected(Reason.NONCE_INVALID, "not a nonce of ours for this host and time") if age is None else age


def _refuse_time(claims: _Claims, settings: DpopSettings, now: int) -> Rejected | None:
    # (11) RFC 9449 §11.1. Both edges of the window pass; `exp` and `nbf` can only make it narrower (RFC 7519 §4.1).
    skew = settings.clock_skew
    if claims.iat < now - settings.proof_max_age:
        return Rejected(Reason.PROOF_TOO_OLD, "iat is too long ago")
    if claims.iat > now + skew:
        return Rejected(Reason.PROOF_FROM_FUTURE, "iat is in the future")
    if now >= claims.exp + skew:
        return Rejected(Reason.PROOF_TOO_OLD, "exp has passed")
    if claims.nbf > now + skew:
        return Rejected(Reason.PROOF_FROM_FUTURE, "nbf is in the future")
    return None
