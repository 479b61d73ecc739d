"""Long work in a thread beside the serving loop, in slices that no check waits for."""

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

_SLICE_SECONDS: Final = 0.0005
_REST_SECONDS: Final = 0.00002
"""With the slack of the system's timers about 0.1 ms: enough for another thread to be scheduled on the same core."""

T = TypeVar("T")


class Pace:
    """Rests for a moment after every half millisecond of work.

    Handing over the interpreter's lock is not enough on one core: who waits for it must be scheduled before it can even
    ask, and schedulers let a thread that computes run for several milliseconds. A thread that sleeps gives way at once.
    """

    def __init__(self) -> None:
        self._rested = time.perf_counter()

    def rest(self) -> None:
        """Give way if it is time to."""
        if time.perf_counter() - self._rested > _SLICE_SECONDS:
            time.sleep(_REST_SECONDS)
            self._rested = time.perf_counter()

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """The items, with rests between them."""
        for item in items:
            self.rest()
            yield item
