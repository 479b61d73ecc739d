"""What every ReplayStore keeps: of any number of claims of one key by different requests exactly one wins."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepguard_service.stores.redis_address import parse_redis_url
from stepguard_service.stores.redis_connection import Connector
from stepguard_service.stores.replay import Claim, Claimed, ReplayStore
from stepguard_service.stores.replay_memory import MemoryReplayStore
from stepguard_service.stores.replay_redis import RedisReplayStore

from tests.support.redis_server import RedisServer

NOW: Final = 1_800_000_000
_NAMES: Final = itertools.count()


def claim(name: str, request_id: str = "1") -> Claim:
    """A claim that lives for longer than any test."""
    return Claim(sha256(name.encode()).digest(), "jkt", request_id, NOW + 300)


def _redis(directory: Path) -> Iterator[ReplayStore]:
    with RedisServer(directory) as server:
        address = parse_redis_url(server.url)
        assert not isinstance(address, str)
        connector = Connector(address, password_file=None, ca=None)
        store = RedisReplayStore(connector, prefix="stepguard", timeout=5, count_error=lambda: None)
        assert store.open() is None
        yield store
        store.close()


@pytest.fixture(scope="module", params=["memory", "redis"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplayStore]:
    """One store of each kind."""
    if request.param == "redis":
        yield from _redis(tmp_path_factory.mktemp("redis"))
    else:
        yield MemoryReplayStore(100_000)


@pytest.fixture
def name() -> str:
    """A name of which no test has claimed anything yet."""
    return f"name {next(_NAMES)}"


def test_the_first_claim_wins_and_others_are_replays(store: ReplayStore, name: str) -> None:
    outcomes = [store.claim([claim(name, request_id)], NOW)[0] for request_id in ("1", "2", "3")]
    assert outcomes == [Claimed.CLAIMED, Claimed.REPLAYED, Claimed.REPLAYED]


def test_the_same_request_may_ask_again(store: ReplayStore, name: str) -> None:
    outcomes = [store.claim([claim(name, request_id)], NOW)[0] for request_id in ("1", "1", "2", "1")]
    assert outcomes == [Claimed.CLAIMED, Claimed.REPEATED, Claimed.REPLAYED, Claimed.REPEATED]


def test_requests_without_an_id_are_never_the_same(store: ReplayStore, name: str) -> None:
    outcomes = [store.claim([claim(name, request_id)], NOW)[0] for request_id in ("", "", "1")]
    assert outcomes == [Claimed.CLAIMED, Claimed.REPLAYED, Claimed.REPLAYED]


def test_a_batch_is_claimed_in_order(store: ReplayStore, name: str) -> None:
    batch = [claim(name, "1"), claim(f"{name} b", "1"), claim(name, "2"), claim(name, "1")]
    assert list(store.claim(batch, NOW)) == [Claimed.CLAIMED, Claimed.CLAIMED, Claimed.REPLAYED, Claimed.REPEATED]


def test_an_empty_batch_is_nothing(store: ReplayStore) -> None:
    assert list(store.claim([], NOW)) == []


def test_a_clock_that_goes_back_un_claims_nothing(store: ReplayStore, name: str) -> None:
    store.claim([claim(name, "1")], NOW)
    assert store.claim([claim(name, "2")], NOW - 200)[0] is Claimed.REPLAYED


def test_of_concurrent_claims_of_one_key_exactly_one_wins(store: ReplayStore, name: str) -> None:
    """Eight threads claim the same two hundred keys, each as another request, some of them in batches."""
    outcomes: list[tuple[str, Claimed]] = []
    keys = [f"{name} {number}" for number in range(200)]
    barrier = threading.Barrier(8)

    def claim_all(request_id: str, size: int) -> None:
        barrier.wait()
        for start in range(0, len(keys), size):
            batch = keys[start : start + size]
            outcomes.extend(zip(batch, store.claim([claim(key, request_id) for key in batch], NOW), strict=True))

    threads = [threading.Thread(target=claim_all, args=(str(number), 1 + number % 4 * 10)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(key for key, outcome in outcomes if outcome is Claimed.CLAIMED) == Counter(keys)
    assert {outcome for _, outcome in outcomes} == {Claimed.CLAIMED, Claimed.REPLAYED}


@given(claims=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1", "2"])), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_sequence_of_claims_is_answered_as_a_dictionary_would(
    store: ReplayStore, claims: list[tuple[str, str]]
) -> None:
    """Whatever is claimed in whatever order, the first request of a key owns it."""
    fresh, owners = next(_NAMES), dict[str, str]()
    for key, request_id in claims:
        outcome = store.claim([claim(f"{fresh} {key}", request_id)], NOW)[0]
        owner = owners.setdefault(key, request_id)
        if outcome is Claimed.CLAIMED:
            assert [one for one, _ in claims[: claims.index((key, request_id))]].count(key) == 0
        else:
            assert outcome is (Claimed.REPEATED if request_id and request_id == owner else Claimed.REPLAYED)
