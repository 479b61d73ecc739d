"""Keeps the keys of one source fresh, and lets requests wait for them. Everything here runs on one event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from random import SystemRandom

from stepguard_service.core.slow import Unavailable, Waited
from stepguard_service.stores.keys import FetchedKeys
from stepguard_service.transport import log
from stepguard_service.transport.http_fetch import FetchFailed
from stepguard_service.transport.key_fetch import FreshKeys
from stepguard_service.transport.waiters import settle

_log = log.logger("keys")
_random = SystemRandom()

Fetch = Callable[[], Awaitable[FreshKeys | FetchFailed]]


class KeyRefresher:
    """Fetches one source again and again: when it is due, and at once for an unknown `kid` where that is allowed.

    `noted` is called after each fetch with whether it brought keys.
    """

    def __init__(
        self, held: FetchedKeys, fetch: Fetch, *, clock: Callable[[], float], noted: Callable[[bool], None]
    ) -> None:
        self._held = held
        self._fetch = fetch
        self._clock = clock
        self._noted = noted
        self._wake = asyncio.Event()
        self._waiters: list[tuple[str | None, Future[Waited]]] = []

    def join(self, kid: str | None, waiter: Future[Waited]) -> None:
        """Let a request wait for keys at all (`kid` None) or for a key of this id, or tell it at once."""
        held, now = self._held, self._clock()
        if (known := held.answer(kid, now)) is not None:
            settle(waiter, known)
            return
        if held.keys is not None and not held.hurrying:
            held.hurry(now)
            self._wake.set()
        self._waiters.append((kid, waiter))

    async def run(self) -> None:
        """Fetch until cancelled; requests that wait then are told that there is nothing to wait for."""
        try:
            while True:
                await self._until_due()
                await self._refresh()
        finally:
            for _, waiter in self._waiters:
                settle(waiter, Unavailable("the issuer is not in force any more"))

    async def _until_due(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._held.due - self._clock())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _refresh(self) -> None:
        """One fetch. A request for an unknown kid that comes while a periodic one is under way gets one of its own."""
        held, hurried = self._held, self._held.hurrying
        self._wake.clear()
        held.fetching = True
        try:
            outcome = await self._fetch()
        except Exception as error:  # noqa: BLE001 - the next fetch must happen, whatever became of this one
            _log.error("unexpected exception", extra=log.fields(source=held.source.url, stack=log.stack(error)))
            outcome = FetchFailed("internal error")
        finally:
            held.fetching = False
        self._take(outcome)
        if hurried:
            held.hurrying = False
        self._tell()

    def _take(self, outcome: FreshKeys | FetchFailed) -> None:
        held, now, spread = self._held, self._clock(), _random.random()
        before = held.keys, held.error
        match outcome:
            case FreshKeys():
                held.succeeded(outcome.keys, now, fresh_for=outcome.fresh_for, spread=spread)
            case FetchFailed():
                held.failed(outcome.detail, now, spread=spread)
        if (held.keys, held.error) != before:
            _say(held)
        self._noted(isinstance(outcome, FreshKeys))

    def _tell(self) -> None:
        """Settle everybody but those whose own fetch is still to come."""
        held = self._held
        waiters, self._waiters = self._waiters, []
        for kid, waiter in waiters:
            if held.error and not held.hurrying:
                settle(waiter, Unavailable(held.error))
            else:
                self.join(kid, waiter)


def _say(held: FetchedKeys) -> None:
    """One line when the keys of a source or its fault change."""
    said = {"source": held.source.url, "keys": len(held.keys.keys) if held.keys else 0}
    if held.error:
        _log.warning("keys could not be fetched", extra=log.fields(error=held.error, **said))
    else:
        _log.info("keys fetched", extra=log.fields(skipped=held.keys.problems if held.keys else (), **said))
