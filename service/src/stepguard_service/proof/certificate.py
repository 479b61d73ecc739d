"""The client certificate of a request (RFC 8705 §3): where it may come from is the platform's choice, nobody else's.

Under `peer` the proxy's own TLS layer names it (`source.certificate`, URL-encoded PEM). Under the xfcc modes it is the
`Hash` of the first or the last element of x-forwarded-client-cert: the first is the outermost client, the last the
nearest hop. Anything that cannot be read exactly counts as no certificate.
"""

import re
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from enum import StrEnum
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from stepguard_service.core.model import Request
from stepguard_service.limits import CERTIFICATE_LENGTH

XFCC = "x-forwarded-client-cert"

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----\r?\n?", re.ASCII)
_KEY = re.compile(r"[ \t]*([A-Za-z]+)=")
_PLAIN = re.compile(r'[^",;]*')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_HASH = re.compile(r"[0-9a-fA-F]{64}")

Element = dict[str, list[str]]
"""One element of x-forwarded-client-cert: key in lower case → its values, in order."""


class CertificateSource(StrEnum):
    """`--client-certificate`."""

    NONE = "none"
    PEER = "peer"
    XFCC_FIRST = "xfcc-first"
    XFCC_LAST = "xfcc-last"


def presented_certificate(request: Request, source: CertificateSource) -> str | None:
    """`x5t#S256` of the certificate that came with the request (43 characters), None where none did."""
    match source:
        case CertificateSource.NONE:
            return None
        case CertificateSource.PEER:
            return _of_peer(request.certificate)
        case CertificateSource.XFCC_FIRST | CertificateSource.XFCC_LAST:
            elements = parse_xfcc(request.headers.get(XFCC, ""))
            if not elements:
                return None
            return _of_element(elements[0 if source is CertificateSource.XFCC_FIRST else -1])


def parse_xfcc(value: str) -> list[Element] | None:
    """The elements of x-forwarded-client-cert, outermost first; None where any part of it is malformed.

    Elements are separated by commas, pairs by semicolons; keys are case-insensitive; a value with a separator in it
    stands in double quotes, with backslash escapes. What follows a closing quote must be a separator, so no unfinished
    quote of a client can swallow what the proxy appended.
    """
    elements: list[Element] = [{}]
    position = 0
    while True:
        key = _KEY.match(value, position)
        if key is None:
            return None
        text, position = _value(value, key.end())
        elements[-1].setdefault(key[1].lower(), []).append(text)
        if position == len(value):
            return elements
        if value[position] not in ",;":
            return None
        if value[position] == ",":
            elements.append({})
        position += 1


def _of_peer(certificate: str) -> str | None:
    if not certificate or len(certificate) > CERTIFICATE_LENGTH:
        return None
    pem = _PEM.match(unquote_to_bytes(certificate))
    if pem is None:
        return None
    try:
        der = b64decode(pem[1].replace(b"\r", b"").replace(b"\n", b""), validate=True)
    except BadBase64:
        return None
    return _text(sha256(der).digest())


def _of_element(element: Element) -> str | None:
    """Two hashes in one element say nothing about which of them is the client's."""
    hashes = element.get("hash", [])
    if len(hashes) != 1 or not _HASH.fullmatch(hashes[0]):
        return None
    return _text(bytes.fromhex(hashes[0]))


def _value(text: str, start: int) -> tuple[str, int]:
    """The value that starts there, without quotes and escapes, and where it ends."""
    if quoted := _QUOTED.match(text, start):
        return _ESCAPE.sub(r"\1", quoted[1]), quoted.end()
    plain = _PLAIN.match(text, start)
    return (plain[0], plain.end()) if plain else ("", start)


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
