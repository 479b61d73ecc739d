"""What Stepguard makes of a client's headers, and what the client and the application see of its own."""

import json
from collections.abc import Sequence

import pytest

from tests.support.clock import clock_now
from tests.support.gateway import HOST, PASSKEY, Gateway, seen
from tests.support.http_clients import http1, http2
from tests.support.tokens import ClientKey, Signer

BOTH_FORMS = pytest.mark.parametrize(
    "listener",
    ["raw", "joined"],
    ids=["when Envoy sends header lines one by one", "when Envoy joins header lines with a comma"],
)


@BOTH_FORMS
def test_two_dpop_headers_are_refused(gateway: Gateway, listener: str) -> None:
    """Each of the two would do alone."""
    authorization, proof = gateway.credentials("GET", "/accounts")
    _, other = gateway.credentials("GET", "/accounts", token=authorization[1].removeprefix("DPoP "))
    response = gateway.get("/accounts", authorization, proof, other, listener=listener)
    assert response.status == 401
    assert 'error="invalid_dpop_proof"' in response.values("www-authenticate")[0]


@BOTH_FORMS
@pytest.mark.parametrize("schemes", [("DPoP", "Bearer"), ("Bearer", "DPoP"), ("DPoP", "DPoP")])
def test_two_authorization_headers_are_refused(gateway: Gateway, listener: str, schemes: Sequence[str]) -> None:
    """Whichever comes first."""
    (_, value), proof = gateway.credentials("GET", "/accounts")
    token = value.removeprefix("DPoP ")
    lines = [("Authorization", f"{scheme} {token}") for scheme in schemes]
    response = gateway.get("/accounts", *lines, proof, listener=listener)
    assert response.status == 400
    assert json.loads(response.body)["error"] == "invalid_request"


@BOTH_FORMS
def test_a_repeated_header_that_is_none_of_ours_does_no_harm(gateway: Gateway, listener: str) -> None:
    """The application gets both lines."""
    others = [("X-Custom", "1"), ("X-Custom", "2")]
    response = gateway.get("/accounts", *gateway.credentials("GET", "/accounts"), *others, listener=listener)
    assert response.status == 200
    assert [value for name, value in seen(response) if name == "x-custom"] in (["1", "2"], ["1,2"])


SPOOFED = (
    ("x-auth-sub", "mallory"),
    ("X-Auth-Sub", "mallory"),
    ("X_AUTH_SUB", "mallory"),
    ("x_auth-sub", "mallory"),
    ("x-auth_sub", "mallory"),
    ("X-Auth-Acr", "mallory"),
    ("x_auth_acr", "mallory"),
)


@BOTH_FORMS
@pytest.mark.parametrize("path", ["/accounts", "/public"])
def test_identity_headers_of_the_client_never_reach_the_application(gateway: Gateway, listener: str, path: str) -> None:
    """In no spelling that an application could take for ours, on public paths too."""
    response = gateway.get(path, *gateway.credentials("GET", path), *SPOOFED, listener=listener)
    assert response.status == 200
    assert "mallory" not in response.body.decode()
    expected = [("x-auth-sub", "alice")] if path == "/accounts" else []
    assert [(name, value) for name, value in seen(response) if "auth" in name] == expected


def test_identity_headers_of_the_client_never_reach_the_application_over_http_2(gateway: Gateway) -> None:
    """Envoy passes names with `_` on over HTTP/2 too."""
    headers = [(name.lower(), value) for name, value in (*gateway.credentials("GET", "/accounts"), *SPOOFED)]
    response = http2(gateway.envoy.port(), "/accounts", host=HOST, headers=headers)
    assert response.status == 200
    assert [(name, value) for name, value in seen(response) if "auth" in name] == [("x-auth-sub", "alice")]


def test_a_step_up_challenge_reaches_the_client_whole(gateway: Gateway) -> None:
    """One challenge with everything the rule demands, a JSON body, and no caching."""
    credentials = gateway.credentials("POST", "/transfers")
    response = http1(gateway.envoy.port(), "/transfers", host=HOST, method="POST", headers=credentials)
    assert response.status == 401
    challenge = response.value("www-authenticate")
    assert challenge.startswith('DPoP realm="bank/payments", error="insufficient_user_authentication"')
    for part in (f'acr_values="{PASSKEY}"', 'max_age="300"', 'scope="payments"', 'algs="ES256 '):
        assert part in challenge
    assert response.value("cache-control") == "no-store"
    assert response.value("content-type") == "application/json"
    assert json.loads(response.body)["error"] == "insufficient_user_authentication"


def test_a_lacking_scope_alone_is_a_403_with_the_scope(gateway: Gateway) -> None:
    """RFC 6750 §3.1."""
    token = gateway.token(acr=PASSKEY, scope="reading")
    credentials = gateway.credentials("POST", "/transfers", token=token)
    response = http1(gateway.envoy.port(), "/transfers", host=HOST, method="POST", headers=credentials)
    assert response.status == 403
    assert 'error="insufficient_scope"' in response.value("www-authenticate")
    assert 'scope="payments"' in response.value("www-authenticate")


def test_a_request_that_meets_everything_passes(gateway: Gateway) -> None:
    """With the claims that the policy names as headers."""
    token = gateway.token(acr=PASSKEY, scope="reading payments")
    credentials = gateway.credentials("POST", "/transfers", token=token)
    response = http1(gateway.envoy.port(), "/transfers", host=HOST, method="POST", headers=credentials, body=b"{}")
    assert response.status == 200
    assert ("x-auth-acr", PASSKEY) in seen(response)


def test_a_claim_that_would_break_a_header_is_left_out(gateway: Gateway) -> None:
    """A line break in `sub` gives neither a header nor a second one."""
    token = gateway.token(sub="alice\r\nx-evil: 1")
    response = gateway.get("/accounts", *gateway.credentials("GET", "/accounts", token=token))
    assert response.status == 200
    assert not {"x-auth-sub", "x-evil"} & {name for name, _ in seen(response)}


def test_nothing_a_client_sent_comes_back_in_a_refusal(gateway: Gateway) -> None:
    """Neither in headers nor in the body."""
    stranger = Signer(issuer="https://mark-4711.example")
    headers = [("Authorization", f"Bearer {stranger.access_token(0)}"), ("X-Mark", "mark-4711"), ("DPoP", "mark-4711")]
    response = gateway.get("/accounts/mark-4711?mark-4711", *headers)
    assert response.status == 401
    assert "mark-4711" not in str(response)


def test_a_stolen_token_is_worth_nothing_with_another_key(gateway: Gateway) -> None:
    """A valid proof by the thief's key, over the stolen token."""
    authorization, _ = gateway.credentials("GET", "/accounts")
    token = authorization[1].removeprefix("DPoP ")
    thief = ClientKey()
    proof = thief.proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=token)
    response = gateway.get("/accounts", authorization, ("DPoP", proof))
    assert response.status == 401
    assert 'error="invalid_token"' in response.values("www-authenticate")[0]


@BOTH_FORMS
def test_64_kib_of_headers_get_an_answer(gateway: Gateway, listener: str) -> None:
    """Envoy's limit is 60 KiB: what it passes on is judged, what it refuses never reaches the application."""
    before = len(gateway.application.received)
    for size, allowed in {40 * 1024: {401}, 64 * 1024: {400, 431}}.items():
        filler = [(f"x-filler-{number}", "a" * 4096) for number in range(size // 4096)]
        assert gateway.get("/accounts", *filler, listener=listener).status in allowed
    assert len(gateway.application.received) == before


@BOTH_FORMS
def test_bytes_that_are_no_utf_8_are_refused_with_a_proper_answer(gateway: Gateway, listener: str) -> None:
    """In a credential they can be no token."""
    for name in ("Authorization", "DPoP"):
        authorization, proof = gateway.credentials("GET", "/accounts")
        good = {"Authorization": authorization[1], "DPoP": proof[1]}
        good[name] += "\xff\xfe"
        assert gateway.get("/accounts", *good.items(), listener=listener).status in {400, 401}
