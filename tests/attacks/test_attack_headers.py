"""Headers by which a client could speak with Stepguard's voice, or say another thing to the application than to it."""

import contextlib

import pytest

from tests.support.gateway import HOST, Gateway, seen
from tests.support.http_clients import Response, StreamResetError, http1, http2

BROWSER_HOST = "spa.example.com"
ORIGIN = "https://app.example"

IDENTITY_NAMES = (
    "x-auth-sub",
    "X-Auth-Sub",
    "x_auth_sub",
    "x-auth_sub",
    "x.auth.sub",
    "x-auth.sub",
    "x!auth!sub",
    "x~auth+sub",
)


def identities(response: Response) -> list[str]:
    """The values that any gateway interface could hand over as HTTP_X_AUTH_SUB."""
    plain = {name: "".join(char if char.isalnum() else "-" for char in name.lower()) for name, _ in seen(response)}
    return [value for name, value in seen(response) if plain[name] == "x-auth-sub"]


@pytest.mark.parametrize("listener", ["raw", "joined"])
@pytest.mark.parametrize("name", IDENTITY_NAMES)
def test_no_spelling_of_an_identity_header_arrives(gateway: Gateway, listener: str, name: str) -> None:
    """Some servers (FastCGI behind lighttpd) make an underscore of every character that is no letter or digit."""
    public = gateway.get("/public", (name, "mallory"), listener=listener)
    assert identities(public) == []
    proven = gateway.get("/accounts", *gateway.credentials("GET", "/accounts"), (name, "mallory"), listener=listener)
    assert identities(proven) == ["alice"]


@pytest.mark.parametrize("nominated", ["x-auth-sub", "keep-alive, x-auth-sub"])
def test_a_connection_header_takes_no_identity_header_away(gateway: Gateway, nominated: str) -> None:
    """A later hop that honours `Connection: x-auth-sub` would drop what Stepguard set."""
    response = gateway.get("/accounts", *gateway.credentials("GET", "/accounts"), ("Connection", nominated))
    assert response.status == 200
    assert identities(response) == ["alice"]
    assert nominated not in [value for name, value in seen(response) if name == "connection"]


@pytest.mark.parametrize("nominated", ["authorization", "dpop"])
def test_a_connection_header_takes_no_credential_away_unseen(gateway: Gateway, nominated: str) -> None:
    """Envoy drops what is nominated before it asks, so that Stepguard and the application see the same."""
    response = gateway.get("/accounts", *gateway.credentials("GET", "/accounts"), ("Connection", nominated))
    assert response.status == 401


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override", "x_http_method"])
def test_a_preflight_carries_no_other_method_past_authentication(gateway: Gateway, name: str) -> None:
    """Nobody is authenticated in a preflight, so the application must not take it for a DELETE."""
    preflight = (("Origin", ORIGIN), ("Access-Control-Request-Method", "DELETE"), (name, "DELETE"))
    response = http1(gateway.envoy.port(), "/orders/1", host=BROWSER_HOST, method="OPTIONS", headers=preflight)
    assert response.status == 200
    assert "DELETE" not in [value for key, value in seen(response) if "request" not in key]


@pytest.mark.parametrize(
    "header",
    [
        ("x-forwarded-host", BROWSER_HOST),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "8443"),
        ("x-original-url", "/public"),
        ("x-envoy-original-path", "/public"),
        ("x-rewrite-url", "/public"),
        ("forwarded", 'host="spa.example.com";proto=http'),
        ("x-request-id", "1"),
    ],
    ids=lambda header: header[0],
)
def test_a_header_about_the_address_changes_neither_rule_nor_proof(gateway: Gateway, header: tuple[str, str]) -> None:
    """Only the authority and the path of the request itself count."""
    assert gateway.get("/orders:cancel", header).status == 403
    assert gateway.get("/accounts", header).status == 401
    credentials = gateway.credentials("GET", "/accounts")
    assert gateway.get("/accounts", *credentials, header).status == 200
    assert gateway.get("/accounts", *credentials, header).status == 401


@pytest.mark.parametrize(
    ("name", "value"),
    [("host", "other.example.com"), (":authority", "other.example.com"), (":path", "/public"), (":method", "POST")],
)
def test_a_second_target_over_http_2_changes_nothing(gateway: Gateway, name: str, value: str) -> None:
    """Envoy ends the connection, or Stepguard judges what the request was routed by."""
    before = len(gateway.application.received)
    with contextlib.suppress(StreamResetError):
        assert http2(gateway.envoy.port(), "/orders:cancel", host=HOST, headers=[(name, value)]).status in {400, 403}
    assert len(gateway.application.received) == before
