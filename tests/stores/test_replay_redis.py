"""Claims in a real Redis or Valkey server: one winner, and the right refusal while the server fails in every way."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepguard_service.stores.replay import Claimed

from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.redis_store import NOW, TIMEOUT, UNTIL, Opened, claim


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A good server."""
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def opened(server: RedisServer) -> Iterator[Opened]:
    """A store that is connected to it."""
    with Opened(server.url) as store:
        assert store.refusal is None
        yield store


# --- claims -----------------------------------------------------------------------------------------------------------


def test_it_is_shared_and_blocking_and_does_not_know_how_much_it_holds(opened: Opened) -> None:
    store = opened.store
    assert (store.kind, store.shared, store.blocking, store.entries()) == ("redis", True, True, None)


def test_a_batch_gets_its_outcomes_in_order(opened: Opened) -> None:
    batch = [claim("a", "1"), claim("b", "1"), claim("a", "2"), claim("a", "1"), claim("c", "")]
    assert opened.claim(*batch) == [
        Claimed.CLAIMED,
        Claimed.CLAIMED,
        Claimed.REPLAYED,
        Claimed.REPEATED,
        Claimed.CLAIMED,
    ]


def test_without_a_request_id_nothing_is_the_same_request(opened: Opened) -> None:
    assert opened.claim(claim("a", ""), claim("a", "")) == [Claimed.CLAIMED, Claimed.REPLAYED]


def test_an_empty_batch_is_nothing(opened: Opened) -> None:
    assert opened.claim() == []


def test_a_batch_of_a_thousand_is_one_round_trip(opened: Opened, server: RedisServer) -> None:
    outcomes = opened.claim(*(claim(f"{number}") for number in range(1000)))
    assert outcomes == [Claimed.CLAIMED] * 1000
    assert len(server.keys("stepguard:*")) >= 1000


def test_an_entry_lives_20_seconds_longer_than_the_proof(opened: Opened, server: RedisServer) -> None:
    """Replicas' clocks may be 10 s ahead or behind."""
    opened.claim(claim("a"))
    (key,) = [key for key in server.keys("stepguard:*") if "examination" not in key]
    remaining = server.command("PTTL", key)
    assert isinstance(remaining, int)
    assert 85_000 < remaining <= 91_000


def test_a_claim_outlives_its_proof_at_replicas_whose_clocks_differ_by_20_seconds(
    opened: Opened, server: RedisServer
) -> None:
    """Claimed where the clock is 10 s ahead, known where it is 10 s behind until that one says `until`."""
    opened.store.claim([claim("a")], NOW + 10)
    (key,) = [key for key in server.keys("stepguard:*") if "examination" not in key]
    remaining = server.command("PTTL", key)
    assert isinstance(remaining, int)
    behind = NOW - 10
    assert remaining / 1000 > UNTIL - behind - 1


def test_keys_have_the_prefix_and_reveal_nothing(opened: Opened, server: RedisServer) -> None:
    opened.claim(claim("a"))
    (key,) = [key for key in server.keys("*") if "examination" not in key]
    assert key == "stepguard:ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs"


def test_a_proof_that_expired_long_ago_is_still_claimed_for_a_moment(opened: Opened) -> None:
    """Whatever a clock says, two requests never both win."""
    old = claim("a", "1", until=1), claim("a", "2", until=1)
    assert opened.claim(*old) == [Claimed.CLAIMED, Claimed.REPLAYED]


def test_installations_with_different_prefixes_do_not_see_each_other(opened: Opened, server: RedisServer) -> None:
    with Opened(server.url, prefix="other") as other:
        assert opened.claim(claim("a", "1")) == [Claimed.CLAIMED]
        assert other.claim(claim("a", "2")) == [Claimed.CLAIMED]


def test_replicas_see_each_others_claims(opened: Opened, server: RedisServer) -> None:
    with Opened(server.url) as other:
        assert opened.claim(claim("a", "1")) == [Claimed.CLAIMED]
        assert other.claim(claim("a", "2")) == [Claimed.REPLAYED]
        assert other.claim(claim("a", "1")) == [Claimed.REPEATED]


def test_of_concurrent_claims_of_each_key_exactly_one_wins(server: RedisServer) -> None:
    """Four replicas claim the same 500 keys at the same time, each as another request, in batches."""
    wins: list[Claimed] = []
    start = threading.Barrier(4)

    def replica(name: str) -> None:
        with Opened(server.url, timeout=5) as store:
            start.wait()
            for first in range(0, 500, 32):
                batch = [claim(f"{number}", name) for number in range(first, min(first + 32, 500))]
                wins.extend(store.claim(*batch))

    threads = [threading.Thread(target=replica, args=(f"replica-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wins.count(Claimed.CLAIMED) == 500
    assert wins.count(Claimed.REPLAYED) == 1500


# --- a server that is away --------------------------------------------------------------------------------------------


def test_a_server_that_is_down_at_the_start_is_no_reason_not_to_start(server: RedisServer) -> None:
    server.stop()
    with Opened(server.url) as store:
        assert store.refusal is None
        assert store.claim(claim("a")) == [Claimed.UNAVAILABLE]
        assert store.errors > 0
        server.start()
        wait_until(store.serves, "claims work again")


def test_a_server_that_is_stopped_costs_at_most_the_timeout_and_then_nothing(
    opened: Opened, server: RedisServer
) -> None:
    server.stop()
    outcomes = [opened.claim(claim(f"{number}")) for number in range(3)]
    assert all(outcome == [Claimed.UNAVAILABLE] for outcome in outcomes)
    begun = time.monotonic()
    for number in range(1000):
        opened.claim(claim(f"{number}"))
    assert time.monotonic() - begun < 10 * TIMEOUT


def test_a_server_that_is_back_serves_again_without_a_restart(opened: Opened, server: RedisServer) -> None:
    server.stop()
    assert opened.claim(claim("a")) == [Claimed.UNAVAILABLE]
    server.start()
    wait_until(opened.serves, "claims work again")


def test_a_restart_while_nothing_happens_is_noticed_before_a_request_needs_it(
    opened: Opened, server: RedisServer
) -> None:
    server.stop()
    server.start()
    wait_until(lambda: opened.errors, "the loss is noticed")
    wait_until(opened.serves, "claims work again")


def test_a_paused_server_stalls_one_batch_for_the_timeout_and_no_other(opened: Opened, server: RedisServer) -> None:
    """The kernel of a paused server still accepts connections: only the examination shows that nobody is there."""
    server.pause()
    begun = time.monotonic()
    assert opened.claim(*(claim(f"{number}") for number in range(32))) == [Claimed.UNAVAILABLE] * 32
    assert time.monotonic() - begun < 10 * TIMEOUT
    begun = time.monotonic()
    for number in range(1000):
        assert opened.claim(claim(f"{number}")) == [Claimed.UNAVAILABLE]
    assert time.monotonic() - begun < 10 * TIMEOUT
    server.resume()
    wait_until(opened.serves, "claims work again")


def test_no_request_is_used_to_try_whether_a_paused_server_is_back(server: RedisServer) -> None:
    """A request that was would take a second here."""
    with Opened(server.url, timeout=1) as store:
        server.pause()
        store.claim(claim("a"))
        slowest = 0.0
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            begun = time.monotonic()
            store.claim(claim("b"))
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < 0.5
        assert store.errors > 1


def test_a_claim_that_timed_out_and_went_through_is_the_same_requests_when_it_asks_again(
    opened: Opened, server: RedisServer
) -> None:
    server.pause()
    assert opened.claim(claim("a", "1")) == [Claimed.UNAVAILABLE]
    server.resume()
    wait_until(opened.serves, "claims work again")
    assert opened.claim(claim("a", "1"))[0] in {Claimed.CLAIMED, Claimed.REPEATED}
    assert opened.claim(claim("a", "2")) == [Claimed.REPLAYED]


def test_a_connection_that_the_server_ends_is_opened_anew(opened: Opened, server: RedisServer) -> None:
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(opened.serves, "claims work again")


def test_each_fault_is_said_once(opened: Opened, server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    server.stop()
    opened.claim(claim("a"))
    wait_until(lambda: opened.errors > 4, "several attempts")
    lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == len(set(lines))


# --- a server that answers, but not as it must ------------------------------------------------------------------------


def test_a_full_server_refuses_new_proofs_and_still_knows_old_ones(opened: Opened, server: RedisServer) -> None:
    opened.claim(claim("old", "1"))
    server.command("CONFIG", "SET", "maxmemory", "1")
    assert opened.claim(claim("new"), claim("old", "2"), claim("old", "1")) == [
        Claimed.FULL,
        Claimed.REPLAYED,
        Claimed.REPEATED,
    ]
    server.command("CONFIG", "SET", "maxmemory", "0")
    assert opened.claim(claim("new")) == [Claimed.CLAIMED]


def test_a_server_that_is_full_at_the_start_is_used(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "maxmemory", "1")
    with Opened(server.url) as store:
        assert store.claim(claim("a")) == [Claimed.FULL]


def test_a_replica_is_not_used_and_its_primary_again(opened: Opened, server: RedisServer) -> None:
    server.command("REPLICAOF", "127.0.0.1", 1)
    assert opened.claim(claim("a")) == [Claimed.UNAVAILABLE]
    wait_until(lambda: opened.errors > 3, "several attempts")
    assert not opened.serves()
    server.command("REPLICAOF", "NO", "ONE")
    wait_until(opened.serves, "claims work again")


def test_a_replica_that_takes_writes_is_not_used_either(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "replica-read-only", "no")
    server.command("REPLICAOF", "127.0.0.1", 1)
    with Opened(server.url) as store:
        assert store.refusal is None
        assert store.claim(claim("a")) == [Claimed.UNAVAILABLE]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_evicts_is_refused_at_the_start(server: RedisServer, policy: str) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", policy)
    with Opened(server.url) as store:
        assert store.refusal is not None
        assert policy in store.refusal
        assert store.claim(claim("a")) == [Claimed.UNAVAILABLE]


def test_a_server_that_begins_to_evict_is_not_used_until_it_is_put_right(server: RedisServer) -> None:
    """It is looked at once a minute; here whenever there is time."""
    with Opened(server.url, policy_interval=0) as store:
        assert store.serves()
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        wait_until(lambda: not store.serves(), "claims are refused")
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        wait_until(store.serves, "claims work again")


def test_a_server_whose_settings_cannot_be_read_is_used_with_a_warning(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.command("ACL", "SETUSER", "narrow", "on", ">pw", "~stepguard:*", "+set", "+get", "+ping")
    with Opened(server.url.replace("//", "//narrow:pw@")) as store:
        assert store.refusal is None
        assert store.claim(claim("a")) == [Claimed.CLAIMED]
    assert "its maxmemory-policy cannot be read" in caplog.text


def test_a_user_that_may_not_write_is_unavailable(server: RedisServer) -> None:
    server.command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+get", "+info", "+ping")
    with Opened(server.url.replace("//", "//reader:pw@")) as store:
        assert store.claim(claim("a")) == [Claimed.UNAVAILABLE]


def test_a_right_that_is_taken_away_makes_claims_unavailable(server: RedisServer) -> None:
    server.command("ACL", "SETUSER", "writer", "on", ">pw", "~*", "+@all")
    with Opened(server.url.replace("//", "//writer:pw@")) as store:
        assert store.claim(claim("a")) == [Claimed.CLAIMED]
        server.command("ACL", "SETUSER", "writer", "-set")
        assert store.claim(claim("b")) == [Claimed.UNAVAILABLE]
