"""Service processes that share one Redis: every proof passes once, whatever happens to the server."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.bank import HOST, Bank, policy_document, rule
from tests.support.checks import Caller, Verdict, check_request, read_response
from tests.support.clock import clock_now
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.service import Service, service

ALLOWED, REPLAYED, UNAVAILABLE = 0, 401, 503


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Policies, a signer and a client."""
    return Bank(tmp_path / "policies")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A good server."""
    with RedisServer(tmp_path) as server:
        yield server


@contextlib.contextmanager
def replicas(bank: Bank, redis: RedisServer, directory: Path, *flags: str, count: int) -> Iterator[list[Caller]]:
    """Services that share the store, one caller each."""
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(service(bank.folder, directory, "--replay-store", redis.url, *flags))
            for _ in range(count)
        ]
        callers = [Caller(one.port) for one in started]
        yield callers
        for caller in callers:
            caller.close()


@pytest.fixture
def caller(bank: Bank, redis: RedisServer, tmp_path: Path) -> Iterator[Caller]:
    """One service over the store."""
    with replicas(bank, redis, tmp_path, count=1) as (only,):
        yield only


def statuses(verdicts: Sequence[Verdict]) -> Counter[int]:
    return Counter(verdict.status for verdict in verdicts)


Made = tuple[dict[str, str], str]
"""Headers and path of a request."""


def as_request(made: Made, request_id: str) -> bytes:
    return check_request("GET", made[1], headers=made[0], request_id=request_id)


def proofs(bank: Bank, count: int) -> list[Made]:
    """What requests are made of, each with a proof of its own."""
    token = bank.token()
    made = []
    for number in range(count):
        path = f"/accounts/{number}"
        proof = bank.client.proof("GET", f"https://{HOST}{path}", now=clock_now(), token=token)
        made.append(({"authorization": f"DPoP {token}", "dpop": proof}, path))
    return made


@pytest.mark.slow
def test_of_1000_proofs_replayed_at_two_replicas_at_once_exactly_1000_pass(
    bank: Bank, redis: RedisServer, tmp_path: Path
) -> None:
    """Each proof comes four times, as four requests, twice to each replica, all of them under way together."""
    made = proofs(bank, 1000)
    with replicas(bank, redis, tmp_path, "--replay-timeout", "2s", count=2) as callers:
        calls = [
            (as_request(one, f"{index}-{attempt}"), caller)
            for attempt in range(2)
            for index, caller in enumerate(callers)
            for one in made
        ]
        futures = [caller.submit(payload, timeout=60) for payload, caller in calls]
        verdicts = [read_response(future.result()) for future in futures]
    assert statuses(verdicts) == {ALLOWED: 1000, REPLAYED: 3000}


def test_a_repeated_check_of_one_request_is_no_replay_at_any_replica(
    bank: Bank, redis: RedisServer, tmp_path: Path
) -> None:
    """Envoy may repeat a Check at another replica, with the same id."""
    with replicas(bank, redis, tmp_path, count=2) as (one, other):
        payload = bank.proven(request_id="the same")
        assert one.check(payload).allowed
        assert other.check(payload).allowed


def settles(caller: Caller, bank: Bank, status: int) -> None:
    """Wait until requests with new proofs are answered so."""
    numbers = iter(range(10_000))
    wait_until(lambda: caller.check(bank.proven(request_id=f"{next(numbers)}")).status == status, f"status {status}")


def test_while_the_store_is_down_proofs_are_503_and_everything_else_goes_on(
    caller: Caller, bank: Bank, redis: RedisServer
) -> None:
    redis.stop()
    refused = caller.check(bank.proven())
    assert refused.status == UNAVAILABLE
    assert json.loads(refused.body)["error"] == "temporarily_unavailable"
    assert refused.metadata["reason"] == "replay_store_unavailable"
    assert caller.check(bank.bearer()).allowed
    redis.start()
    settles(caller, bank, ALLOWED)


def test_a_paused_store_does_not_hold_up_requests_that_need_none(
    caller: Caller, bank: Bank, redis: RedisServer
) -> None:
    """A stall of 50 ms in the loop for each proof would make this take 15 s."""
    redis.pause()
    stuck = [caller.submit(bank.proven(f"/accounts/{number}")) for number in range(300)]
    begun = time.monotonic()
    for _ in range(300):
        assert caller.check(bank.bearer()).allowed
    assert time.monotonic() - begun < 5
    assert statuses([read_response(one.result()) for one in stuck]) == {UNAVAILABLE: 300}
    redis.resume()
    settles(caller, bank, ALLOWED)


def test_a_full_store_refuses_new_proofs_and_still_finds_replays(
    caller: Caller, bank: Bank, redis: RedisServer
) -> None:
    (made,) = proofs(bank, 1)
    assert caller.check(as_request(made, "1")).allowed
    redis.command("CONFIG", "SET", "maxmemory", "1")
    assert caller.check(as_request(made, "2")).status == REPLAYED
    refused = caller.check(bank.proven())
    assert (refused.status, refused.metadata["reason"]) == (UNAVAILABLE, "replay_store_full")


def test_a_demoted_store_is_unavailable_until_it_is_the_primary_again(
    caller: Caller, bank: Bank, redis: RedisServer
) -> None:
    redis.command("REPLICAOF", "127.0.0.1", 1)
    settles(caller, bank, UNAVAILABLE)
    redis.command("REPLICAOF", "NO", "ONE")
    settles(caller, bank, ALLOWED)


def test_by_flag_an_outage_lets_proofs_pass_and_a_full_store_still_does_not(
    bank: Bank, redis: RedisServer, tmp_path: Path
) -> None:
    with replicas(bank, redis, tmp_path, "--replay-on-outage", "unsafe-allow", count=1) as (caller,):
        redis.command("CONFIG", "SET", "maxmemory", "1")
        assert caller.check(bank.proven()).status == UNAVAILABLE
        redis.stop()
        assert caller.check(bank.proven()).allowed


def test_the_store_may_be_down_at_the_start(bank: Bank, redis: RedisServer, tmp_path: Path) -> None:
    redis.stop()
    with replicas(bank, redis, tmp_path, count=1) as (caller,):
        assert caller.check(bank.proven()).status == UNAVAILABLE
        redis.start()
        settles(caller, bank, ALLOWED)


def test_a_store_that_evicts_is_refused_at_the_start_in_one_line(
    bank: Bank, redis: RedisServer, tmp_path: Path
) -> None:
    redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with service(bank.folder, tmp_path, "--replay-store", redis.url, wait=False) as started:
        assert started.process.wait() == 2
    (line,) = [line for line in started.process.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("stepguard-service: --replay-store: its maxmemory-policy is allkeys-lru")


def test_errors_of_the_store_are_counted(bank: Bank, redis: RedisServer, tmp_path: Path) -> None:
    def errors(started: Service) -> float:
        lines = started.get("/metrics")[1].splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("stepguard_replay_store_errors_total"))

    with service(bank.folder, tmp_path, "--replay-store", redis.url) as started:
        assert errors(started) == 0
        redis.stop()
        wait_until(lambda: errors(started) > 0, "the loss is counted")


def test_a_policy_that_skips_replay_needs_no_store(caller: Caller, bank: Bank, redis: RedisServer) -> None:
    bank.write("policy.yaml", policy_document(rule("/accounts"), dpop={"replay": "Skip"}))
    redis.stop()
    settles(caller, bank, ALLOWED)
