"""The replay store of a single replica: in memory, bounded, exact.

Entries live in small dicts and are listed by the second in which they end, so that expiry neither scans nor sets
timers. Every call clears away a bounded number of ended entries; until then they count for nothing. An entry is packed:

- its key is the first 15 octets of the claim's, which takes one memory block less and is still 120 bits of SHA-256;
- its value is one integer of `until`, the request's id and the jkt, the latter two as 60 bits of Python's own keyed
  hash, whose key is random per process.

So 100 000 entries take about 16 MiB, and 24 MiB where each has a jkt of its own.
"""

import threading
from collections.abc import Sequence
from heapq import heappop, heappush

from stepguard_service.limits import REPLAY_SWEEP
from stepguard_service.stores.replay import Claim, Claimed

_KEY_LENGTH = 15
_SHARDS = 64
"""Growing a dict copies it: in 64 small ones that is never noticed."""
_HASH_BITS = 60
_HASH_MASK = (1 << _HASH_BITS) - 1
_SHARE = 10
"""Under pressure no jkt may hold more than one part in ten of the capacity."""


class MemoryReplayStore:
    """A ReplayStore for one process. Any thread may call it.

    `now` going backwards un-claims nothing that is still there; what had ended before is forgotten.
    """

    kind = "memory"
    shared = False
    blocking = False

    def __init__(self, capacity: int) -> None:
        """`capacity`: live entries at most."""
        self._capacity = capacity
        self._lock = threading.Lock()
        self._shards: tuple[dict[bytes, int], ...] = tuple({} for _ in range(_SHARDS))
        self._held: tuple[dict[int, int], ...] = tuple({} for _ in range(_SHARDS))
        self._live = 0
        self._ending: dict[int, list[bytes]] = {}
        self._ends: list[int] = []
        self._ended: list[tuple[int, list[bytes]]] = []

    def claim(self, claims: Sequence[Claim], now: float) -> Sequence[Claimed]:
        """Claim all of them; results in the same order. Never raises."""
        with self._lock:
            self._clear(now)
            return [self._claim(claim, now) for claim in claims]

    def entries(self) -> int:
        """How many live entries it held at the last claim."""
        return self._live

    def close(self) -> None:
        """Nothing to release."""

    def _claim(self, claim: Claim, now: float) -> Claimed:
        key = claim.key[:_KEY_LENGTH]
        shard = self._shards[key[0] % _SHARDS]
        request = _id_bits(claim.request_id)
        found = shard.get(key)
        if found is not None and _until(found) > now:
            return Claimed.REPEATED if request and request == _request(found) else Claimed.REPLAYED
        if self._live >= self._capacity:
            return Claimed.FULL
        jkt = _bits(claim.jkt)
        held = self._held[jkt % _SHARDS]
        if self._live * 2 >= self._capacity and (held.get(jkt, 0) + 1) * _SHARE > self._capacity:
            return Claimed.OVER_SHARE
        if found is not None:
            self._release(_jkt(found))
        # However late a claim comes, of those that come together one wins.
        until = max(claim.until, int(now) + 1)
        shard[key] = until << 2 * _HASH_BITS | request << _HASH_BITS | jkt
        held[jkt] = held.get(jkt, 0) + 1
        self._live += 1
        self._list(until, key)
        return Claimed.CLAIMED

    def _list(self, until: int, key: bytes) -> None:
        ending = self._ending.get(until)
        if ending is None:
            self._ending[until] = [key]
            heappush(self._ends, until)
        else:
            ending.append(key)

    def _clear(self, now: float) -> None:
        """Let what has ended count no more, and clear some of it away."""
        while self._ends and self._ends[0] <= now:
            until = heappop(self._ends)
            keys = self._ending.pop(until)
            self._live -= len(keys)
            self._ended.append((until, keys))
        budget = REPLAY_SWEEP
        while self._ended and budget:
            until, keys = self._ended[-1]
            while keys and budget:
                self._forget(keys.pop(), until)
                budget -= 1
            if not keys:
                self._ended.pop()

    def _forget(self, key: bytes, until: int) -> None:
        shard = self._shards[key[0] % _SHARDS]
        found = shard.get(key)
        if found is not None and _until(found) == until:
            del shard[key]
            self._release(_jkt(found))

    def _release(self, jkt: int) -> None:
        held = self._held[jkt % _SHARDS]
        if held[jkt] > 1:
            held[jkt] -= 1
        else:
            del held[jkt]


def _bits(text: str) -> int:
    return hash(text) & _HASH_MASK


def _id_bits(request_id: str) -> int:
    """0 for no id, which is never the same as another."""
    return (_bits(request_id) or 1) if request_id else 0


def _until(packed: int) -> int:
    return packed >> 2 * _HASH_BITS


def _request(packed: int) -> int:
    return packed >> _HASH_BITS & _HASH_MASK


def _jkt(packed: int) -> int:
    return packed & _HASH_MASK
