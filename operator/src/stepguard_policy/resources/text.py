"""The strings that policies are made of: each a type whose CEL rule and Python check are one pattern."""

import ipaddress
from typing import Annotated, TypeAlias

from pydantic import Field

from stepguard_policy.resources.schema import Check, matching

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(\.{_LABEL})*"
_IPV6 = r"\[[0-9a-f:.]+\]"
_LOOPBACK = r"(([A-Za-z0-9-]+\.)*localhost|127(\.[0-9]{1,3}){3}|\[::1\])"
_PORT = "(:[1-9][0-9]{0,4})?"
_PCHAR = r"([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_AUTHORITY = f"(https://({_NAME}|{_IPV6}){_PORT}|http://{_LOOPBACK}{_PORT})"

LOOPBACK = f"(?i:{_LOOPBACK})"
"""Hosts for which plain http is allowed (tests, the demo)."""

_VISIBLE = r"[!#-\[\]-~]+"
"""RFC 6749 NQCHAR without the space: what may stand inside a quoted parameter of a challenge."""


def _canonical_ipv6(host: str) -> bool:
    if not host.startswith("["):
        return True
    try:
        address = ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return str(address) == host[1:-1] and address.ipv4_mapped is None


_IPV6_CHECK = Check(
    "!self.matches('^\\\\[.*\\\\]$') || (isIP(self.substring(1, self.size() - 1))"
    " && ip.isCanonical(self.substring(1, self.size() - 1)))",
    "an IPv6 address must be valid and in canonical form (RFC 5952), such as [2001:db8::1]",
    _canonical_ipv6,
)

HostPattern: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matching(
        rf"\*|(\*\.)?{_NAME}|{_IPV6}",
        'must be a host name, an IPv4 address, an [IPv6] address, "*.suffix" or "*", without scheme, port and path',
    ),
    _IPV6_CHECK,
]

HostName: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matching(
        f"{_NAME}|{_IPV6}", "must be a host name, an IPv4 address or an [IPv6] address, without port and wildcard"
    ),
    _IPV6_CHECK,
]

IssuerUrl: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    matching(
        f"{_AUTHORITY}(/{_PCHAR}*)*",
        "must be an https URL without query and fragment (http only for loopback hosts)",
    ),
]

FetchUrl: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    matching(
        rf"{_AUTHORITY}(/{_PCHAR}*)*(\?({_PCHAR}|[/?])*)?",
        "must be an https URL without fragment (http only for loopback hosts)",
    ),
]

_LOWER_AUTHORITY = (
    rf"(https://([a-z0-9_.-]+|{_IPV6})|http://(([a-z0-9-]+\.)*localhost|127(\.[0-9]{{1,3}}){{3}}|\[::1\])){_PORT}"
)

ResourceUrl: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    matching(
        f"{_LOWER_AUTHORITY}(/{_PCHAR}*)*",
        "must be an https URL with its host in lower case, without query and fragment (http only for loopback hosts)",
    ),
]
"""RFC 9728 §1.2 allows a query, which has no place in the path at which the document is served."""

BrowserOrigin: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=300),
    matching(
        _LOWER_AUTHORITY,
        "must be an origin as browsers send it, such as https://app.example: lower case, no path"
        " (http only for loopback hosts)",
    ),
    Check(
        "!self.matches('^(https://.*:443|http://.*:80)$')",
        "must leave out the scheme's own port, as browsers do",
        lambda origin: (
            not (
                (origin.startswith("https:") and origin.endswith(":443"))
                or (origin.startswith("http:") and origin.endswith(":80"))
            )
        ),
    ),
]

Audience: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]

AcrValue: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=256),
    matching(_VISIBLE, "must be visible ASCII without space, quotation mark and backslash"),
]

Scope: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=256),
    matching(_VISIBLE, "must be visible ASCII without space, quotation mark and backslash (RFC 6749 §3.3)"),
]

ClaimName: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]

RuleName: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=63),
    matching("[a-z0-9]([a-z0-9-]*[a-z0-9])?", "must be lower-case letters, digits and dashes (RFC 1123 label)"),
]

ObjectName: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matching(
        r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*",
        "must be the name of an object: lower-case letters, digits, dashes and dots",
    ),
]

Method: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=32),
    matching("[A-Z]+", "must be a method in upper-case letters, such as GET"),
]

IdentityHeader: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=64),
    matching("x-[a-z0-9-]{1,62}", "must be x- and 1 to 62 lower-case letters, digits and dashes"),
    Check(
        "!self.matches('^(x-envoy-.*|x-forwarded-.*|x-request-id|x-http-method.*|x-method-override)$')",
        "must not be x-envoy-*, x-forwarded-*, x-request-id, x-http-method* or x-method-override",
        lambda name: (
            not name.startswith(("x-envoy-", "x-forwarded-", "x-http-method"))
            and name not in {"x-request-id", "x-method-override"}
        ),
    ),
]
