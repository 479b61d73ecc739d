"""What a client presented: the Authorization and DPoP headers, read but not believed (RFC 9449 §7.1, RFC 6750 §2.1).

Only these two headers are credentials; an access token in the query or the body never is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stepguard_service.core.model import Scheme

_ONE = re.compile(r"([A-Za-z]+) +([A-Za-z0-9\-._~+/]++=*+)")
# A known scheme at the start of any comma-separated value, and not just of a longer word (RFC 9110 §5.6.2).
_KNOWN = re.compile(r"(?:\A|,)[ \t]*+(dpop|bearer)(?![!#$%&'*+\-.^_`|~0-9A-Za-z])", re.IGNORECASE | re.ASCII)
_SCHEMES = {scheme.value.lower(): scheme for scheme in Scheme}


@dataclass(frozen=True, slots=True)
class Presented:
    """Credentials in the order in which they are judged (docs/decisions.md, rows 6 to 9)."""

    scheme: Scheme | None
    """None where no Authorization value has a scheme that we know."""
    several: bool
    """More than one Authorization value."""
    token: str
    """Empty where the scheme is not followed by exactly one token68."""
    length: int
    """Of the Authorization value, in characters."""
    proof: str
    """The DPoP header, empty where there is none."""


def read_credentials(headers: Mapping[str, str]) -> Presented:
    """Read the credentials of a request, whose header names are in lower case. Never fails."""
    value = headers.get("authorization", "").strip(" \t")
    proof = headers.get("dpop", "").strip(" \t")
    one = _ONE.fullmatch(value)
    if one is not None and (scheme := _SCHEMES.get(one[1].lower())) is not None:
        return Presented(scheme, several=False, token=one[2], length=len(value), proof=proof)
    known = _KNOWN.search(value)
    return Presented(
        scheme=None if known is None else _SCHEMES[known[1].lower()],
        several="," in value,
        token="",
        length=len(value),
        proof=proof,
    )
