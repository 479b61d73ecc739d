"""What pretends to be a Redis server: too old, not one at all, or one that never finishes its answers."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from socket import create_server, socket, socketpair

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.stores.redis_address import parse_redis_url
from stepguard_service.stores.redis_connection import Connector, RedisConnection, RedisLostError
from stepguard_service.stores.replay import Claim, Claimed
from stepguard_service.stores.replay_redis import RedisReplayStore

TIMEOUT = 0.2
CLAIM = Claim(key=b"k" * 32, jkt="jkt", request_id="1", until=2_000_000_000)

Talk = Callable[[socket], None]


@contextlib.contextmanager
def serving(talk: Talk) -> Iterator[str]:
    """A server that does this on each connection; gives its URL."""
    with create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection: socket) -> None:
            with connection, contextlib.suppress(OSError):
                talk(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(2)


@contextlib.contextmanager
def opened(url: str) -> Iterator[tuple[RedisReplayStore, str | None]]:
    """A store over that server, and what it was refused for."""
    address = parse_redis_url(url)
    assert not isinstance(address, str)
    connector = Connector(address, password_file=None, ca=None)
    store = RedisReplayStore(connector, prefix="stepguard", timeout=TIMEOUT, count_error=lambda: None)
    try:
        yield store, store.open()
    finally:
        store.close()


def bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


def examination(
    version: str = "7.0.15", policy: str = "noeviction", role: str = "master", claim: bytes = b"$-1\r\n"
) -> bytes:
    """Answers to what a new connection asks."""
    infos = (f"redis_version:{version}\r\n", f"maxmemory_policy:{policy}\r\n", f"role:{role}\r\n")
    return b"".join(map(bulk, infos)) + claim


def answering(first: bytes, then: Talk = lambda _: None) -> Talk:
    """Answers the first request with these bytes, and goes on with the second one in its own way."""

    def talk(connection: socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while connection.recv(65536):
            then(connection)

    return talk


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(examination(version="6.2.14"), "its version is 6.2.14; 7.0 or newer", id="an old version"),
        pytest.param(
            b"-NOPERM\r\n" * 3 + b"-ERR syntax error\r\n",
            "syntax error",
            id="one that hides its age and does not know NX GET",
        ),
        pytest.param(examination(policy="volatile-lru"), "maxmemory-policy is volatile-lru", id="one that evicts"),
    ],
)
def test_a_server_that_can_never_hold_claims_is_refused_at_the_start(answer: bytes, said: str) -> None:
    with serving(answering(answer)) as url, opened(url) as (store, refusal):
        assert refusal is not None
        assert said in refusal
        assert store.claim([CLAIM], 0) == [Claimed.UNAVAILABLE]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="another protocol"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"-LOADING Redis is loading the dataset in memory\r\n" * 4, id="one that still loads"),
        pytest.param(examination(role="slave"), id="a replica"),
        pytest.param(examination(claim=b"-MISCONF cannot persist\r\n"), id="one that takes no writes"),
        pytest.param(b"$99999999999\r\n", id="an answer without end"),
    ],
)
def test_a_server_that_may_come_right_is_unavailable_until_then(answer: bytes) -> None:
    with serving(answering(answer)) as url, opened(url) as (store, refusal):
        assert refusal is None
        assert store.claim([CLAIM], 0) == [Claimed.UNAVAILABLE]


def drip(connection: socket) -> None:
    while True:
        connection.sendall(b"+")
        time.sleep(0.01)


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(drip, id="byte by byte without end"),
        pytest.param(lambda connection: connection.sendall(b"-ERR no\r\n"), id="refusals"),
        pytest.param(lambda connection: connection.sendall(b":1\r\n"), id="a number"),
        pytest.param(lambda connection: connection.sendall(b"*1\r\n$1\r\na\r\n"), id="a list"),
        pytest.param(lambda connection: connection.sendall(b"\0\0"), id="garbage"),
        pytest.param(lambda connection: connection.close(), id="a closed connection"),
    ],
)
def test_whatever_claims_are_answered_with_they_are_unavailable_in_time(then: Talk) -> None:
    """One deadline holds for a whole batch, however slowly its answers arrive."""
    with serving(answering(examination(), then)) as url, opened(url) as (store, refusal):
        assert refusal is None
        begun = time.monotonic()
        assert store.claim([CLAIM] * 3, 0) == [Claimed.UNAVAILABLE] * 3
        assert time.monotonic() - begun < 10 * TIMEOUT


@given(
    st.binary(max_size=40)
    | st.lists(st.sampled_from([b"$-1\r\n", b"+OK\r\n", b"$3\r\nabc\r\n", b"-E\r\n", b"*2\r\n", b":1\r\n"])).map(
        b"".join
    )
)
def test_fuzz_any_answer_gives_as_many_replies_as_commands_or_a_lost_connection(answer: bytes) -> None:
    """Any bytes from a server give one reply for each command, or RedisLostError, never another error."""
    ours, theirs = socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(1)
        with contextlib.suppress(RedisLostError):
            assert len(RedisConnection(ours).round_trip([("PING",), ("PING",)], 5)) == 2
