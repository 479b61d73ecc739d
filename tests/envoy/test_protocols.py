"""HTTP/1.1, HTTP/2 and gRPC through a real Envoy."""

import grpc
import pytest

from tests.support.gateway import HOST, Gateway, seen
from tests.support.grpc_application import SERVICE
from tests.support.http_clients import http1, http2
from tests.support.processes import wait_until


def test_a_good_request_passes_over_http_1(gateway: Gateway) -> None:
    """And the application is told who the user is, but not the token."""
    response = gateway.good()
    assert response.status == 200
    assert ("x-auth-sub", "alice") in seen(response)
    assert not {"authorization", "dpop"} & {name for name, _ in seen(response)}


def test_a_good_request_passes_over_http_2(gateway: Gateway) -> None:
    """Header names are lower case there; the client's `:scheme` does not matter."""
    for scheme in ("http", "https"):
        headers = [(name.lower(), value) for name, value in gateway.credentials("GET", "/accounts")]
        response = http2(gateway.envoy.port(), "/accounts", host=HOST, headers=headers, scheme=scheme)
        assert response.status == 200
        assert ("x-auth-sub", "alice") in seen(response)


def test_two_challenges_are_two_lines_over_both_protocols(gateway: Gateway) -> None:
    """Clients that choke on a second scheme in one line see none."""
    port = gateway.envoy.port()
    for response in (http1(port, "/accounts", host=HOST), http2(port, "/accounts", host=HOST)):
        assert response.status == 401
        assert [value.split()[0] for value in response.values("www-authenticate")] == ["DPoP", "Bearer"]


@pytest.mark.parametrize("method", ["get", "Post", "G-T"])
def test_a_method_that_is_not_upper_case_letters_is_refused_over_http_2(gateway: Gateway, method: str) -> None:
    """Envoy passes them on over HTTP/2; applications may read `post` as POST."""
    before = len(gateway.application.received)
    response = http2(gateway.envoy.port(), "/public", host=HOST, method=method)
    assert response.status == 400
    assert len(gateway.application.received) == before


def test_head_is_governed_by_the_rules_of_get_and_needs_its_own_htm(gateway: Gateway) -> None:
    """A proof made for GET is none for HEAD."""
    port = gateway.envoy.port()
    for htm, expected in {"HEAD": 200, "GET": 401}.items():
        credentials = gateway.credentials(htm, "/accounts")
        assert http1(port, "/accounts", host=HOST, method="HEAD", headers=credentials).status == expected


def call(gateway: Gateway, *, authorized: bool) -> grpc.Call:
    """One gRPC call through Envoy, with credentials or without."""
    path = f"/{SERVICE}/Echo"
    metadata = [(name.lower(), value) for name, value in gateway.credentials("POST", path)] if authorized else []
    options = (("grpc.default_authority", HOST),)
    with grpc.insecure_channel(f"127.0.0.1:{gateway.envoy.port()}", options) as channel:
        try:
            _, done = channel.unary_unary(path).with_call(b"hello", metadata=metadata, timeout=15)
        except grpc.RpcError as error:
            return error
        return done


def test_a_grpc_client_with_good_credentials_reaches_its_application(gateway: Gateway) -> None:
    """With the identity headers as metadata."""
    assert call(gateway, authorized=True).code() is grpc.StatusCode.OK
    assert gateway.grpc.metadata[-1]["x-auth-sub"] == "alice"


def test_a_grpc_client_without_credentials_is_unauthenticated(gateway: Gateway) -> None:
    """The challenge arrives as metadata."""
    before = len(gateway.grpc.metadata)
    refused = call(gateway, authorized=False)
    assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
    told = {**dict(refused.initial_metadata() or ()), **dict(refused.trailing_metadata() or ())}
    assert str(told["www-authenticate"]).startswith("DPoP ")
    assert len(gateway.grpc.metadata) == before


def test_a_stream_is_checked_once_when_it_opens(gateway: Gateway) -> None:
    """Later messages on it ask nobody."""
    path = f"/{SERVICE}/EchoStream"
    metadata = [(name.lower(), value) for name, value in gateway.credentials("POST", path)]
    before = gateway.service.decisions()
    options = (("grpc.default_authority", HOST),)
    with grpc.insecure_channel(f"127.0.0.1:{gateway.envoy.port()}", options) as channel:
        messages = (str(number).encode() for number in range(100))
        answers = channel.stream_stream(path)(messages, metadata=metadata, timeout=15)
        assert len(list(answers)) == 100
    wait_until(lambda: gateway.service.decisions() > before, "the decision is counted")
    assert gateway.service.decisions() == before + 1
