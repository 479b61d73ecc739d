"""The target URI of a proof (RFC 9449 §4.3, items 9 and 10): one normal form for what was signed and what was asked.

RFC 3986 §6.2.2 and §6.2.3 and nothing beyond: case of scheme and host, default port, escapes of unreserved characters,
dot segments, empty path. Case of the path, a trailing slash, `//` and `%2F` are significant. Query and fragment do not
count on either side.
"""

import re

from stepguard_service.core.model import Origin

_HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"
_AUTHORITY = re.compile(rf"({_HOST})(?::([0-9]{{0,5}}))?")
# Every character is visible ASCII and no backslash. Python's urlsplit would drop TAB, CR and LF silently.
_URI = re.compile(rf"([Hh][Tt][Tt][Pp][Ss]?)://({_HOST})(?::([0-9]{{0,5}}))?(/[!-\[\]-~]*)?(?:[?#][!-\[\]-~]*)?")
_PLAIN_PATH = re.compile(r"(?:/(?!\.)[!$&-.0-;=@-Z_a-z~]*+)++")
"""Segments that do not begin with a dot and have no escapes: already in normal form."""
_PATH = re.compile(r"/[!-\[\]-~]*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"https": "443", "http": "80"}


def normalize_htu(uri: str) -> str | None:
    """The normal form of an absolute http or https URI without query and fragment; None where it has none."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    scheme, host, port, path = match.groups()
    return _compose(scheme.lower(), host, port, path or "/")


def request_target(origin: Origin, authority: str, target: str) -> str | None:
    """The same form of the URI that a request asked for, from its authority and path as the client sent them.

    The scheme is the origin's: clients choose `:scheme` and `x-forwarded-proto`. `origin.host` replaces host and port,
    `origin.port` the port. None where the request has no such URI: then no proof fits it.
    """
    match = _AUTHORITY.fullmatch(origin.host or authority)
    if match is None:
        return None
    host, port = match.groups()
    if origin.port:
        port = str(origin.port)
    return _compose(origin.scheme, host, port, target)


def _compose(scheme: str, host: str, port: str | None, path: str) -> str | None:
    normal = _normalize_path(path)
    if normal is None:
        return None
    if not port or port == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host.lower()}{normal}"
    return f"{scheme}://{host.lower()}:{port}{normal}"


def _normalize_path(path: str) -> str | None:
    path = path.partition("?")[0].partition("#")[0]
    if _PLAIN_PATH.fullmatch(path):
        return path
    if not _PATH.fullmatch(path):
        return None
    try:
        path = _ESCAPE.sub(_normalize_escape, path)
    except _InvalidEscape:
        return None
    return _remove_dot_segments(path) if "/." in path else path


class _InvalidEscape(ValueError):  # noqa: N818 - it never leaves this module
    """A percent sign that two hexadecimal digits do not follow."""


def _normalize_escape(match: re.Match[str]) -> str:
    """Upper-case digits; decoded where it stands for an unreserved character (RFC 3986 §2.3)."""
    if match[1] is None:
        raise _InvalidEscape
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _remove_dot_segments(path: str) -> str:
    """RFC 3986 §5.2.4 for a path that begins with a slash. Empty segments are segments."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == ".." and kept:
            kept.pop()
        elif segment not in {".", ".."}:
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
