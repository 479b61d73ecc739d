"""The watches, by kopf: raw events only, so it writes nothing (no finalizers, no annotations, no peering, no Events).

kopf runs in a thread and a loop of its own. Whatever goes wrong there ends there; who started it starts it again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import kopf
from stepguard_policy.resources import GROUP, VERSION

from stepguard_operator.connection import CONNECT_SECONDS, Cluster, Observed
from stepguard_operator.kinds import Kind

Heard: TypeAlias = Callable[[Kind, str | None, Mapping[str, Any]], None]
"""(kind, type of the event, object), called in kopf's thread; the type is None for objects of an initial list."""
LOGIN_PAUSE_SECONDS: Final = 1.0
"""After the API refused our credentials."""

# It says so of every operator outside the main thread.
logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)


class Watch:
    """One life of kopf. `run` in a thread; `stop` from any other."""

    def __init__(self, cluster: Cluster, namespace: str, *, heard: Heard, requested: Observed) -> None:
        """`namespace` empty: policies of all namespaces. `requested` hears of kopf's requests, in kopf's thread."""
        self._cluster = cluster
        self._namespace = namespace
        self._heard = heard
        self._requested = requested
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def run(self) -> None:
        """Watch until something goes wrong or `stop` is called. Raises whatever went wrong."""
        try:
            asyncio.run(self._watch())
        except asyncio.CancelledError:
            return

    def stop(self) -> None:
        """End it soon."""
        self._stopped = True
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _watch(self) -> None:
        self._loop = asyncio.get_running_loop()
        where: dict[str, Any] = {"namespaces": [self._namespace]} if self._namespace else {"clusterwide": True}
        self._task = asyncio.create_task(
            kopf.operator(registry=self._registry(), settings=_settings(), standalone=True, **where)
        )
        if not self._stopped:
            await self._task

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        logins = 0

        async def login(**_: Any) -> kopf.AiohttpSession:
            nonlocal logins
            if logins:
                await asyncio.sleep(LOGIN_PAUSE_SECONDS)
            logins += 1
            session = self._cluster.session(self._requested)
            return kopf.AiohttpSession(server=self._cluster.server, aiohttp_session=session)

        def listen(kind: Kind) -> None:
            async def hear(event: kopf.RawEvent, **_: Any) -> None:
                self._heard(kind, event["type"], event["object"])

            kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(hear)

        kopf.on.login(registry=registry)(login)
        for kind in Kind:
            listen(kind)
        return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 60.0
    settings.networking.connect_timeout = CONNECT_SECONDS
    # A short patience: when it is over kopf ends, and is started again with a list of its own.
    settings.networking.error_backoffs = (0.2, 0.5, 1.0, 2.0)
    settings.watching.connect_timeout = CONNECT_SECONDS
    # kopf would kill the whole process where its own end takes long.
    settings.process.ultimate_exiting_timeout = None
    return settings
