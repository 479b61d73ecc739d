"""Allowed requests: what is set on them, removed from them and put on their response.

Names of identity headers are removed whether or not the request seems to have them, since a proxy may be configured to
show us only some headers, and in every spelling: for WSGI and CGI `x_auth_sub` is `x-auth-sub`, and for some servers
(FastCGI behind lighttpd) every character that is neither letter nor digit is the same one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepguard_service.core.decision import Verified
from stepguard_service.core.model import (
    Allow,
    ClaimHeader,
    HeaderAction,
    Policy,
    ResponseHeader,
    Scheme,
    UpstreamAuthorization,
)
from stepguard_service.core.refusal import NO_STORE, cors_headers
from stepguard_service.limits import CLAIM_HEADER_LENGTH

_HEADER_VALUE = re.compile(r"(?! )[\x20-\x7e]+(?<! )")
_ODD = re.compile(r"[^a-z0-9:-]")
"""What may stand for a hyphen in a name. Pseudo-headers have a colon."""
_APPENDED = frozenset({"vary", "access-control-expose-headers"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity headers to set, and how many were left out because their claim cannot be a header."""

    headers: tuple[tuple[str, str], ...] = ()
    dropped: int = 0


_NOBODY = Identity()


def identity_of(policy: Policy, claims: Mapping[str, object]) -> Identity:
    """The headers that a policy makes of verified claims. Values are never altered: what does not fit is left out."""
    if not policy.claim_headers:
        return _NOBODY
    wanted = [(mapping, claims[mapping.claim]) for mapping in policy.claim_headers if _present(mapping, claims)]
    values = [(mapping.header, _header_value(value)) for mapping, value in wanted]
    headers = tuple((header, value) for header, value in values if value is not None)
    return Identity(headers, dropped=len(values) - len(headers))


def allowance(
    request_headers: Mapping[str, str],
    stripped: Sequence[str],
    *,
    policy: Policy | None = None,
    verified: Verified | None = None,
    identity: Identity = _NOBODY,
    anonymous: bool = False,
    hide_proof: bool = False,
    response_headers: tuple[ResponseHeader, ...] = (),
) -> Allow:
    """What happens to a request that goes on.

    Args:
        request_headers: as received, names in lower case.
        stripped: names that no client may set.
        policy: the one whose rule applies, for what the application sees of the credentials.
        verified: the credentials, where they passed rows 6 to 23.
        identity: what is set of them.
        anonymous: the rule is, so that credentials were not looked at and are none to pass on as Bearer.
        hide_proof: remove the proof though no policy is chosen.
        response_headers: for the response.
    """
    setting = [*identity.headers]
    removing = _removals(request_headers, stripped, identity) if stripped else []
    authorization = UpstreamAuthorization.KEEP if policy is None else policy.authorization
    if authorization is UpstreamAuthorization.BEARER:
        if anonymous:
            removing.append("authorization")
        elif verified is not None and verified.facts.presented.scheme is Scheme.DPOP:
            setting.append(("authorization", f"Bearer {verified.facts.presented.authorization.token}"))
    elif authorization is UpstreamAuthorization.REMOVE:
        removing.append("authorization")
    if hide_proof or authorization is not UpstreamAuthorization.KEEP:
        removing.append("dpop")
    return Allow(tuple(setting), tuple(removing), response_headers)


def nonce_headers(nonce: str, origin: str) -> tuple[ResponseHeader, ...]:
    """A new nonce on the response to an allowed request (RFC 9449 §8.2); exactly one, whatever the upstream sets."""
    headers = (("dpop-nonce", nonce), NO_STORE, *(cors_headers(origin) if origin else ()))
    return tuple(
        ResponseHeader(name, value, HeaderAction.APPEND if name in _APPENDED else HeaderAction.OVERWRITE)
        for name, value in headers
    )


def _removals(request_headers: Mapping[str, str], stripped: Sequence[str], identity: Identity) -> list[str]:
    """Envoy removes after it sets, so what this answer sets itself must not be removed; other spellings must."""
    own = {header for header, _ in identity.headers}
    removing = [name for name in stripped if name not in own]
    if _ODD.search("".join(request_headers)):
        removing += [name for name in request_headers if _ODD.search(name) and _ODD.sub("-", name) in stripped]
    return removing


def _present(mapping: ClaimHeader, claims: Mapping[str, object]) -> bool:
    return claims.get(mapping.claim) is not None


def _header_value(value: object) -> str | None:
    """The claim as text, None where it cannot be a header's value."""
    texts = [_text(element) for element in value] if isinstance(value, list) else [_text(value)]
    parts = [text for text in texts if text is not None]
    if not parts or len(parts) != len(texts):
        return None
    if isinstance(value, list) and any("," in part for part in parts):
        return None
    joined = ",".join(parts)
    return joined if len(joined) <= CLAIM_HEADER_LENGTH else None


def _text(value: object) -> str | None:
    """A string as it is, a number or boolean as JSON writes it; None for what no header may hold."""
    match value:
        case str():
            text = value
        case bool() | int() | float():
            text = json.dumps(value)
        case _:
            return None
    return text if _HEADER_VALUE.fullmatch(text) else None
