"""Keys from real HTTP servers: good ones, and ones that are down, slow, rotating, lying, redirecting or endless."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepguard_service.core.model import Discovery, JwksUri
from stepguard_service.core.slow import KeysLooked, NeedKeys, Unavailable

from tests.support.authorization_server import (
    JWKS_PATH,
    OAUTH_METADATA,
    OPENID_METADATA,
    AuthorizationServer,
    json_reply,
)
from tests.support.certificates import Authority
from tests.support.http_server import Reply
from tests.support.slow import Slow, issuer
from tests.support.tokens import Signer, jwk_set

A, B = Signer(kid="a"), Signer(kid="b")


@pytest.fixture
def server() -> Iterator[AuthorizationServer]:
    """An authorization server that signs with key `a`."""
    with AuthorizationServer(A) as running:
        yield running


# --- good servers -----------------------------------------------------------------------------------------------------


def test_keys_are_fetched_as_soon_as_an_issuer_is_in_force_without_any_request(
    slow: Slow, server: AuthorizationServer
) -> None:
    slow.enforce(issuer(server))
    slow.wait_for(lambda: slow.kids(issuer(server)) == {"a"}, "the keys")
    assert slow.counts == [("main", "success")]


def test_requests_that_come_first_wait_for_the_keys_and_cause_no_second_fetch(
    slow: Slow, server: AuthorizationServer
) -> None:
    server.faults[JWKS_PATH] = Reply(200, jwk_set(A).encode(), delay=0.2)
    slow.enforce(issuer(server))
    waiting = [slow.start(NeedKeys(issuer(server), None)) for _ in range(50)]
    assert {type(one.result(5)) for one in waiting} == {KeysLooked}
    assert slow.kids(issuer(server)) == {"a"}
    assert server.count(JWKS_PATH) == 1


@pytest.mark.parametrize(
    ("issuer_path", "hidden"),
    [
        pytest.param("", OPENID_METADATA, id="RFC 8414 metadata of an issuer without path"),
        pytest.param("", OAUTH_METADATA, id="OpenID metadata of an issuer without path"),
        pytest.param("/realms/x", "/realms/x" + OPENID_METADATA, id="RFC 8414 metadata inserted before the path"),
        pytest.param("/realms/x", OAUTH_METADATA + "/realms/x", id="OpenID metadata appended to the path"),
    ],
)
def test_keys_are_discovered(slow: Slow, issuer_path: str, hidden: str) -> None:
    with AuthorizationServer(A, issuer_path=issuer_path) as server:
        server.faults[hidden] = Reply(404)
        discovered = issuer(server, Discovery(600))
        slow.first_keys(discovered)
        assert slow.kids(discovered) == {"a"}


def test_a_single_bad_key_is_skipped_and_reported(slow: Slow, server: AuthorizationServer) -> None:
    broken = {**A.jwk(), "x": "AAAA", "kid": "broken"}
    server.faults[JWKS_PATH] = Reply(200, jwk_set(A, broken, {**B.jwk(), "use": "enc"}).encode())
    slow.first_keys(issuer(server))
    state = slow.state(issuer(server))
    assert state.key_ids == ("a",)
    assert len(state.problems) == 2


@pytest.mark.parametrize("keys", [None, Discovery(600)], ids=["by URL", "by discovery"])
def test_keys_are_fetched_over_tls_with_the_issuers_own_ca(slow: Slow, tmp_path: Path, keys: Discovery | None) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with AuthorizationServer(A, tls=context) as server:
        trusted = issuer(server, keys, ca_bundle=authority.ca.read_text())
        slow.first_keys(trusted)
        assert slow.kids(trusted) == {"a"}
        assert slow.first_keys(issuer(server, keys, name="without")) is None


# --- bad servers ------------------------------------------------------------------------------------------------------

CHUNKED = b"f4240\r\n" + b" " * 1_000_000 + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        pytest.param(Reply(500), "status 500", id="an error"),
        pytest.param(
            Reply(302, b"", {"location": JWKS_PATH + "?x"}), "status 302", id="a redirect, which is not followed"
        ),
        pytest.param(Reply(200, b"<html>"), "not acceptable JSON", id="garbage"),
        pytest.param(Reply(200, b'{"keys": 1}'), "no array of keys", id="JSON that is no JWK Set"),
        pytest.param(Reply(200, b'{"keys": [], "keys": []}'), "not acceptable JSON", id="a member twice"),
        pytest.param(Reply(200, b"[" * 100_000), "not acceptable JSON", id="nesting without end"),
        pytest.param(Reply(200, b" " * 10_000_000), "longer than 262144 bytes", id="10 MB"),
        pytest.param(
            Reply(200, CHUNKED, {"transfer-encoding": "chunked"}), "longer than", id="1 MB of no stated length"
        ),
        pytest.param(Reply(200, b"\x1f\x8b", {"content-encoding": "gzip"}), "compressed", id="compression unasked for"),
    ],
)
def test_a_server_that_answers_nonsense_gives_no_keys_and_says_why(
    slow: Slow, server: AuthorizationServer, reply: Reply, said: str
) -> None:
    server.faults[JWKS_PATH] = reply
    assert slow.first_keys(issuer(server)) is None
    outcome = slow.wait(NeedKeys(issuer(server), None))
    assert isinstance(outcome, Unavailable)
    assert said in outcome.detail
    assert said in slow.state(issuer(server)).error
    assert ("main", "failure") in slow.counts


def test_10_megabytes_are_not_read_to_their_end(slow: Slow, server: AuthorizationServer) -> None:
    """The limit counts while reading: a body that would take a minute is refused long before."""
    server.faults[JWKS_PATH] = Reply(200, b" " * 10_000_000)
    begun = time.monotonic()
    assert slow.first_keys(issuer(server)) is None
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("path", [OAUTH_METADATA, OPENID_METADATA])
def test_metadata_of_another_issuer_is_not_used(slow: Slow, server: AuthorizationServer, path: str) -> None:
    for metadata in (OAUTH_METADATA, OPENID_METADATA):
        server.faults[metadata] = Reply(404)
    server.faults[path] = json_reply({"issuer": "https://other.example", "jwks_uri": server.jwks_uri})
    discovered = issuer(server, Discovery(600))
    assert slow.first_keys(discovered) is None
    assert server.count(JWKS_PATH) == 0
    assert "another issuer's" in slow.state(discovered).error


def test_lying_rfc_8414_metadata_does_not_hide_honest_openid_metadata(slow: Slow, server: AuthorizationServer) -> None:
    server.faults[OAUTH_METADATA] = json_reply({"issuer": "https://other.example", "jwks_uri": server.jwks_uri})
    discovered = issuer(server, Discovery(600))
    slow.first_keys(discovered)
    assert slow.kids(discovered) == {"a"}


def test_a_server_that_is_down_costs_nobody_a_wait_once_that_is_known(slow: Slow, server: AuthorizationServer) -> None:
    server.stop()
    assert slow.first_keys(issuer(server)) is None
    begun = time.monotonic()
    outcomes = [slow.wait(NeedKeys(issuer(server), None)) for _ in range(200)]
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert time.monotonic() - begun < 5


def test_a_server_that_comes_back_is_asked_soon_and_without_a_request(slow: Slow, server: AuthorizationServer) -> None:
    server.stop()
    assert slow.first_keys(issuer(server)) is None
    server.start()
    slow.wait_for(lambda: slow.kids(issuer(server)) == {"a"}, "the keys of the server that is back")


def test_a_slow_server_keeps_a_request_no_longer_than_its_deadline(slow: Slow, server: AuthorizationServer) -> None:
    server.faults[JWKS_PATH] = Reply(200, jwk_set(A).encode(), delay=30)
    slow.enforce(issuer(server))
    begun = time.monotonic()
    assert isinstance(slow.wait(NeedKeys(issuer(server), None), seconds=0.2), Unavailable)
    assert 0.2 <= time.monotonic() - begun < 2


def test_known_keys_outlive_their_server(slow: Slow, server: AuthorizationServer) -> None:
    slow.first_keys(issuer(server))
    server.stop()
    assert isinstance(slow.wait(NeedKeys(issuer(server), "unknown")), Unavailable)
    assert slow.kids(issuer(server)) == {"a"}
    assert "annot connect" in slow.state(issuer(server)).error


def test_a_bad_issuer_never_delays_another(slow: Slow, server: AuthorizationServer) -> None:
    """One hangs, one drips, one is down: the good one's keys are there as fast as if it were alone."""
    with AuthorizationServer(A) as hanging, AuthorizationServer(A) as down:
        hanging.faults[JWKS_PATH] = Reply(200, b"{}", delay=30)
        down.stop()
        bad = [issuer(hanging, name="hanging"), issuer(down, name="down")]
        bad.append(issuer(server, JwksUri("https://127.0.0.1:9/jwks", 600), name="refusing"))
        slow.enforce(*bad, issuer(server))
        stuck = [slow.start(NeedKeys(one, None)) for one in bad for _ in range(300)]
        begun = time.monotonic()
        assert isinstance(slow.wait(NeedKeys(issuer(server), None)), KeysLooked)
        assert time.monotonic() - begun < 0.9
        assert slow.kids(issuer(server)) == {"a"}
        for one in stuck:
            assert isinstance(one.result(5), Unavailable)


def test_at_most_1000_requests_wait_for_one_issuer_and_others_still_can(
    slow: Slow, server: AuthorizationServer
) -> None:
    server.faults[JWKS_PATH] = Reply(200, b"{}", delay=30)
    other = issuer(server, JwksUri(server.jwks_uri + "?other", 600), name="other")
    slow.enforce(issuer(server), other)
    waiting = [slow.start(NeedKeys(issuer(server), None), seconds=3) for _ in range(1000)]
    refused = slow.start(NeedKeys(issuer(server), None), seconds=3)
    assert refused.done()
    assert isinstance(refused.result(), Unavailable)
    assert not slow.start(NeedKeys(other, None), seconds=3).done()
    for one in waiting:
        one.cancel()
    assert not slow.start(NeedKeys(issuer(server), None), seconds=3).done()


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_an_unknown_kid_fetches_once_for_all_who_wait(slow: Slow, server: AuthorizationServer) -> None:
    slow.first_keys(issuer(server))
    server.signers = [B]
    waiting = [slow.start(NeedKeys(issuer(server), "b")) for _ in range(100)]
    assert {type(one.result(5)) for one in waiting} == {KeysLooked}
    assert slow.kids(issuer(server)) == {"b"}
    assert server.count(JWKS_PATH) == 2


def test_a_storm_of_unknown_kids_fetches_once_in_30_seconds(slow: Slow, server: AuthorizationServer) -> None:
    slow.first_keys(issuer(server))
    for number in range(300):
        assert not slow.knows(issuer(server), f"random-{number}")
    assert server.count(JWKS_PATH) == 2


def test_a_rotation_loses_no_request(slow: Slow, server: AuthorizationServer) -> None:
    """While eight threads use the current key without pause, the server changes it unannounced."""
    slow.first_keys(issuer(server))
    current = "a"
    lost: list[str] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            kid = current
            if not slow.knows(issuer(server), kid):
                lost.append(kid)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    server.signers = [A, B]
    current = "b"
    slow.wait_for(lambda: slow.kids(issuer(server)) == {"a", "b"}, "the new key")
    stop.set()
    for thread in threads:
        thread.join()
    assert lost == []
    assert server.count(JWKS_PATH) == 2


def test_cache_control_brings_the_next_refresh_forward(slow: Slow, server: AuthorizationServer) -> None:
    server.jwks_headers["cache-control"] = "public, max-age=90"
    slow.first_keys(issuer(server, JwksUri(server.jwks_uri, 86400)))
    (held,) = slow.keys.sources()
    assert 80 < held.due - time.monotonic() <= 90


def test_a_revoked_key_is_gone_at_the_next_refresh(slow: Slow, server: AuthorizationServer) -> None:
    server.signers = [A, B]
    slow.first_keys(issuer(server))
    server.signers = [B]
    (held,) = slow.keys.sources()
    assert not slow.knows(issuer(server), "unknown")
    assert slow.kids(issuer(server)) == {"b"}
    assert held.keys is slow.keys.lookup(issuer(server))


def test_issuers_of_one_url_share_its_fetch(slow: Slow, server: AuthorizationServer) -> None:
    one, other = issuer(server, name="one"), issuer(server, name="other")
    slow.enforce(one, other)
    slow.wait_for(lambda: slow.kids(one) == slow.kids(other) == {"a"}, "the keys of both")
    assert server.count(JWKS_PATH) == 1
    assert sorted(slow.counts) == [("one", "success"), ("other", "success")]


# --- issuers that go --------------------------------------------------------------------------------------------------


def test_a_removed_issuer_is_unknown_at_once_and_not_fetched_any_more(slow: Slow, server: AuthorizationServer) -> None:
    slow.first_keys(issuer(server))
    slow.enforce()
    assert slow.keys.lookup(issuer(server)) is None
    assert isinstance(slow.wait(NeedKeys(issuer(server), "b")), Unavailable)
    assert isinstance(slow.wait(NeedKeys(issuer(server), None)), Unavailable)
    assert server.count(JWKS_PATH) == 1


def test_requests_that_wait_for_a_removed_issuer_are_told_at_once(slow: Slow, server: AuthorizationServer) -> None:
    server.faults[JWKS_PATH] = Reply(200, jwk_set(A).encode(), delay=30)
    slow.enforce(issuer(server))
    waiting = slow.start(NeedKeys(issuer(server), None), seconds=15)
    slow.enforce()
    assert isinstance(waiting.result(5), Unavailable)


def test_closing_tells_everybody_who_waits(server: AuthorizationServer) -> None:
    server.faults[JWKS_PATH] = Reply(200, jwk_set(A).encode(), delay=30)
    with Slow() as slow:
        slow.enforce(issuer(server))
        waiting = slow.start(NeedKeys(issuer(server), None), seconds=15)
    assert isinstance(waiting.result(5), Unavailable)
    assert isinstance(slow.wait(NeedKeys(issuer(server), None)), Unavailable)


def test_what_is_not_in_the_json_is_not_in_the_key_set(slow: Slow, server: AuthorizationServer) -> None:
    """An empty JWK Set is the server's word that no key counts any more."""
    slow.first_keys(issuer(server))
    server.faults[JWKS_PATH] = Reply(200, json.dumps({"keys": []}).encode())
    assert isinstance(slow.wait(NeedKeys(issuer(server), "b")), KeysLooked)
    keys = slow.keys.lookup(issuer(server))
    assert keys is not None
    assert keys.keys == ()
