"""Compact JWS and JSON, read as strictly as `docs/decisions.md` (*JOSE strictness*) asks, in linear time.

Libraries are lenient where it hurts: Python's base64 skips foreign characters and takes several spellings of the same
octets, its JSON takes NaN, lone surrogates and the last of two equal names. Nothing here does (RFC 8725 §2.4, RFC 7515
§4 and §5.2).
"""

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from stepguard_service.limits import JSON_NESTING


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a document is not acceptable. `detail` is static text."""

    detail: str


class Compact(NamedTuple):
    """A JWS in compact form whose segments are canonical base64url: a tuple, because one is made for every request.

    Nothing in it was verified yet. `header` is the encoded segment as received, so that it can be looked up before it
    is decoded; `signed` is what the signature covers (RFC 7515 §5.1).
    """

    header: str
    payload: bytes
    signature: bytes
    signed: bytes


def parse_compact(value: str) -> Compact | Malformed:
    """Split a compact JWS: exactly three segments, none of them empty (so no JWE, no detached payload)."""
    segments = value.split(".", 3)
    if len(segments) != 3:  # noqa: PLR2004 - the number that RFC 7515 §7.1 gives
        return Malformed("not three segments")
    try:
        octets = value.encode("ascii")
    except UnicodeEncodeError:
        return Malformed("not ASCII")
    header, payload, _ = segments
    signed_length = len(header) + 1 + len(payload)
    decoded_payload = decode_base64url(octets[len(header) + 1 : signed_length])
    decoded_signature = decode_base64url(octets[signed_length + 1 :])
    if not header or not decoded_payload or not decoded_signature:
        return Malformed("a segment is empty or not canonical base64url")
    return Compact(header, decoded_payload, decoded_signature, octets[:signed_length])


_ALPHABET = bytes.maketrans(b"-_+/=", b"+/***")
"""To the alphabet that binascii knows; what base64url does not have becomes what strict mode refuses."""
_PADDING = (b"", b"***", b"==", b"=")
_LAST = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}
"""By length modulo 4: last characters whose unused bits are zero. Others are second spellings of the same octets."""


def decode_base64url(encoded: bytes) -> bytes | None:
    """Unpadded base64url in its one canonical spelling (RFC 7515 §2), or None."""
    rest = len(encoded) % 4
    if rest and encoded[-1] not in _LAST.get(rest, ()):
        return None
    try:
        return a2b_base64(encoded.translate(_ALPHABET) + _PADDING[rest], strict_mode=True)
    except Base64Error:
        return None


def decode_text(encoded: object) -> bytes | None:
    """The same for a JSON value that should be a base64url string."""
    if not isinstance(encoded, str) or not encoded.isascii():
        return None
    return decode_base64url(encoded.encode("ascii"))


def decode_header(segment: str) -> dict[str, object] | Malformed:
    """The JSON object in an encoded JOSE header. What its members say is `check_header`'s to judge."""
    octets = decode_text(segment)
    return Malformed("the header is not canonical base64url") if octets is None else strict_json(octets)


def check_header(header: Mapping[str, object]) -> Malformed | None:
    """Refuse what changes the meaning of a JWS in a way we do not know, and a `kid` that is not a string.

    RFC 7515 §4.1.11: we understand no critical parameter, so any `crit` is refused. RFC 7797: `b64` is true.
    """
    if "crit" in header:
        return Malformed("crit")
    if header.get("b64", True) is not True:
        return Malformed("b64")
    if not isinstance(header.get("kid", ""), str):
        return Malformed("kid is not a string")
    return None


class _Refused(ValueError):  # noqa: N818 - it never leaves this module
    """Carries our own refusals out of the parser."""


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("a member name stands twice")
    return members


_DIGITS = 300
"""More than a double can hold, and less than what makes Python's conversion slow or fail."""


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise _Refused("a number is too large")
    return int(text)


def _real(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _Refused("a number is too large")
    return number


def _constant(_: str) -> None:
    raise _Refused("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer, parse_float=_real, parse_constant=_constant)
_SPACE = " \t\n\r"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def strict_json(document: bytes) -> dict[str, object] | Malformed:
    """The JSON object that a document is, or why it is not acceptable.

    UTF-8 without a byte order mark, no member name twice in an object, every number finite as a double, no lone
    surrogate, at most 32 levels (RFC 8259, RFC 7493). Never recurses deeper than that, never raises.
    """
    try:
        text = str(document, "utf-8")
    except UnicodeDecodeError:
        return Malformed("not UTF-8")
    if document.count(b"{") + document.count(b"[") > JSON_NESTING and _nested_too_deeply(document):
        return Malformed("nested too deeply")
    if not text.startswith("{"):
        text = text.lstrip(_SPACE)
    try:
        value, end = _DECODER.raw_decode(text)
    except _Refused as refused:
        return Malformed(str(refused))
    except ValueError:
        return Malformed("not JSON")
    if not isinstance(value, dict):
        return Malformed("not a JSON object")
    if end != len(text) and text[end:].strip(_SPACE):
        return Malformed("something follows the JSON object")
    if "\\u" in text and _SURROGATE.search(text) and not _encodable(value):
        return Malformed("a lone surrogate")
    return value


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = bytes.maketrans(b"[]{}", b"()()")
_NOT_BRACKETS = bytes(octet for octet in range(256) if octet not in b"[]{}")


def _nested_too_deeply(document: bytes) -> bool:
    """Whether brackets outside of strings stand deeper than allowed, or do not pair.

    Each pass removes the innermost pair of every nest, so that 32 of them remove 32 levels, in C and without recursion.
    """
    brackets = _STRING.sub(b"", document).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(JSON_NESTING):
        brackets = brackets.replace(b"()", b"")
    return bool(brackets)


def _encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
