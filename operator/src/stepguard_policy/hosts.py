"""Host patterns: `api.example.com`, an IPv4 address, `[IPv6]`, `*.suffix` (one or more labels before it) or `*`.

Two patterns either have no host in common or one of them covers the other, so patterns form a tree. Everything here
works on normal forms: lower case, no trailing dot, addresses in their shortest spelling.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

ANY_HOST: Final = "*"
MAX_LENGTH: Final = 253
"""Characters of a name (RFC 1035 §3.1, without the length octets)."""

_NAME: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class HostRefused:
    """Why a text is no host or host pattern. `reason` is static text and never contains the text."""

    reason: str


@dataclass(frozen=True, slots=True)
class Authority:
    """A request's authority: its host in normal form and its port, None where it names none."""

    host: str
    port: int | None


def parse_authority(text: str) -> Authority | HostRefused:
    """Split `host` or `host:port` (docs/decisions.md, row 1a); all else is refused, userinfo and lists included."""
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        return HostRefused("the authority is not host or host:port")
    host = normalize_host(parts["host"])
    if isinstance(host, HostRefused):
        return host
    port = None if parts["port"] is None else int(parts["port"])
    if port is not None and port > _MAX_PORT:
        return HostRefused("the port is above 65535")
    return Authority(host, port)


def normalize_host(text: str) -> str | HostRefused:
    """The normal form of one host without a port: a name, an IPv4 address or a bracketed IPv6 address."""
    if text.startswith("["):
        return _normalize_ipv6(text)
    host = text.lower().removesuffix(".")
    if not text.isascii() or len(host) > MAX_LENGTH or not _NAME.fullmatch(host):
        return HostRefused("the host is not a name of letters, digits, '-', '_' and single dots")
    return host


def parse_host_pattern(text: str) -> str | HostRefused:
    """The normal form of a host pattern. Names that end in a number are refused unless they are IPv4 addresses."""
    if text == ANY_HOST:
        return ANY_HOST
    host = normalize_host(text.removeprefix("*."))
    if isinstance(host, HostRefused):
        return host
    wildcard = text.startswith("*.")
    if wildcard and host.startswith("["):
        return HostRefused("a wildcard needs a name after it, not an address")
    if host.rpartition(".")[2].isdigit() and (wildcard or not _is_ipv4(host)):
        return HostRefused("a name that ends in a number must be an IPv4 address")
    return f"*.{host}" if wildcard else host


def covers(pattern: str, other: str) -> bool:
    """Whether every host of the pattern `other` is a host of `pattern`. A pattern covers itself."""
    if pattern in (ANY_HOST, other):
        return True
    return pattern.startswith("*.") and other != ANY_HOST and other.removeprefix("*.").endswith(pattern[1:])


def matches(pattern: str, host: str) -> bool:
    """Whether a host in normal form is one of the pattern's."""
    return covers(pattern, host)


def enclosing_patterns(host: str) -> Iterator[str]:
    """All patterns that cover a host (or a pattern), most specific first: itself, `*.suffix` longest first, `*`."""
    if host != ANY_HOST:
        yield host
        if not host.startswith("["):
            rest = host.removeprefix("*.")
            while "." in rest:
                rest = rest.partition(".")[2]
                yield f"*.{rest}"
    yield ANY_HOST


def _normalize_ipv6(text: str) -> str | HostRefused:
    try:
        address = IPv6Address(text.removeprefix("[").removesuffix("]"))
    except AddressValueError:
        return HostRefused("the host is not an IPv6 address in brackets")
    if not text.endswith("]") or address.scope_id is not None:
        return HostRefused("the host is not an IPv6 address in brackets, without a zone")
    if address.ipv4_mapped is not None:
        # Releases of Python differ in how they write these, and both programs must write them alike.
        low = int(address) & 0xFFFFFFFF
        return f"[::ffff:{low >> 16:x}:{low & 0xFFFF:x}]"
    return f"[{address.compressed}]"


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
