"""Where an issuer publishes its keys: RFC 8414 and OpenID Connect Discovery."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from stepguard_service.core.model import Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.proof.jose import Malformed, strict_json

_OAUTH = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"


def metadata_urls(issuer: str) -> tuple[str, str]:
    """The URLs at which the issuer's metadata may be, in the order in which they are asked.

    RFC 8414 §3.1 inserts its path between host and path of the issuer; OpenID Connect Discovery §4 appends its own.
    Both drop a slash at the end of the issuer first.
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix("/")
    return f"{origin}{_OAUTH}{path}", f"{origin}{path}{_OPENID}"


def jwks_uri_of(document: bytes, issuer: str) -> str | Rejected:
    """The `jwks_uri` of a metadata document that says it is this issuer's, code point by code point (RFC 8414 §3.3).

    An https issuer cannot send us to a plain-text or local address that only tests may use.
    """
    members = strict_json(document)
    if isinstance(members, Malformed):
        return _refuse(f"the metadata is not acceptable JSON: {members.detail}")
    if members.get("issuer") != issuer:
        return _refuse("the metadata is another issuer's")
    uri = members.get("jwks_uri")
    if not isinstance(uri, str):
        return _refuse("the metadata has no jwks_uri")
    if not may_be_fetched(uri):
        return _refuse("jwks_uri is neither https nor http of a loopback host")
    if urlsplit(issuer).scheme == "https" and urlsplit(uri).scheme != "https":
        return _refuse("jwks_uri is not https although the issuer is")
    return uri


def may_be_fetched(url: str) -> bool:
    """https, or http to a loopback host: without user information, fragment, or characters that no URL has."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or "#" in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts))


def is_loopback(parts: SplitResult) -> bool:
    """Whether the host never leaves this machine: localhost, 127.0.0.0/8 or ::1."""
    host = parts.hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse(detail: str) -> Rejected:
    return Rejected(Reason.KEYS_UNAVAILABLE, detail)
