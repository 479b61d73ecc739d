"""Bounded memory: what is kept, what goes, and what is counted."""

from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.proof.cache import LruCache

ROOM = 1_000_000


def test_the_least_recently_used_entry_goes_first() -> None:
    cache: LruCache[str, int] = LruCache(2, ROOM)
    cache.put("a", 1, 1)
    cache.put("b", 2, 1)
    cache.get("a")
    cache.put("c", 3, 1)
    assert [key for key in "abc" if key in cache] == ["a", "c"]


def test_entries_go_until_the_bytes_are_within_bounds() -> None:
    cache: LruCache[str, int] = LruCache(10, 100)
    for key in "abc":
        cache.put(key, 0, 40)
    assert ("a" in cache, len(cache), cache.size) == (False, 2, 80)


def test_what_is_larger_than_the_whole_cache_is_not_kept() -> None:
    cache: LruCache[str, int] = LruCache(10, 100)
    cache.put("a", 0, 101)
    assert (len(cache), cache.size) == (0, 0)


def test_hits_and_misses_are_counted() -> None:
    cache: LruCache[str, int] = LruCache(1, ROOM)
    assert cache.get("a") is None
    cache.put("a", 1, 1)
    assert cache.get("a") == 1
    assert (cache.hits, cache.misses) == (1, 1)


def test_a_value_that_is_put_again_replaces_the_old_one() -> None:
    cache: LruCache[str, int] = LruCache(2, ROOM)
    cache.put("a", 1, 5)
    cache.put("a", 2, 7)
    assert (cache.get("a"), len(cache), cache.size) == (2, 1, 7)


def test_keys_that_are_not_wanted_any_more_are_forgotten() -> None:
    cache: LruCache[str, int] = LruCache(3, ROOM)
    for key in "abc":
        cache.put(key, 0, 2)
    cache.retain(lambda key: key == "b")
    assert ("b" in cache, len(cache), cache.size) == (True, 1, 2)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=60))
def test_no_order_of_use_exceeds_the_bounds(puts: list[tuple[int, int]]) -> None:
    cache: LruCache[int, int] = LruCache(4, 100)
    for key, size in puts:
        cache.put(key, key, size)
        assert len(cache) <= 4
        assert 0 <= cache.size <= 100
