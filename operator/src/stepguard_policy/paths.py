"""The normal form of a path: what rules are written in and what requests are matched in (docs/decisions.md, row 3).

Servers disagree about many spellings of one path. Here each spelling either becomes the plain one or is refused, so
that none reaches a weaker rule than the plain one does. This form chooses the rule and nothing else: htu is compared
by RFC 3986 alone.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

MAX_LENGTH: Final = 8 * 1024
"""Characters. A proof, which names the path, has half as many; 60 KiB of escapes would take 0.1 s."""

# Paths that are their own normal form unless a segment is empty or begins with a dot: nearly all real ones.
_PLAIN: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,=:@/]*")
_FORBIDDEN: Final = re.compile(r"[^\x21-\x7e]|[\\?#]")
_ESCAPE: Final = re.compile(r"%(?:([0-9A-Fa-f]{2}))?")
_DISGUISED_DOTS: Final = re.compile(r"\.\.?(?:;|%3[Bb])")
_OTHER_OCTETS: Final = re.compile(r"(?:%[89A-F][0-9A-F])+")
_BARE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@")
"""What a segment may hold unescaped (RFC 3986 §3.3), but for `;`: it separates parameters only where it is bare."""
_NEVER_BARE: Final = re.compile(r"[\"<>\[\]^`{|}]")


@dataclass(frozen=True, slots=True)
class PathRefused:
    """Why a path has no normal form. `reason` is static text and never contains the path."""

    reason: str


def normalize_path(
    path: str,
    *,
    ignore_case: bool = False,
    keep_encoded_slashes: bool = False,
    drop_parameters: bool = False,
) -> str | PathRefused:
    """Bring a path (without its query) into normal form; applying it twice changes nothing more.

    Escapes of what may stand bare in a segment are decoded, since servers decode them before they route; other escapes
    get upper-case hex, and what may not stand bare is escaped. Dot segments go, repeated slashes become one. A trailing
    slash stays: whether it counts depends on the kind of match.

    Args:
        path: what stands before the `?`.
        ignore_case: fold case, also that of escaped UTF-8 (for servers that do).
        keep_encoded_slashes: `%2F` is an ordinary character of its segment instead of a reason to refuse.
        drop_parameters: in each segment `;` and what follows is cut off instead of being a reason to refuse.
    """
    if len(path) > MAX_LENGTH:
        return PathRefused("the path is too long")
    if not ignore_case and _PLAIN.fullmatch(path) and "//" not in path and "/." not in path:
        return path
    if not path.startswith("/"):
        return PathRefused("the path does not start with a slash")
    if _FORBIDDEN.search(path):
        return PathRefused("the path has a character that no path may have")
    try:
        unescaped = _NEVER_BARE.sub(_escape, _ESCAPE.sub(_unescape, path))
    except ValueError as problem:
        return PathRefused(str(problem))
    if "%2F" in unescaped and not keep_encoded_slashes:
        return PathRefused("the path has an encoded slash")
    return _normalize_segments(_fold(unescaped) if ignore_case else unescaped, drop_parameters=drop_parameters)


def without_trailing_slash(path: str) -> str:
    """What Exact and Template compare: one trailing slash does not count, except that of the root."""
    return path[:-1] if path.endswith("/") and path != "/" else path


def _normalize_segments(path: str, *, drop_parameters: bool) -> str | PathRefused:
    segments = path.split("/")[1:]
    if any(_DISGUISED_DOTS.match(segment) for segment in segments):
        return PathRefused("the path has a dot segment with a parameter")
    if ";" in path:
        if not drop_parameters:
            return PathRefused("the path has a parameter (;) in a segment")
        segments = [segment.partition(";")[0] for segment in segments]
    normal = _merge_slashes(_remove_dots(segments))
    if normal != _remove_dots(_merge_slashes(segments)):
        return PathRefused("the path means different things depending on when its slashes are merged")
    return "/" + "/".join(normal)


def _unescape(escape: re.Match[str]) -> str:
    """Decode one escape where that is harmless. ValueError says why the path is refused."""
    digits = escape[1]
    if digits is None:
        raise ValueError("the path has an invalid percent-escape")
    character = chr(int(digits, 16))
    if character in "\\\0":
        raise ValueError("the path has an encoded backslash or NUL")
    return character if character in _BARE else f"%{digits.upper()}"


def _escape(character: re.Match[str]) -> str:
    return f"%{ord(character[0]):02X}"


def _fold(path: str) -> str:
    """Lower case, escaped UTF-8 included; escapes keep their upper-case hex.

    By way of upper case, because some servers compare in that: to them a dotless i is an i.
    """
    folded = _OTHER_OCTETS.sub(_fold_octets, path)
    return _ESCAPE.sub(lambda escape: escape[0].upper(), folded.lower())


def _fold_octets(octets: re.Match[str]) -> str:
    try:
        return quote(unquote(octets[0], errors="strict").lower().upper().lower(), safe="")
    except UnicodeDecodeError:
        return octets[0]


def _remove_dots(segments: list[str]) -> list[str]:
    """RFC 3986 §5.2.4, for a path that starts with a slash; empty segments count as segments."""
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return [*kept, ""] if segments[-1] in {".", ".."} else kept


def _merge_slashes(segments: list[str]) -> list[str]:
    kept = [segment for segment in segments if segment]
    return kept if segments[-1] else [*kept, ""]
