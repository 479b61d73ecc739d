"""Introspection at real HTTP servers: coalesced, bounded, remembered for a while, one issuer's trouble its own."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from stepguard_service.core.model import Issuer
from stepguard_service.core.slow import Introspected, NeedIntrospection, Unavailable

from tests.support.authorization_server import CLIENT, INTROSPECTION_PATH, AuthorizationServer, json_reply
from tests.support.http_server import Reply
from tests.support.slow import WALL, Slow, introspection, issuer
from tests.support.tokens import Signer

TOKEN = "opaque"


@pytest.fixture
def server() -> Iterator[AuthorizationServer]:
    """An authorization server that knows one token."""
    with AuthorizationServer(Signer()) as running:
        running.active[TOKEN] = {"sub": "alice"}
        yield running


def asking(server: AuthorizationServer, name: str = "main", version: str = "1", **settings: object) -> Issuer:
    ttl, client = settings.get("cache_ttl", 30), settings.get("client_id", CLIENT[0])
    assert isinstance(ttl, int)
    assert isinstance(client, str)
    return issuer(
        server, name=name, version=version, introspection=introspection(server, cache_ttl=ttl, client_id=client)
    )


def members(outcome: object) -> Mapping[str, object]:
    assert isinstance(outcome, Introspected)
    return outcome.members


def test_a_token_is_looked_up_as_the_client_that_the_issuer_names(slow: Slow, server: AuthorizationServer) -> None:
    slow.enforce(asking(server))
    assert members(slow.ask(asking(server), TOKEN)) == {"active": True, "sub": "alice"}
    assert members(slow.ask(asking(server), "other")) == {"active": False}
    request = next(request for request in server.http.received if request.path == INTROSPECTION_PATH)
    assert b"token_type_hint=access_token" in request.body
    assert TOKEN not in request.target


def test_concurrent_lookups_of_one_token_are_one(slow: Slow, server: AuthorizationServer) -> None:
    server.faults[INTROSPECTION_PATH] = json_reply({"active": True}, delay=0.2)
    slow.enforce(asking(server))
    waiting = [slow.start(NeedIntrospection(asking(server), TOKEN)) for _ in range(100)]
    assert all(members(one.result(5)) == {"active": True} for one in waiting)
    assert server.count(INTROSPECTION_PATH) == 1


def test_an_answer_is_remembered_and_known_without_waiting(slow: Slow, server: AuthorizationServer) -> None:
    slow.enforce(asking(server))
    slow.ask(asking(server), TOKEN)
    again = slow.start(NeedIntrospection(asking(server), TOKEN))
    assert again.done()
    assert members(again.result()) == {"active": True, "sub": "alice"}
    assert server.count(INTROSPECTION_PATH) == 1
    assert (slow.work.answers.hits, slow.work.answers.misses) == (1, 1)


def test_an_inactive_token_is_remembered_too(slow: Slow, server: AuthorizationServer) -> None:
    slow.enforce(asking(server, cache_ttl=0))
    for _ in range(20):
        assert members(slow.ask(asking(server), "stolen"))["active"] is False
    assert server.count(INTROSPECTION_PATH) == 1


@pytest.mark.parametrize(
    ("ttl", "answer"),
    [
        pytest.param(0, {}, id="cacheTTL 0"),
        pytest.param(30, {"exp": 1}, id="a token that has expired"),
        pytest.param(30, {"aud": "other"}, id="a token made for another API"),
        pytest.param(30, {"iss": "https://other.example"}, id="a token of another issuer"),
    ],
)
def test_what_would_be_refused_anyway_or_may_not_be_kept_is_asked_again(
    slow: Slow, server: AuthorizationServer, ttl: int, answer: Mapping[str, object]
) -> None:
    server.active[TOKEN] = answer
    forgetful = asking(server, cache_ttl=ttl)
    slow.enforce(forgetful)
    slow.ask(forgetful, TOKEN)
    slow.ask(forgetful, TOKEN)
    assert server.count(INTROSPECTION_PATH) == 2


def test_an_answer_is_not_remembered_beyond_the_tokens_exp(slow: Slow, server: AuthorizationServer) -> None:
    server.active[TOKEN] = {"exp": WALL + 1}
    slow.enforce(asking(server))
    slow.ask(asking(server), TOKEN)

    def asked_again() -> bool:
        slow.ask(asking(server), TOKEN)
        return server.count(INTROSPECTION_PATH) == 2

    slow.wait_for(asked_again, "a second lookup")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(500), id="an error"),
        pytest.param(Reply(302, b"", {"location": "/elsewhere"}), id="a redirect, which would carry the token away"),
        pytest.param(Reply(200, b"<html>"), id="garbage"),
        pytest.param(Reply(200, b'{"active": true, "active": false}'), id="a member twice"),
        pytest.param(Reply(200, b'{"active": true}' + b" " * 70_000), id="more than 64 KiB"),
        pytest.param(Reply(200, b'{"a": ' * 100 + b"1" + b"}" * 100), id="nesting beyond 32 levels"),
    ],
)
def test_an_endpoint_that_answers_nonsense_is_unavailable(
    slow: Slow, server: AuthorizationServer, reply: Reply
) -> None:
    server.faults[INTROSPECTION_PATH] = reply
    slow.enforce(asking(server))
    assert isinstance(slow.ask(asking(server), TOKEN), Unavailable)
    assert {request.path for request in server.http.received} <= {INTROSPECTION_PATH, "/jwks"}


def test_a_fault_is_not_remembered(slow: Slow, server: AuthorizationServer) -> None:
    server.faults[INTROSPECTION_PATH] = Reply(500)
    slow.enforce(asking(server))
    slow.ask(asking(server), TOKEN)
    del server.faults[INTROSPECTION_PATH]
    assert members(slow.ask(asking(server), TOKEN))["active"] is True


def test_refused_client_credentials_are_our_fault_and_not_the_tokens(slow: Slow, server: AuthorizationServer) -> None:
    refused = asking(server, client_id="someone-else")
    slow.enforce(refused)
    outcome = slow.ask(refused, TOKEN)
    assert isinstance(outcome, Unavailable)
    assert "our client id or secret" in outcome.detail


def test_a_rotated_secret_counts_from_the_next_lookup_on(
    slow: Slow, server: AuthorizationServer, secrets: Path
) -> None:
    file = secrets / "as-client" / "secret"
    file.write_text("outdated")
    slow.enforce(asking(server))
    assert isinstance(slow.ask(asking(server), TOKEN), Unavailable)
    file.write_text(CLIENT[1])
    assert members(slow.ask(asking(server), TOKEN))["active"] is True


def test_a_missing_secret_says_which_file(slow: Slow, server: AuthorizationServer, secrets: Path) -> None:
    (secrets / "as-client" / "secret").unlink()
    slow.enforce(asking(server))
    outcome = slow.ask(asking(server), TOKEN)
    assert isinstance(outcome, Unavailable)
    assert str(secrets / "as-client" / "secret") in outcome.detail
    assert server.count(INTROSPECTION_PATH) == 0


def test_a_flood_of_random_tokens_is_bounded_and_leaves_other_issuers_alone(
    slow: Slow, server: AuthorizationServer
) -> None:
    """At most 32 are asked about at once, at most 1 000 requests wait, and all are answered at their deadline."""
    with AuthorizationServer(Signer()) as hanging:
        hanging.faults[INTROSPECTION_PATH] = json_reply({"active": False}, delay=30)
        stuck, good = asking(hanging, name="stuck"), asking(server)
        slow.enforce(stuck, good)
        flood = [slow.start(NeedIntrospection(stuck, f"random-{number}")) for number in range(1500)]
        assert sum(one.done() for one in flood) == 500
        assert members(slow.ask(good, TOKEN))["active"] is True
        assert all(isinstance(one.result(5), Unavailable) for one in flood)
        assert hanging.count(INTROSPECTION_PATH) == 32


def test_a_token_whose_requests_are_gone_is_not_asked_about(slow: Slow, server: AuthorizationServer) -> None:
    server.faults[INTROSPECTION_PATH] = json_reply({"active": False}, delay=0.5)
    slow.enforce(asking(server))
    busy = [slow.start(NeedIntrospection(asking(server), f"busy-{number}"), 5) for number in range(32)]
    gone = [slow.start(NeedIntrospection(asking(server), f"gone-{number}"), 0.1) for number in range(100)]
    last = slow.start(NeedIntrospection(asking(server), "last"), 5)
    assert all(isinstance(one.result(5), Unavailable) for one in gone)
    assert all(isinstance(one.result(5), Introspected) for one in (*busy, last))
    assert server.count(INTROSPECTION_PATH) == 33


def test_more_tokens_than_are_asked_about_at_once_all_get_their_answer(slow: Slow, server: AuthorizationServer) -> None:
    server.active.update({f"token-{number}": {"sub": str(number)} for number in range(300)})
    slow.enforce(asking(server))
    waiting = [slow.start(NeedIntrospection(asking(server), f"token-{number}"), 10) for number in range(300)]
    assert [members(one.result(10))["sub"] for one in waiting] == [str(number) for number in range(300)]


def test_what_a_removed_issuer_said_is_forgotten_at_once(slow: Slow, server: AuthorizationServer) -> None:
    slow.enforce(asking(server))
    slow.ask(asking(server), TOKEN)
    slow.enforce()
    assert isinstance(slow.ask(asking(server), TOKEN), Unavailable)
    slow.enforce(asking(server))
    slow.ask(asking(server), TOKEN)
    assert server.count(INTROSPECTION_PATH) == 2


def test_who_waits_for_a_removed_issuer_is_told_at_once_and_its_answer_is_not_kept(
    slow: Slow, server: AuthorizationServer
) -> None:
    server.faults[INTROSPECTION_PATH] = json_reply({"active": True}, delay=1)
    slow.enforce(asking(server))
    waiting = slow.start(NeedIntrospection(asking(server), TOKEN), 15)
    slow.wait_for(lambda: server.count(INTROSPECTION_PATH), "the lookup")
    slow.enforce()
    assert isinstance(waiting.result(0.9), Unavailable)


def test_issuers_never_share_what_they_said(slow: Slow, server: AuthorizationServer) -> None:
    """Two TokenIssuers of one server, or two versions of one TokenIssuer, each ask for themselves."""
    versions = [asking(server), asking(server, name="other"), asking(server, version="2")]
    slow.work.admit(versions, time.monotonic())
    for one in versions:
        slow.ask(one, TOKEN)
    assert server.count(INTROSPECTION_PATH) == 3


def test_closing_ends_lookups_that_are_under_way(server: AuthorizationServer, secrets: Path) -> None:
    server.faults[INTROSPECTION_PATH] = json_reply({"active": True}, delay=30)
    with Slow(secrets) as slow:
        slow.enforce(asking(server))
        waiting = slow.start(NeedIntrospection(asking(server), TOKEN), 15)
        slow.wait_for(lambda: server.count(INTROSPECTION_PATH), "the lookup")
    assert isinstance(waiting.result(5), Unavailable)


def test_a_decision_finds_a_remembered_answer_without_asking_for_slow_work(
    slow: Slow, server: AuthorizationServer
) -> None:
    need = NeedIntrospection(asking(server), TOKEN)
    slow.enforce(need.issuer)
    assert slow.work.remembered(need) is None
    slow.wait(need)
    assert members(slow.work.remembered(need)) == {"active": True, "sub": "alice"}
    slow.enforce()
    assert slow.work.remembered(need) is None
