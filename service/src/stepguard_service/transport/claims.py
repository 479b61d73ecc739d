"""Gathers claims on an event loop: while one round trip to a store is under way, the next ones share theirs."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from stepguard_service import limits
from stepguard_service.stores.replay import Claimed
from stepguard_service.transport.handler import CheckHandler, Claiming

_Waiter = tuple[Claiming, "asyncio.Future[Claimed | None]"]


class Claims:
    """Off the loop where the store blocks, at once where it does not. Used on one event loop."""

    def __init__(self, handler: CheckHandler) -> None:
        self._handler = handler
        self._waiters: list[_Waiter] = []
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stepguard-claims")

    async def claim(self, claiming: Claiming) -> Claimed | None:
        """What became of this claim; a caller that is cancelled before the round trip starts claims nothing."""
        if not self._handler.claim_blocks:
            return self._handler.claim([claiming])[0]
        waiter: asyncio.Future[Claimed | None] = asyncio.get_running_loop().create_future()
        self._waiters.append((claiming, waiter))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiter

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiters:
                batch = self._next_batch()
                results = await loop.run_in_executor(self._thread, self._handler.claim, [one for one, _ in batch])
                for (_, waiter), claimed in zip(batch, results, strict=True):
                    if not waiter.done():
                        waiter.set_result(claimed)
        finally:
            self._running = None

    def _next_batch(self) -> list[_Waiter]:
        """The oldest claims whose callers still wait."""
        waiting = [waiter for waiter in self._waiters if not waiter[1].done()]
        self._waiters = waiting[limits.CLAIMS_IN_A_BATCH :]
        return waiting[: limits.CLAIMS_IN_A_BATCH]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
