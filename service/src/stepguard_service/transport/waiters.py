"""Requests that wait for slow work: how many may, and how each of them is told."""

import contextlib
import threading
from collections import Counter
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass

from stepguard_service.core.slow import Waited
from stepguard_service.limits import REQUESTS_WAITING


def settle(waiter: Future[Waited], waited: Waited) -> None:
    """Tell one request, unless it was told before or does not wait any more."""
    with contextlib.suppress(InvalidStateError):
        waiter.set_result(waited)


def settled(waited: Waited) -> Future[Waited]:
    """What a request gets that need not wait at all."""
    waiter: Future[Waited] = Future()
    waiter.set_result(waited)
    return waiter


@dataclass(frozen=True, slots=True)
class _Leave:
    room: "WaitingRoom"
    issuer: str

    def __call__(self, _: Future[Waited]) -> None:
        self.room.leave(self.issuer)


class WaitingRoom:
    """At most 1 000 requests wait for one issuer; what other issuers' requests do does not matter. For any thread."""

    def __init__(self, places: int = REQUESTS_WAITING) -> None:
        self._places = places
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, issuer: str) -> Future[Waited] | None:
        """A waiter that leaves when it is settled or cancelled; None where all places are taken."""
        with self._lock:
            if self._taken[issuer] >= self._places:
                return None
            self._taken[issuer] += 1
        waiter: Future[Waited] = Future()
        waiter.add_done_callback(_Leave(self, issuer))
        return waiter

    def leave(self, issuer: str) -> None:
        """Free one place."""
        with self._lock:
            self._taken[issuer] -= 1
            if not self._taken[issuer]:
                del self._taken[issuer]
