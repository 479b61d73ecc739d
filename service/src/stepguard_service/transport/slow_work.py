"""What may take long, off the serving loop: one thread with an event loop that fetches keys and asks about tokens.

The serving side calls `start` and gets a future that is done at the request's deadline at the latest, whatever the
authorization server does. Each source of keys and each issuer has connections, name lookups and queues of its own, so a
server that is down, slow or talks nonsense is felt by its own tokens only.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future

from stepguard_service.core.model import Introspection, Issuer
from stepguard_service.core.slow import Introspected, KeysLooked, Need, NeedIntrospection, NeedKeys, Unavailable, Waited
from stepguard_service.limits import INTROSPECTIONS_IN_FLIGHT
from stepguard_service.server_trust import trust_context
from stepguard_service.stores.keys import FetchedKeys, IssuerKeys, KeySource, KeyStore, Parse
from stepguard_service.transport.http_fetch import FetchFailed, HttpClient
from stepguard_service.transport.introspection_answers import IntrospectionAnswers
from stepguard_service.transport.introspection_desk import IntrospectionDesk
from stepguard_service.transport.key_fetch import FreshKeys, fetch_keys
from stepguard_service.transport.key_refresh import KeyRefresher
from stepguard_service.transport.secret_files import SecretFiles
from stepguard_service.transport.waiters import WaitingRoom, settle, settled

_KEY_CONNECTIONS = 2
_NOT_IN_FORCE = Unavailable("the issuer is not in force any more")
_CROWDED = Unavailable("too many requests wait for this issuer")

CountRefresh = Callable[[str, str], None]
"""(name of the TokenIssuer, `success` or `failure`): one fetch of its keys."""


FetchKeys = Callable[[HttpClient, KeySource, Parse], Awaitable[FreshKeys | FetchFailed]]


class SlowWork:
    """`open` starts its thread, `close` ends it. All other methods may be called from any thread and never wait."""

    def __init__(
        self,
        keys: KeyStore,
        *,
        secrets: SecretFiles,
        count: CountRefresh,
        fetch: FetchKeys = fetch_keys,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.answers = IntrospectionAnswers()
        self._keys = keys
        self._secrets = secrets
        self._count = count
        self._fetch = fetch
        self._wall = wall
        self._room = WaitingRoom()
        # Reading the system's CAs takes tens of milliseconds: once, before anything is served.
        self._system = trust_context()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="stepguard-slow", daemon=True)
        self._refreshers: dict[FetchedKeys, tuple[KeyRefresher, asyncio.Task[None]]] = {}
        self._desks: dict[str, IntrospectionDesk] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End everything that is under way; who waits is told that it is unavailable."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def admit(self, issuers: Iterable[Issuer], now: float) -> None:
        """Know these issuers too and begin to fetch their keys, before rules name them. `now`: time.monotonic()."""
        issuers = tuple(issuers)
        self._keys.admit(issuers, now)
        self.answers.admit(issuer.hash for issuer in issuers)
        self._loop.call_soon_threadsafe(self._follow)

    def retain(self, issuers: Iterable[Issuer]) -> None:
        """Forget all other issuers at once, keys and answers, and end what is under way for them."""
        issuers = tuple(issuers)
        self._keys.retain(issuers)
        self.answers.retain(frozenset(issuer.hash for issuer in issuers))
        self._loop.call_soon_threadsafe(self._follow)

    def states(self, now: float) -> tuple[IssuerKeys, ...]:
        """What is known of each issuer in force. `now`: time.monotonic()."""
        return self._keys.states(now)

    def remembered(self, need: NeedIntrospection) -> Introspected | None:
        """What the issuer said about this token, while that counts: there is nothing to wait for then."""
        return self.answers.lookup(need.issuer.hash, need.token, time.monotonic())

    def start(self, need: Need, deadline: float) -> Future[Waited]:
        """Get what a decision needs, together with whoever needs the same.

        The future is done at `deadline` (time.monotonic()) at the latest, at once where the answer is known, where it
        cannot be had, or where 1 000 requests wait for this issuer already. It never ends in an exception.
        """
        now = time.monotonic()
        known = self._known(need, now)
        if known is not None:
            return settled(known)
        waiter = self._room.enter(need.issuer.hash)
        if waiter is None:
            return settled(_CROWDED)
        try:
            self._loop.call_soon_threadsafe(self._begin, need, deadline, waiter)
        except RuntimeError:  # the loop is closed
            settle(waiter, Unavailable("the service is shutting down"))
        return waiter

    def _known(self, need: Need, now: float) -> Waited | None:
        """What can be said on the serving thread, so that a flood costs no change of threads. Only reads."""
        if not self._keys.in_force(need.issuer):
            return _NOT_IN_FORCE
        match need:
            case NeedIntrospection(issuer, token):
                return self.answers.lookup(issuer.hash, token, now)
            case NeedKeys(issuer, kid):
                held = self._keys.source_of(issuer)
                return KeysLooked() if held is None else held.answer(kid, now)

    # --- everything below runs on the loop ----------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _begin(self, need: Need, deadline: float, waiter: Future[Waited]) -> None:
        self._loop.call_at(deadline, settle, waiter, Unavailable("no answer in time"))
        match need:
            case NeedKeys(issuer, kid):
                held = self._keys.source_of(issuer)
                if held is None or held not in self._refreshers:
                    settle(waiter, _NOT_IN_FORCE)
                else:
                    self._refreshers[held][0].join(kid, waiter)
            case NeedIntrospection(issuer, token):
                if issuer.introspection is None or not self._keys.in_force(issuer):
                    settle(waiter, _NOT_IN_FORCE)
                else:
                    self._desk(issuer, issuer.introspection).join(token, waiter)

    def _follow(self) -> None:
        """Fetch what is in force now, and nothing else."""
        sources = self._keys.sources()
        for held in sources:
            if held not in self._refreshers:
                self._refreshers[held] = self._refresher(held)
        for held in self._refreshers.keys() - set(sources):
            self._refreshers.pop(held)[1].cancel()
        for gone in [known for known, desk in self._desks.items() if not self._keys.in_force(desk.issuer)]:
            task = self._loop.create_task(self._desks.pop(gone).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _refresher(self, held: FetchedKeys) -> tuple[KeyRefresher, asyncio.Task[None]]:
        client = HttpClient(held.source.ca_bundle, system=self._system, connections=_KEY_CONNECTIONS)

        async def fetch() -> FreshKeys | FetchFailed:
            return await self._fetch(client, held.source, self._keys.parse)

        def noted(good: bool) -> None:  # noqa: FBT001 - the only thing there is to say
            for name in self._keys.names_of(held):
                self._count(name, "success" if good else "failure")

        async def run(refresher: KeyRefresher) -> None:
            try:
                await refresher.run()
            finally:
                await client.close()

        refresher = KeyRefresher(held, fetch, clock=time.monotonic, noted=noted)
        return refresher, self._loop.create_task(run(refresher))

    def _desk(self, issuer: Issuer, introspection: Introspection) -> IntrospectionDesk:
        if issuer.hash not in self._desks:
            self._desks[issuer.hash] = IntrospectionDesk(
                issuer,
                introspection,
                client=HttpClient(issuer.ca_bundle, system=self._system, connections=INTROSPECTIONS_IN_FLIGHT),
                secrets=self._secrets,
                answers=self.answers,
                clock=time.monotonic,
                wall=self._wall,
            )
        return self._desks[issuer.hash]

    async def _stop(self) -> None:
        self._keys.retain(())
        self._follow()
        tasks = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task()]
        await asyncio.gather(*tasks, return_exceptions=True)
