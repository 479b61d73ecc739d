"""What the members of a token say, whether they came in a JWT (RFC 9068) or from introspection (RFC 7662)."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from math import isfinite

from stepguard_service.core.model import AccessToken, Binding, Issuer, Policy, Rejected
from stepguard_service.core.reasons import Reason

_STRINGS = ("iss", "sub", "jti", "client_id", "scope")
_TIMES = ("exp", "nbf", "iat")
_UNBOUND = Binding()
_NOT_UNDERSTOOD = Binding(not_understood=True)


def token_hash(token: str) -> str:
    """`ath` of an ASCII token: the SHA-256 of its characters as received, base64url (RFC 9449 §4.2)."""
    return urlsafe_b64encode(sha256(token.encode("ascii")).digest())[:43].decode("ascii")


def number(value: object) -> float | None:
    """A JSON number that is finite and no boolean; None for everything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        return value
    return None


def parse_binding(members: Mapping[str, object]) -> Binding:
    """What `cnf` binds a token to (RFC 7800 §3.1, RFC 9449 §6, RFC 8705 §3.1).

    Unknown members of `cnf` are ignored beside known ones; a `cnf` of which nothing is understood, or a known member of
    the wrong type, is a binding that nobody can meet.
    """
    if "cnf" not in members:
        return _UNBOUND
    cnf = members["cnf"]
    if not isinstance(cnf, dict) or not ("jkt" in cnf or "x5t#S256" in cnf):
        return _NOT_UNDERSTOOD
    jkt, x5t = cnf.get("jkt", ""), cnf.get("x5t#S256", "")
    if not isinstance(jkt, str) or not isinstance(x5t, str):
        return _NOT_UNDERSTOOD
    return Binding(jkt if "jkt" in cnf else None, x5t if "x5t#S256" in cnf else None)


def build_token(
    members: Mapping[str, object], *, issuer: Issuer, token: str, kid: str | None = None, opaque: bool = False
) -> AccessToken | Rejected:
    """The access token that these members describe, or the claim of a wrong type.

    What is required to be there is the caller's question. `acr` and `auth_time` of a wrong type count as missing.
    """
    for name in _STRINGS:
        if name in members and not isinstance(members[name], str):
            return Rejected(Reason.TOKEN_CLAIM_INVALID, f"{name} is not a string")
    for name in _TIMES:
        if name in members and number(members[name]) is None:
            return Rejected(Reason.TOKEN_CLAIM_INVALID, f"{name} is not a number")
    if members.get("sub") == "":
        return Rejected(Reason.TOKEN_CLAIM_INVALID, "sub is empty")
    audiences = _audiences(members.get("aud", []))
    if audiences is None:
        return Rejected(Reason.TOKEN_CLAIM_INVALID, "aud is neither a string nor an array of strings")
    scope, acr = members.get("scope", ""), members.get("acr")
    return AccessToken(
        issuer=issuer,
        claims=members,
        ath=token_hash(token),
        binding=parse_binding(members),
        audiences=audiences,
        scopes=frozenset(scope.split(" ")) - {""} if isinstance(scope, str) else frozenset(),
        acr=acr if isinstance(acr, str) else None,
        auth_time=number(members.get("auth_time")),
        expires=number(members.get("exp")),
        not_before=number(members.get("nbf")),
        kid=kid,
        opaque=opaque,
    )


def _audiences(aud: object) -> frozenset[str] | None:
    if isinstance(aud, str):
        return frozenset({aud})
    if isinstance(aud, list) and all(isinstance(one, str) for one in aud):
        return frozenset(aud)
    return None


def refuse_now(token: AccessToken, policy: Policy, now: int) -> Rejected | None:
    """What may differ from request to request for one token: this policy's audiences, and the time (RFC 7519 §4.1).

    `aud` must name one of the issuer's audiences (of an introspected token only where it has `aud` at all) and one of
    the policy's where it has some. Seconds; a token is expired when now ≥ exp + clockSkew.
    """
    issuer = token.issuer
    if token.audiences.isdisjoint(issuer.audiences) and not (token.opaque and "aud" not in token.claims):
        return Rejected(Reason.TOKEN_AUDIENCE, "aud names none of the issuer's audiences")
    if policy.audiences and token.audiences.isdisjoint(policy.audiences):
        return Rejected(Reason.TOKEN_AUDIENCE, "aud names none of the policy's audiences")
    if token.expires is not None and now >= token.expires + issuer.clock_skew:
        return Rejected(Reason.TOKEN_EXPIRED, "exp has passed")
    if token.not_before is not None and now < token.not_before - issuer.clock_skew:
        return Rejected(Reason.TOKEN_NOT_YET_VALID, "nbf is in the future")
    return None
