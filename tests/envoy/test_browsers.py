"""CORS: browsers as clients, asked about before any CORS filter."""

from tests.support.gateway import Gateway
from tests.support.http_clients import Response, http1

HOST = "spa.example.com"
ORIGIN = "https://app.example"


def preflight(gateway: Gateway, *, origin: str = ORIGIN, **more: str) -> Response:
    """What a browser asks before it sends a request with its own headers."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET", **more}
    return http1(gateway.envoy.port(), "/x", host=HOST, method="OPTIONS", headers=asked.items())


def test_a_preflight_of_a_listed_origin_reaches_the_application(gateway: Gateway) -> None:
    """It carries no credentials, and must not need any."""
    assert preflight(gateway).status == 200


def test_any_other_options_request_is_judged_like_the_rest(gateway: Gateway) -> None:
    """Another origin, credentials, or no Access-Control-Request-Method: no preflight."""
    assert preflight(gateway, origin="https://evil.example").status == 401
    assert preflight(gateway, Authorization="Bearer x").status == 401
    plain = http1(gateway.envoy.port(), "/x", host=HOST, method="OPTIONS", headers=[("Origin", ORIGIN)])
    assert plain.status == 401


def test_a_script_of_a_listed_origin_can_read_the_challenge(gateway: Gateway) -> None:
    """RFC 9449 §7.1: WWW-Authenticate must be exposed."""
    response = gateway.get("/x", ("Origin", ORIGIN), host=HOST)
    assert response.status == 401
    assert response.value("access-control-allow-origin") == ORIGIN
    assert "WWW-Authenticate" in response.value("access-control-expose-headers")
    assert response.value("vary") == "Origin"


def test_a_script_of_another_origin_cannot(gateway: Gateway) -> None:
    """No CORS header at all."""
    response = gateway.get("/x", ("Origin", "https://evil.example"), host=HOST)
    assert not [name for name, _ in response.headers if name.startswith("access-control-")]
