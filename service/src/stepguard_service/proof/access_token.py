"""JWT access tokens (RFC 9068 §4, RFC 8725): whose they are, who signed them, whether they are for us and for now.

Which keys may verify a token is decided by its `iss` alone, then `kid`, then `alg`; keys of other issuers are never
tried. The signature and everything that only the TokenIssuer decides is remembered under the token itself, with the
hash of the TokenIssuer and the version of its keys; audiences and times are looked at every time.
"""

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
from stepguard_service.proof.jose import Compact, Malformed, check_header, decode_header, parse_compact, strict_json


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

    def retain(self, issuer_hashes: frozenset[str]) -> None:
        """Forget what was verified under TokenIssuers that are not in force any more."""
        self.cache.retain(lambda key: key[0] in issuer_hashes)

    def verify(self, token: str, policy: Policy, now: int) -> AccessToken | Rejected | NeedKeys | NeedIntrospection:
        """What this token is worth under this policy at `now` (Unix seconds); rows 9 to 11 of docs/decisions.md.

        NeedKeys says that no key of the issuer is known yet (`kid` None) or none with this `kid`: who gets it for the
        second time refuses. NeedIntrospection is for what is not a JWT at all, where the policy has an issuer to ask.
        """
        if len(token) > TOKEN_LENGTH:
            return Rejected(Reason.TOKEN_TOO_LONG, "the token is too long")
        known = self._remembered(token, policy)
        if known is None:
            return self._first_time(token, policy, now)
        refusal = refuse_now(known.token, policy, now)
        if known.algorithm not in known.token.issuer.algorithms:
            refusal = Rejected(Reason.TOKEN_ALGORITHM, "alg is not allowed")
        return known.token if refusal is None else refusal

    def _remembered(self, token: str, policy: Policy) -> _Verified | None:
        for issuer in policy.issuers.values():
            keys = self._keys(issuer)
            if keys is not None and (key := (issuer.hash, keys.version, token)) in self.cache:
                return self.cache.get(key)
        self.cache.misses += 1
        return None

    def _first_time(
        self, token: str, policy: Policy, now: int
    ) -> AccessToken | Rejected | NeedKeys | NeedIntrospection:
        header = _jose_header(token)
        if header is None:
            if policy.opaque_issuer is not None and token.isascii():
                return NeedIntrospection(policy.opaque_issuer, token)
            return Rejected(Reason.TOKEN_MALFORMED, "not a JWT, and no issuer to ask about it")
        compact = parse_compact(token)
        if isinstance(compact, Malformed):
            return Rejected(Reason.TOKEN_MALFORMED, compact.detail)
        claims = strict_json(compact.payload)
        fault = claims if isinstance(claims, Malformed) else check_header(header)
        if isinstance(claims, Malformed) or fault is not None:
            return Rejected(Reason.TOKEN_MALFORMED, "" if fault is None else fault.detail)
        issuer = _issuer(claims, policy)
        if isinstance(issuer, Rejected):
            return issuer
        keys = self._keys(issuer)
        outcome = _verify(compact, header, claims, issuer=issuer, keys=keys, token=token)
        if not isinstance(outcome, _Verified):
            return outcome
        if (refusal := refuse_now(outcome.token, policy, now)) is not None:
            return refusal
        if keys is not None:
            self.cache.put((issuer.hash, keys.version, token), outcome, len(token))
        return outcome.token


def _jose_header(token: str) -> dict[str, object] | None:
    """The header of anything that is dressed as JOSE, JWE included; None for an opaque token.

    What has such a header is judged as a JWT and by nobody else: no refusal here can be escaped into introspection.
    """
    segment, dot, _ = token.partition(".")
    header = decode_header(segment) if dot else Malformed("no dot")
    return None if isinstance(header, Malformed) else header


def _issuer(claims: Mapping[str, object], policy: Policy) -> Issuer | Rejected:
    if "iss" not in claims:
        return Rejected(Reason.TOKEN_CLAIM_MISSING, "iss is missing")
    iss = claims["iss"]
    if not isinstance(iss, str):
        return Rejected(Reason.TOKEN_CLAIM_INVALID, "iss is not a string")
    return policy.issuers.get(iss, Rejected(Reason.TOKEN_ISSUER, "no issuer of the policy has this iss"))


def _verify(
    compact: Compact,
    header: Mapping[str, object],
    claims: Mapping[str, object],
    *,
    issuer: Issuer,
    keys: KeySet | None,
    token: str,
) -> _Verified | Rejected | NeedKeys:
    """Everything that the TokenIssuer alone decides: typ, alg, key, signature, required claims and their types."""
    if not _type_accepted(header.get("typ"), issuer):
        return Rejected(Reason.TOKEN_TYPE, "typ is not accepted")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        return Rejected(Reason.TOKEN_ALGORITHM, "alg is not allowed")
    if keys is None:
        return NeedKeys(issuer, None)
    named = keys.keys if kid is None else tuple(key for key in keys.keys if key.kid == kid)
    if isinstance(kid, str) and not named:
        return NeedKeys(issuer, kid)
    fitting = [key for key in named if algorithm in key.algorithms][:KEYS_TRIED_WITHOUT_KID]
    if not fitting:
        return Rejected(Reason.TOKEN_ALGORITHM, "alg fits none of the issuer's keys")
    if not any(key.verify(algorithm, compact.signature, compact.signed) for key in fitting):
        return Rejected(Reason.TOKEN_SIGNATURE, "the signature is wrong")
    for name in ("exp", *issuer.required_claims):
        if claims.get(name) is None:
            return Rejected(Reason.TOKEN_CLAIM_MISSING, "a required claim is missing")
    built = build_token(claims, issuer=issuer, token=token, kid=kid if isinstance(kid, str) else None)
    return built if isinstance(built, Rejected) else _Verified(built, algorithm)


def _type_accepted(typ: object, issuer: Issuer) -> bool:
    """RFC 9068 §4, RFC 7515 §4.1.9: case does not matter, nor does a leading application/."""
    return isinstance(typ, str) and any(_media_type(typ) == _media_type(accepted) for accepted in issuer.token_types)


def _media_type(typ: str) -> str:
    return typ.lower().removeprefix("application/")
