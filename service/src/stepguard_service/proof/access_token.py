"""JWT access tokens (RFC 9068 §4, RFC 8725): whose they are, who signed them, whether they are for us and for now.

Which keys may verify a token is decided by its `iss` alone, then `kid`, then `alg`; keys of other issuers are never
tried. The signature and everything that only the TokenIssuer decides is remembered under the token itself, with the
hash of the TokenIssuer and the version of its keys; audiences and times are looked at every time.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stepguard_service.core.keys import KeySet
from stepguard_service.core.model import AccessToken, Issuer, Policy, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import NeedIntrospection, NeedKeys
from stepguard_service.limits import (
    KEYS_TRIED_WITHOUT_KID,
    TOKEN_CACHE_BYTES,
    TOKEN_CACHE_ENTRIES,
    TOKEN_LENGTH,
)
from stepguard_service.proof.cache import LruCache
from stepguard_service.proof.claims import build_token, refuse_now
from stepguard_service.proof.jose import Compact, Malformed, check_header, decode_text, parse_compact, strict_json

_UNTYPED = "JWT"
"""What a token without `typ` counts as (RFC 7519 §5.1: it is optional): acceptable only where plain JWTs are."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature is good, with the algorithm that the issuer must still allow."""

    token: AccessToken
    algorithm: str


class TokenVerifier:
    """Verifies JWT access tokens against the keys in force. For use by one thread.

    `keys` gives an issuer's keys, None while they were never fetched. `cache` has its hits and misses as attributes.
    """

    def __init__(self, keys: Callable[[Issuer], KeySet | None]) -> None:
        self._keys = keys
        self.cache: LruCache[tuple[str, str, str], _Verified] = LruCache(TOKEN_CACHE_ENTRIES, TOKEN_CACHE_BYTES)
        self._wanted: frozenset[str] = frozenset()
        self._kept: frozenset[str] = frozenset()

    def retain(self, issuer_hashes: frozenset[str]) -> None:
        """These TokenIssuers are in force: forget what was verified under others, before the next token is verified.

        May be called by any thread.
        """
        self._wanted = issuer_hashes

    def verify(self, token: str, policy: Policy, now: int) -> AccessToken | Rejected | NeedKeys | NeedIntrospection:
        """What this token is worth under this policy at `now` (Unix seconds); rows 9 to 11 of docs/decisions.md.

        NeedKeys says that no key of the issuer is known yet (`kid` None) or none with this `kid`: who gets it for the
        second time refuses. NeedIntrospection is for what is not a JWT at all, where the policy has an issuer to ask.
        """
        if len(token) > TOKEN_LENGTH:
            return Rejected(Reason.TOKEN_TOO_LONG, "the token is too long")
        if self._wanted is not self._kept:
            self._forget()
        known = self._remembered(token, policy)
        if known is None:
            return self._first_time(token, policy, now)
        refusal = refuse_now(known, policy, now)
        return known if refusal is None else refusal

    def _forget(self) -> None:
        wanted = self._wanted
        if not self._kept <= wanted:
            self.cache.retain(lambda key: key[0] in wanted)
        self._kept = wanted

    def _remembered(self, token: str, policy: Policy) -> AccessToken | None:
        """The token as verified before, under a TokenIssuer of this policy as it is now, with its keys of now."""
        for issuer in policy.issuers.values():
            keys = self._keys(issuer)
            if keys is None:
                continue
            verified = self.cache.find((issuer.hash, keys.version, token))
            if verified is not None:
                return verified.token if verified.algorithm in issuer.algorithms else None
        self.cache.misses += 1
        return None

    def _first_time(
        self, token: str, policy: Policy, now: int
    ) -> AccessToken | Rejected | NeedKeys | NeedIntrospection:
        jwt = _read(token)
        if jwt is None and policy.opaque_issuer is not None and token.isascii():
            return NeedIntrospection(policy.opaque_issuer, token)
        if jwt is None:
            return Rejected(Reason.TOKEN_MALFORMED, "not a JWT, and no issuer to ask about it")
        if isinstance(jwt, Rejected):
            return jwt
        issuer = _issuer(jwt.claims, policy)
        if isinstance(issuer, Rejected):
            return issuer
        refusal = _refuse_header(jwt, issuer)
        if refusal is not None:
            return refusal
        keys = self._keys(issuer)
        if keys is None:
            return NeedKeys(issuer, None)
        verified = _verify(jwt, issuer, keys, token=token)
        if not isinstance(verified, _Verified):
            return verified
        refusal = refuse_now(verified.token, policy, now)
        if refusal is None:
            self.cache.put((issuer.hash, keys.version, token), verified, len(token))
        return verified.token if refusal is None else refusal


@dataclass(frozen=True, slots=True)
class _Jwt:
    """A JWT that is well formed and of which nothing was verified yet.

    `algorithm` is empty where the header has none, both where it has something else than a string.
    """

    typ: str
    algorithm: str
    kid: str | None
    claims: Mapping[str, object]
    compact: Compact


_LIKE_A_HEADER = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*".*\}[ \t\r\n]*', re.DOTALL)
"""A JSON object with a member, to the eye. Random octets look like that once in 16 million times."""


def _read(token: str) -> _Jwt | Rejected | None:
    """The parts of a JWT; None for an opaque token.

    What begins with a JOSE header (JWE does too) is judged as a JWT and by nobody else, however broken the rest of it
    is, so that no refusal can be escaped into introspection.
    """
    segment, dot, _ = token.partition(".")
    octets = decode_text(segment) if dot else None
    if octets is None or not _LIKE_A_HEADER.fullmatch(octets):
        return None
    header = strict_json(octets)
    if isinstance(header, Malformed):
        return Rejected(Reason.TOKEN_MALFORMED, header.detail)
    compact = parse_compact(token)
    if isinstance(compact, Malformed):
        return Rejected(Reason.TOKEN_MALFORMED, compact.detail)
    if (fault := check_header(header)) is not None:
        return Rejected(Reason.TOKEN_MALFORMED, fault.detail)
    claims = strict_json(compact.payload)
    if isinstance(claims, Malformed):
        return Rejected(Reason.TOKEN_MALFORMED, claims.detail)
    typ, algorithm, kid = header.get("typ", _UNTYPED), header.get("alg"), header.get("kid")
    return _Jwt(
        typ=typ if isinstance(typ, str) else "",
        algorithm=algorithm if isinstance(algorithm, str) else "",
        kid=kid if isinstance(kid, str) else None,
        claims=claims,
        compact=compact,
    )


def _issuer(claims: Mapping[str, object], policy: Policy) -> Issuer | Rejected:
    if "iss" not in claims:
        return Rejected(Reason.TOKEN_CLAIM_MISSING, "iss is missing")
    iss = claims["iss"]
    if not isinstance(iss, str):
        return Rejected(Reason.TOKEN_CLAIM_INVALID, "iss is not a string")
    return policy.issuers.get(iss, Rejected(Reason.TOKEN_ISSUER, "no issuer of the policy has this iss"))


def _refuse_header(jwt: _Jwt, issuer: Issuer) -> Rejected | None:
    """RFC 9068 §4, RFC 7515 §4.1.9: in `typ` case does not matter, nor does a leading application/."""
    if _media_type(jwt.typ) not in map(_media_type, issuer.token_types):
        return Rejected(Reason.TOKEN_TYPE, "typ is not accepted")
    if jwt.algorithm not in issuer.algorithms:
        return Rejected(Reason.TOKEN_ALGORITHM, "alg is not allowed")
    return None


def _media_type(typ: str) -> str:
    return typ.lower().removeprefix("application/")


def _verify(jwt: _Jwt, issuer: Issuer, keys: KeySet, *, token: str) -> _Verified | Rejected | NeedKeys:
    """Everything else that the TokenIssuer alone decides: key, signature, required claims and their types."""
    named = keys.keys if jwt.kid is None else tuple(key for key in keys.keys if key.kid == jwt.kid)
    if jwt.kid is not None and not named:
        return NeedKeys(issuer, jwt.kid)
    fitting = [key for key in named if jwt.algorithm in key.algorithms][:KEYS_TRIED_WITHOUT_KID]
    if not fitting:
        return Rejected(Reason.TOKEN_ALGORITHM, "alg fits none of the issuer's keys")
    if not any(key.verify(jwt.algorithm, jwt.compact.signature, jwt.compact.signed) for key in fitting):
        return Rejected(Reason.TOKEN_SIGNATURE, "the signature is wrong")
    for name in ("exp", *issuer.required_claims):
        if jwt.claims.get(name) is None:
            return Rejected(Reason.TOKEN_CLAIM_MISSING, "a required claim is missing")
    built = build_token(jwt.claims, issuer=issuer, token=token, kid=jwt.kid)
    return built if isinstance(built, Rejected) else _Verified(built, jwt.algorithm)
