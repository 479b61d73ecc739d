"""Bounded memory of what a pure function gave for an input."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """The most recently used values, bounded by their number and by the sum of their sizes in bytes.

    For use by one thread. `hits`, `misses` and `size` may be read from any.
    """

    __slots__ = ("_entries", "_max_entries", "_max_size", "hits", "misses", "size")

    def __init__(self, max_entries: int, max_size: int) -> None:
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._max_entries = max_entries
        self._max_size = max_size
        self.hits = 0
        self.misses = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Value | None:
        """The value of this key (a hit; it is now the last to go), or None (a miss)."""
        found = self.find(key)
        if found is None:
            self.misses += 1
        return found

    def find(self, key: Key) -> Value | None:
        """The same for one of several keys that a value may have: what is not there is no miss yet."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return entry[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value of this size in bytes, and let the least recently used go until all bounds hold."""
        self.drop(key)
        self._entries[key] = (value, size)
        self.size += size
        while len(self._entries) > self._max_entries or self.size > self._max_size:
            self.size -= self._entries.popitem(last=False)[1][1]

    def drop(self, key: Key) -> None:
        """Forget this key, if it is there."""
        if (entry := self._entries.pop(key, None)) is not None:
            self.size -= entry[1]

    def retain(self, wanted: Callable[[Key], bool]) -> None:
        """Forget every key that is not wanted any more."""
        for key in [key for key in self._entries if not wanted(key)]:
            self.drop(key)
