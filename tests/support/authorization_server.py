"""An authorization server whose keys, metadata and introspection answers a test changes while it runs.

Everything it does well comes from `signers` and `active`; everything it does badly is a `Reply` set in `faults`.
"""

import base64
import json
import ssl
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import parse_qs, unquote

from tests.support.http_server import HttpServer, Received, Reply
from tests.support.tokens import Signer, jwk_set

JWKS_PATH: Final = "/jwks"
INTROSPECTION_PATH: Final = "/introspect"
OAUTH_METADATA: Final = "/.well-known/oauth-authorization-server"
OPENID_METADATA: Final = "/.well-known/openid-configuration"
CLIENT: Final = ("stepguard", "made-up secret")
JSON: Final = {"content-type": "application/json"}


def json_reply(members: object, *, status: int = 200, delay: float = 0.0, headers: Mapping[str, str] = JSON) -> Reply:
    """A JSON document as a reply."""
    return Reply(status, json.dumps(members).encode(), headers, delay)


class AuthorizationServer:
    """Serves a JWK Set, both kinds of metadata, and introspection.

    `signers`: whose public keys the JWK Set has. `active`: opaque or JWT token → the members of its introspection
    answer beside `active`; other tokens are inactive. `faults`: path → the reply given there instead.
    `issuer` is what the metadata says; the issuer's path, if it has one, is where RFC 8414 and OpenID Discovery put it.
    """

    def __init__(self, *signers: Signer, issuer_path: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.signers = list(signers)
        self.active: Final[dict[str, Mapping[str, object]]] = {}
        self.faults: Final[dict[str, Reply]] = {}
        self.jwks_headers: dict[str, str] = dict(JSON)
        self.http: Final = HttpServer(self._respond, tls=tls)
        self._issuer_path = issuer_path

    @property
    def issuer(self) -> str:
        """Its issuer identifier."""
        return self.http.url + self._issuer_path

    @property
    def jwks_uri(self) -> str:
        """Where its JWK Set is."""
        return self.http.url + JWKS_PATH

    @property
    def introspection_endpoint(self) -> str:
        """Where tokens are looked up."""
        return self.http.url + INTROSPECTION_PATH

    def start(self) -> Self:
        """Listen; again after a `stop` too."""
        self.http.start()
        return self

    def stop(self) -> None:
        """Close the port."""
        self.http.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def count(self, path: str) -> int:
        """How many requests for this path arrived so far."""
        return sum(request.path == path for request in self.http.received)

    def _respond(self, request: Received) -> Reply:
        if request.path in self.faults:
            return self.faults[request.path]
        if request.path == JWKS_PATH:
            return Reply(200, jwk_set(*self.signers).encode(), self.jwks_headers)
        if request.path in {OAUTH_METADATA + self._issuer_path, self._issuer_path + OPENID_METADATA}:
            return json_reply({"issuer": self.issuer, "jwks_uri": self.jwks_uri})
        if request.path == INTROSPECTION_PATH and request.method == "POST":
            return self._introspect(request)
        return json_reply({"error": "not_found"}, status=404)

    def _introspect(self, request: Received) -> Reply:
        if not _authenticated(request):
            return json_reply({"error": "invalid_client"}, status=401)
        token = parse_qs(request.body.decode()).get("token", [""])[0]
        members = self.active.get(token)
        return json_reply({"active": False} if members is None else {"active": True, **members})


def _authenticated(request: Received) -> bool:
    """Whether the client's password came by HTTP Basic, form-encoded first (RFC 6749 §2.3.1)."""
    scheme, _, value = (request.values("authorization") or [""])[0].partition(" ")
    if scheme.lower() != "basic":
        return False
    name, _, secret = base64.b64decode(value).decode().partition(":")
    return (unquote(name.replace("+", " ")), unquote(secret.replace("+", " "))) == CLIENT
