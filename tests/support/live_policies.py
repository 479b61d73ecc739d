"""TokenIssuers whose keys and introspection are at a running authorization server, and requests with its tokens."""

from typing import Any

from tests.support.authorization_server import CLIENT, AuthorizationServer
from tests.support.checks import check_request
from tests.support.clock import clock_now
from tests.support.tokens import AUDIENCE, Signer


def token_issuer(server: AuthorizationServer, name: str = "main", **spec: Any) -> dict[str, Any]:
    """A TokenIssuer with the keys at the server's JWK Set."""
    return {
        "apiVersion": "stepguard.dev/v1alpha1",
        "kind": "TokenIssuer",
        "metadata": {"name": name},
        "spec": {"issuer": server.issuer, "audiences": [AUDIENCE], "jwks": {"uri": server.jwks_uri}, **spec},
    }


def introspecting(server: AuthorizationServer, **spec: Any) -> dict[str, Any]:
    """The same, with introspection; `spec` are fields of that."""
    settings = {
        "endpoint": server.introspection_endpoint,
        "clientId": CLIENT[0],
        "clientSecretRef": {"name": "as-client", "key": "secret"},
        **spec,
    }
    return token_issuer(server, introspection=settings)


def bearer(token: str, path: str = "/accounts") -> bytes:
    """A request with a bearer token."""
    return check_request("GET", path, headers={"authorization": f"Bearer {token}"})


def signed(server: AuthorizationServer, signer: Signer, **claims: object) -> bytes:
    """A request with a fresh token of the server."""
    return bearer(signer.access_token(clock_now(), claims={"iss": server.issuer, **claims}))
