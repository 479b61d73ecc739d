"""What a client presented: the Authorization and DPoP headers, read but not believed (RFC 9449 §7.1, RFC 6750 §2.1).

Only these two headers are credentials; an access token in the query or the body never is.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from stepguard_service.core.model import Scheme
from stepguard_service.limits import TOKEN_LENGTH

_ONE = re.compile(r"([A-Za-z]+) +([A-Za-z0-9\-._~+/]++=*+)")
# A known scheme at the start of any comma-separated value, and not just of a longer word (RFC 9110 §5.6.2).
_KNOWN = re.compile(r"(?:\A|,)[ \t]*+(dpop|bearer)(?![!#$%&'*+\-.^_`|~0-9A-Za-z])", re.IGNORECASE | re.ASCII)
_SCHEMES = {scheme.value.lower(): scheme for scheme in Scheme}


class Authorization(NamedTuple):
    """An Authorization value, read."""

    scheme: Scheme | None
    """None where no Authorization value has a scheme that we know."""
    several: bool
    """More than one Authorization value."""
    token: str
    """Empty where the scheme is not followed by exactly one token68."""
    length: int
    """Of the whole value, in characters."""


class Presented(NamedTuple):
    """Credentials in the order in which they are judged (docs/decisions.md, rows 6 to 9)."""

    authorization: Authorization
    scheme: Scheme | None
    """That of the Authorization value."""
    proof: str
    """The DPoP header, empty where there is none."""


def read_credentials(headers: Mapping[str, str]) -> Presented:
    """Read the credentials of a request, whose header names are in lower case. Never fails."""
    value = headers.get("authorization", "")
    authorization = _read_again(value) if len(value) <= TOKEN_LENGTH else _read(value)
    return Presented(authorization, authorization.scheme, headers.get("dpop", "").strip(" \t"))


def _read(value: str) -> Authorization:
    value = value.strip(" \t")
    one = _ONE.fullmatch(value)
    if one is not None and (scheme := _SCHEMES.get(one[1].lower())) is not None:
        return Authorization(scheme, several=False, token=one[2], length=len(value))
    known = _KNOWN.search(value)
    scheme = None if known is None else _SCHEMES[known[1].lower()]
    return Authorization(scheme, several="," in value, token="", length=len(value))


_read_again = lru_cache(maxsize=512)(_read)
"""A client sends one value with many requests. Values that are too long are not kept."""
