"""What authorization servers said about tokens, remembered for a while: never a verdict, and never a token."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from stepguard_service.core.slow import Introspected
from stepguard_service.limits import INTROSPECTION_ANSWERS, INTROSPECTION_ANSWERS_LENGTH
from stepguard_service.proof.cache import LruCache

_INACTIVE: Mapping[str, object] = {"active": False}
_INACTIVE_SIZE = 100


@dataclass(frozen=True, slots=True)
class _Answer:
    members: Mapping[str, object]
    until: float


class _Shelf:
    """The answers of one issuer. A flood of random tokens can only push out other inactive ones."""

    __slots__ = ("active", "inactive")

    def __init__(self) -> None:
        self.active: LruCache[bytes, _Answer] = LruCache(INTROSPECTION_ANSWERS, INTROSPECTION_ANSWERS_LENGTH)
        self.inactive: LruCache[bytes, _Answer] = LruCache(INTROSPECTION_ANSWERS, INTROSPECTION_ANSWERS_LENGTH)


class IntrospectionAnswers:
    """Answers by issuer and token, bounded per issuer. For any thread; `now` is time.monotonic().

    `hits` and `misses` may be read at any time: how often a token was known, and how often its issuer had to be asked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shelves: dict[str, _Shelf] = {}
        self.hits = 0
        self.misses = 0

    def admit(self, issuer_hashes: Iterable[str]) -> None:
        """Remember answers of these issuers too."""
        with self._lock:
            for issuer_hash in issuer_hashes:
                self._shelves.setdefault(issuer_hash, _Shelf())

    def retain(self, issuer_hashes: frozenset[str]) -> None:
        """Forget what all other issuers said, and do not remember what they may still say."""
        with self._lock:
            self._shelves = {known: shelf for known, shelf in self._shelves.items() if known in issuer_hashes}

    def lookup(self, issuer_hash: str, token: str, now: float) -> Introspected | None:
        """What this issuer said about the token, while that counts."""
        key = _key(token)
        with self._lock:
            shelf = self._shelves.get(issuer_hash)
            answer = (shelf.active.get(key) or shelf.inactive.get(key)) if shelf else None
            if answer is None or now >= answer.until:
                return None
            self.hits += 1
            return Introspected(answer.members)

    def count_miss(self) -> None:
        """An issuer is asked."""
        with self._lock:
            self.misses += 1

    def keep(self, issuer_hash: str, token: str, members: Mapping[str, object], *, size: int, until: float) -> None:
        """Remember an answer of `size` bytes until then, in place of what was known about the token."""
        key = _key(token)
        with self._lock:
            if (shelf := self._shelves.get(issuer_hash)) is None:
                return
            if members.get("active") is True:
                shelf.inactive.drop(key)
                shelf.active.put(key, _Answer(members, until), size)
            else:
                shelf.active.drop(key)
                shelf.inactive.put(key, _Answer(_INACTIVE, until), _INACTIVE_SIZE)


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
