"""The servers that tests start answer as real ones do, and badly only when asked to."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.support.authorization_server import JWKS_PATH, AuthorizationServer
from tests.support.http_server import HttpServer, Reply, echo
from tests.support.processes import wait_until
from tests.support.tokens import Signer


def get(url: str, *, data: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, object]:
    """The JSON document at `url`, by POST where there is data."""
    with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}), timeout=5) as answer:
        return dict(json.load(answer))


def test_the_metadata_leads_to_the_keys() -> None:
    """RFC 8414 inserts the well-known path before the issuer's own, OpenID Discovery appends it."""
    with AuthorizationServer(Signer(kid="k7"), issuer_path="/realms/bank") as server:
        for path in (
            "/.well-known/oauth-authorization-server/realms/bank",
            "/realms/bank/.well-known/openid-configuration",
        ):
            metadata = get(server.http.url + path)
            assert metadata["issuer"] == server.issuer
            keys = get(str(metadata["jwks_uri"]))["keys"]
            assert isinstance(keys, list)
            assert [key["kid"] for key in keys] == ["k7"]


def test_introspection_needs_the_clients_password() -> None:
    """An unknown token is inactive; a caller without password gets 401."""
    with AuthorizationServer() as server:
        server.active["good"] = {"sub": "alice"}
        basic = {"authorization": "Basic c3RlcGd1YXJkOm1hZGUtdXArc2VjcmV0"}
        for token, expected in {"good": {"active": True, "sub": "alice"}, "other": {"active": False}}.items():
            data = urllib.parse.urlencode({"token": token}).encode()
            assert get(server.introspection_endpoint, data=data, headers=basic) == expected
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            get(server.introspection_endpoint, data=b"token=good")
        refused.value.close()


def test_a_fault_lasts_until_it_is_taken_away() -> None:
    """And a stopped server comes back on the same port."""
    with AuthorizationServer(Signer()) as server:
        server.faults[JWKS_PATH] = Reply(503)
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            get(server.jwks_uri)
        refused.value.close()
        del server.faults[JWKS_PATH]
        server.stop()
        with pytest.raises(urllib.error.URLError):
            get(server.jwks_uri)
        server.start()
        assert "keys" in get(server.jwks_uri)
        assert server.count(JWKS_PATH) == 2


def test_stopping_does_not_wait_for_a_slow_answer() -> None:
    """A delay of an hour ends with the server."""
    server = HttpServer(lambda _: Reply(delay=3600)).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/slow")
    wait_until(lambda: server.received, "the request arrives")
    server.stop()
    assert connection.getresponse().status == 200
    connection.close()


def test_the_sample_application_tells_what_it_got() -> None:
    """Lines of one name stay apart."""
    with HttpServer(echo) as server:
        told = get(server.url + "/a/b?c=d", headers={"X-One": "1"})
        assert told["target"] == "/a/b?c=d"
        headers = told["headers"]
        assert isinstance(headers, list)
        assert ["x-one", "1"] in headers
