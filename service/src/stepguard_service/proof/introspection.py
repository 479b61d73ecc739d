"""What an introspection answer is worth (RFC 7662 §2.2), for opaque tokens and for JWTs of issuers with `use: Always`.

The members come from a well-formed answer of the one endpoint that the TokenIssuer names. All of this runs again for a
remembered answer: what is remembered is what the authorization server said, never a verdict.
"""

from collections.abc import Mapping

from stepguard_service.core.model import AccessToken, Binding, Issuer, Policy, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.limits import INACTIVE_TTL
from stepguard_service.proof.claims import build_token, refuse_now

_NEWER_WORD = ("scope", "acr", "auth_time")
"""What the answer about a JWT says of these counts instead of the JWT's own: it is younger."""


def accept_introspection(
    members: Mapping[str, object], issuer: Issuer, *, policy: Policy, token: str, now: int
) -> AccessToken | Rejected:
    """The opaque token that the answer describes, or why it is refused (rows 10 and 11 of docs/decisions.md).

    `active` must be true and the TokenIssuer's `introspection.requiredClaims` be there; `iss`, `aud`, `exp` and `nbf`
    are checked where they are. `now` is in Unix seconds.
    """
    described = _describe(members, issuer, token)
    if isinstance(described, Rejected):
        return described
    return refuse_now(described, policy, now) or described


def confirm_jwt(
    jwt: AccessToken, members: Mapping[str, object], *, policy: Policy, token: str, now: int
) -> AccessToken | Rejected:
    """The verified JWT, confirmed by its issuer's answer about it, or why it is refused (rows 10, 11 and 11a).

    The answer must be acceptable by itself and, where it has `cnf`, say the same as the JWT; where it has none, the
    JWT's binding stays. `scope`, `acr` and `auth_time` of the answer replace the JWT's.
    """
    described = accept_introspection(members, jwt.issuer, policy=policy, token=token, now=now)
    if isinstance(described, Rejected):
        return described
    if "cnf" in members and described.binding != jwt.binding:
        return Rejected(Reason.TOKEN_BINDING_CONTRADICTION, "the JWT and its introspection have different cnf")
    newer = {name: members[name] for name in _NEWER_WORD if name in members}
    if not newer:
        return jwt
    return build_token({**jwt.claims, **newer}, issuer=jwt.issuer, token=token, kid=jwt.kid)


def lifetime(members: Mapping[str, object], issuer: Issuer, *, token: str, now: float) -> float:
    """For how many seconds the answer may be remembered, 0 for not at all.

    Inactive tokens for 10 s; active ones for the TokenIssuer's cacheTTL, never beyond `exp`, and only where the
    issuer's own rules accept them.
    """
    if issuer.introspection is None:
        return 0
    if members.get("active") is not True:
        return INACTIVE_TTL
    described = _describe(members, issuer, token)
    if isinstance(described, Rejected) or ("aud" in members and described.audiences.isdisjoint(issuer.audiences)):
        return 0
    ttl = float(issuer.introspection.cache_ttl)
    return ttl if described.expires is None else max(0.0, min(ttl, described.expires - now))


def _describe(members: Mapping[str, object], issuer: Issuer, token: str) -> AccessToken | Rejected:
    """The token by the rules of its TokenIssuer alone, without policy and time."""
    if members.get("active") is not True:
        return Rejected(Reason.TOKEN_INACTIVE, "introspection says that it is not active")
    if members.get("iss", issuer.issuer) != issuer.issuer:
        return Rejected(Reason.TOKEN_ISSUER, "introspection names another issuer")
    required = issuer.introspection.required_claims if issuer.introspection else ()
    if any(members.get(name) is None for name in required):
        return Rejected(Reason.TOKEN_CLAIM_MISSING, "introspection lacks a required member")
    described = build_token(members, issuer=issuer, token=token, opaque=True)
    if isinstance(described, Rejected):
        return described
    return _type_fault(members, described.binding) or described


def _type_fault(members: Mapping[str, object], binding: Binding) -> Rejected | None:
    """RFC 9449 §6.2: `token_type`, where it is there, is DPoP exactly for tokens that are bound to a DPoP key."""
    if "token_type" not in members:
        return None
    token_type = members["token_type"]
    if not isinstance(token_type, str):
        return Rejected(Reason.TOKEN_CLAIM_INVALID, "token_type is not a string")
    if (token_type.lower() == "dpop") != (binding.jkt is not None):
        return Rejected(Reason.TOKEN_BINDING_CONTRADICTION, "token_type and cnf of the introspection contradict")
    return None
