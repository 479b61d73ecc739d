"""No spelling of a path reaches a weaker rule than its plain spelling, whatever Envoy makes of it first."""

from urllib.parse import unquote

import pytest

from tests.support.gateway import HOST, Gateway
from tests.support.http_clients import Response, http1, http2

LISTENERS = pytest.mark.parametrize(
    "listener", ["raw", "mesh"], ids=["Envoy normalises paths", "Envoy leaves paths alone"]
)
ADMIN_SPELLINGS = (
    "/admin",
    "/admin/",
    "/admin/users",
    "/admin?x=/public",
    "//admin",
    "/admin//",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/./admin",
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2E/admin",
    "/public//../admin",
    "/public/..//admin",
    "/public/..;/admin",
    "/public/.;/../admin",
    "/public/;/../admin",
    "/admin;x=1",
    "/admin;/public",
    "/public/..%2fadmin",
    "/public%2f..%2fadmin",
    "/public/%2e%2e%2fadmin",
    "/public\\..\\admin",
    "/public/..\\admin",
    "/public%5c..%5cadmin",
    "/public/%00/../admin",
    "/public/%252e%252e/admin",
    "/public/..%c0%afadmin",
    "/public/..%",
)


def reaches_admin(target: str) -> bool:
    """Whether some server would take the target for /admin: decoded once, parameters cut, dot segments removed."""
    path = unquote(target.partition("?")[0]).replace("\\", "/")
    segments: list[str] = []
    for raw in path.split("/"):
        segment = raw.partition(";")[0]
        if segment == "..":
            segments[-1:] = []
        elif segment not in {"", "."}:
            segments.append(segment)
    return segments[:1] == ["admin"]


@LISTENERS
@pytest.mark.parametrize("target", ADMIN_SPELLINGS)
def test_no_spelling_of_a_denied_path_reaches_the_application(gateway: Gateway, listener: str, target: str) -> None:
    """Refused as a path, denied by its rule, or brought by Envoy itself to a path that is public."""
    before = len(gateway.application.received)
    for response in _over_both_protocols(gateway, listener, target):
        assert response.status in {200, 400, 403, 404}
    for request in gateway.application.received[before:]:
        assert request.path.startswith("/public")
        assert not reaches_admin(request.target)


def _over_both_protocols(gateway: Gateway, listener: str, target: str) -> tuple[Response, Response]:
    port = gateway.envoy.port(listener)
    return http1(port, target, host=HOST), http2(port, target, host=HOST)


REFUSED = {
    "/public//../admin": "merging slashes before or after dot segments differs",
    "/public/..;/admin": "a dot segment with a parameter",
    "/public;x/page": "a parameter",
    "/public%2fpage": "an encoded slash",
    "/public%5cpage": "an encoded backslash",
}


@pytest.mark.parametrize("target", REFUSED, ids=REFUSED.values())
def test_a_path_that_servers_disagree_about_is_refused(gateway: Gateway, target: str) -> None:
    """With 400, and no challenge that would invite another try."""
    response = gateway.get(target, listener="mesh")
    assert response.status == 400
    assert response.values("www-authenticate") == []


@pytest.mark.parametrize(
    "target",
    ["/accounts?page=2&x=%2F", "/accounts/%41", "/accounts/a/../b", "/accounts//x", "/accounts/"],
)
def test_the_proof_is_compared_with_the_path_as_the_client_sent_it(gateway: Gateway, target: str) -> None:
    """Query ignored, RFC 3986 normal form; slashes are never merged for htu."""
    path = target.partition("?")[0]
    response = gateway.get(target, *gateway.credentials("GET", path), listener="mesh")
    assert response.status == 200


def test_a_proof_for_another_path_is_refused(gateway: Gateway) -> None:
    """A trailing slash makes another URI (RFC 3986 §6.2.3 does not remove it)."""
    for path in ("/accounts/", "/Accounts", "/", "//accounts"):
        response = gateway.get("/accounts", *gateway.credentials("GET", path))
        assert response.status == 401


@pytest.mark.parametrize("authority", ["API.Example.COM", "api.example.com:443", "api.example.com."])
def test_spellings_of_the_host_are_the_same_host(gateway: Gateway, authority: str) -> None:
    """Case and the default port do not count; a trailing dot reaches the same rules."""
    host = authority.removesuffix(":443")
    response = gateway.get("/accounts", *gateway.credentials("GET", "/accounts", host=host), host=authority)
    assert response.status == 200
    assert gateway.get("/admin", host=authority).status == 403


@pytest.mark.parametrize("authority", ["evil@api.example.com", "api.example.com,evil", "api.example.com:x", "a b"])
def test_an_authority_that_is_no_host_is_refused(gateway: Gateway, authority: str) -> None:
    """By Envoy or by us: never an answer of the application."""
    before = len(gateway.application.received)
    assert gateway.get("/public", host=authority).status in {400, 403}
    assert len(gateway.application.received) == before


def test_a_host_of_no_policy_is_denied(gateway: Gateway) -> None:
    """403, whatever the credentials."""
    host = "other.example.com"
    response = gateway.get("/accounts", *gateway.credentials("GET", "/accounts", host=host), host=host)
    assert response.status == 403
