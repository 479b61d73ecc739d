"""Keeping a watch alive: whatever ends it, and when it falls behind our own lists, it is started again."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from random import SystemRandom
from typing import Any, Final

from yarl import URL

from stepguard_operator.catalog import Catalog
from stepguard_operator.connection import Cluster
from stepguard_operator.handlers import Watch
from stepguard_operator.kinds import Kind
from stepguard_operator.metrics import Metrics

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
HEALTHY_SECONDS: Final = 60.0
"""A watch that lived as long begins with the shortest pause again."""
LOOK_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)
_random = SystemRandom()


class Watching:
    """Runs one Watch after the other, and hands what it hears to the catalog, in the catalog's loop."""

    def __init__(self, cluster: Cluster, namespace: str, catalog: Catalog, metrics: Metrics) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._catalog = catalog
        self._metrics = metrics
        self._collections = {kind.collection(namespace) for kind in Kind}

    async def run(self) -> None:
        """For ever, once both kinds could be listed: before that kopf would find nothing to watch."""
        failures = 0
        while True:
            await self._catalog.list_now()
            began = asyncio.get_running_loop().time()
            await self._one_life()
            self._metrics.watch_restarts.inc()
            lived = asyncio.get_running_loop().time() - began
            failures = 0 if lived > HEALTHY_SECONDS else failures + 1
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures, 10))
            await asyncio.sleep(_random.uniform(longest / 2, longest))

    async def _one_life(self) -> None:
        loop = asyncio.get_running_loop()
        watch = Watch(
            self._cluster,
            self._namespace,
            heard=partial(_across, loop, self._catalog.heard),
            requested=partial(_across, loop, self._requested),
        )
        self._catalog.watch_started()
        life = loop.run_in_executor(None, watch.run)
        try:
            while not (await asyncio.wait({life}, timeout=LOOK_SECONDS))[0]:
                if self._catalog.watch_is_behind:
                    _log.warning("the watch does not deliver what our own list shows; starting it again")
                    watch.stop()
            await life
            _log.warning("the watch ended; starting it again")
        except Exception as error:  # noqa: BLE001  (kopf ends with whatever went wrong inside)
            _log.warning("the watch ended, starting it again: %s: %s", type(error).__name__, error)
        finally:
            watch.stop()

    def _requested(self, method: str, url: URL, status: int) -> None:
        """A request of kopf's ended: after each of its lists we make one of our own."""
        self._metrics.requests.labels(method, status).inc()
        if method == "GET" and status == HTTPStatus.OK and url.path in self._collections and "watch" not in url.query:
            self._catalog.list_soon()


def _across(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function in its own loop, from kopf's thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)
