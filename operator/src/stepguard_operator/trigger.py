"""Waiting for a run of changes to pause, in a loop."""

import asyncio
import time

from stepguard_operator.debounce import Debounce


class Trigger:
    """`touch` any number of times, `wait` in one task."""

    def __init__(self) -> None:
        self._waiting = Debounce()
        self._wake = asyncio.Event()

    def touch(self) -> None:
        """Something has changed."""
        self._waiting = self._waiting.touched(time.monotonic())
        self._wake.set()

    async def wait(self, *, until: float | None = None) -> bool:
        """Return True once changes are due, or False at `until` (time.monotonic()) where there was none."""
        while True:
            due = self._waiting.due
            at = until if due is None else due
            if at is not None and at <= time.monotonic():
                self._waiting = Debounce()
                return due is not None
            self._wake.clear()
            try:
                async with asyncio.timeout(None if at is None else at - time.monotonic()):
                    await self._wake.wait()
            except TimeoutError:
                continue
