"""What every transport promises about connections and callers that come and go."""

import contextlib
import struct
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NoReturn

import grpc
import pytest
from stepguard_service.authorize import Step, WaitStep
from stepguard_service.core.model import InlineKeys, Request
from stepguard_service.core.slow import KeysLooked, NeedKeys
from stepguard_service.limits import CONCURRENT_STREAMS
from stepguard_service.transport.server import OPTIONS

from tests.bench.load import Connection
from tests.support.checks import Caller, check_request, read_response
from tests.support.policies import issuer
from tests.support.processes import wait_until
from tests.support.served import ALLOWED, DENIED, Served, Slow, served

KINDS = ("aio", "fast")
MANY = 200
SLOW = check_request(path="/slow")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each transport."""
    kind: str = request.param
    return kind


def decide(request: Request) -> Step:
    """Requests for /slow wait, all others are refused."""
    need = NeedKeys(issuer(keys=InlineKeys("{}")), None)
    return WaitStep(need, lambda _, __: ALLOWED) if request.target == "/slow" else DENIED


@pytest.fixture
def server(kind: str) -> Iterator[Served]:
    """Slow work is never done unless the test does it."""
    with served(kind, decide, slow=Slow(at_once=None)) as started:
        yield started


def finish(slow: Slow) -> None:
    """Do all the slow work that has been asked for so far."""
    for _, _, future in list(slow.asked):
        if not future.done() and future.set_running_or_notify_cancel():
            future.set_result(KeysLooked())


def asked(server: Served, number: int) -> bool:
    """Whether so many calls wait or have waited."""
    return len(server.slow.asked) == number


def answers(server: Served) -> bool:
    """Whether the next request is answered as it should be."""
    return server.caller.check(check_request()).status == 403


def receive_for_ever(connection: Connection) -> NoReturn:
    """Until the peer says that it is over."""
    while True:
        connection.receive()


def test_calls_that_are_cancelled_while_they_wait_disturb_nobody(server: Served) -> None:
    """What they waited for may still come."""
    pending = [server.caller.submit(SLOW) for _ in range(MANY)]
    wait_until(lambda: len(server.slow.asked) == MANY, "all of them wait")
    for call in pending:
        call.cancel()
    assert answers(server)
    finish(server.slow)
    assert answers(server)
    begun = time.monotonic()
    server.stop(5.0)
    assert time.monotonic() - begun < 4, "nothing is under way any more"


def test_a_caller_that_keeps_to_the_limit_loses_no_call_after_a_stall(server: Served) -> None:
    """As many calls as the connection allows wait; they all end in one go, and others take their places at once."""
    pending = [server.caller.submit(SLOW, timeout=30) for _ in range(3 * CONCURRENT_STREAMS)]
    for arrived in range(CONCURRENT_STREAMS, len(pending) + 1, CONCURRENT_STREAMS):
        wait_until(partial(asked, server, arrived), "all that the connection allows wait")
        finish(server.slow)
    assert Counter(call.code() for call in pending) == {grpc.StatusCode.OK: len(pending)}


def test_two_callers_that_keep_to_the_limit_lose_no_call_when_the_loop_stalls(kind: str) -> None:
    """What has gathered in front of the loop is no reason to refuse what comes next."""

    def stall_once(_: Request) -> Step:
        if not stalled:
            stalled.append(True)
            time.sleep(1.0)
        return DENIED

    stalled = list[bool]()
    with served(kind, stall_once) as server, contextlib.closing(Caller(server.port)) as other:
        pending = [
            caller.submit(check_request(), timeout=30)
            for _ in range(CONCURRENT_STREAMS)
            for caller in (server.caller, other)
        ]
        assert Counter(call.code() for call in pending) == {grpc.StatusCode.OK: len(pending)}


def test_a_connection_that_is_lost_disturbs_nobody(server: Served) -> None:
    """With calls under way on it, and half of a call."""
    peer = Connection(server.port, lambda _: "")
    peer.send(iter([SLOW] * MANY), MANY)
    wait_until(lambda: len(server.slow.asked) == MANY, "all of them wait")
    peer.send_raw(struct.pack(">I", 100)[1:] + b"\x00\x00" + struct.pack(">I", 2 * MANY + 1) + b"half")
    peer.close()
    assert answers(server)
    finish(server.slow)
    assert answers(server)


def test_callers_of_what_is_not_here_keep_nobody_waiting(server: Served) -> None:
    """Thousands of calls of unknown methods, and one of ours among them."""
    peer = Connection(server.port, lambda _: "", path="/a.B/C")
    peer.send(iter([b""] * 5000), 1000)
    begun = time.monotonic()
    assert answers(server)
    assert time.monotonic() - begun < 5
    peer.close()


def test_a_connection_that_is_old_is_ended_and_no_call_is_lost(kind: str) -> None:
    """GOAWAY: the client opens another one, what is under way is answered on the old one."""
    short = {"grpc.max_connection_age_ms": 300, "grpc.max_connection_age_grace_ms": 5000}
    slow = Slow(at_once=None)
    with served(kind, decide, slow=slow, options=tuple((dict(OPTIONS) | short).items())) as server:
        old = Connection(server.port, lambda _: "")
        pending = server.caller.submit(SLOW, timeout=10)
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5:
            assert answers(server)
        finish(slow)
        assert read_response(pending.result()).allowed
        with contextlib.closing(old), pytest.raises(ConnectionError, match="GOAWAY"):
            receive_for_ever(old)


def test_a_call_after_the_stop_has_begun_is_told_to_go_elsewhere(server: Served) -> None:
    """UNAVAILABLE, at once, so that Envoy tries another replica."""
    server.stop(1.0)
    assert server.caller.error(check_request(), timeout=2) is grpc.StatusCode.UNAVAILABLE


def test_a_caller_that_resets_its_streams_disturbs_nobody(server: Served) -> None:
    """RST_STREAM before the answer, again and again."""
    peer = Connection(server.port, lambda _: "")
    for stream in range(1, 400, 2):
        peer.send(iter([SLOW]), 1)
        peer.send_raw(struct.pack(">I", 4)[1:] + b"\x03\x00" + struct.pack(">II", stream, 8))
    assert answers(server)
    finish(server.slow)
    assert answers(server)
    peer.close()
