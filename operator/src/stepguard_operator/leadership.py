"""Keeping the Lease, or waiting for it.

While the API server cannot be reached the active operator goes on serving what it published: nobody else can take the
Lease from it then, or somebody did and publishes under a larger epoch. It publishes nothing new until it is certain
again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

from stepguard_operator import lease as rules
from stepguard_operator.api import Api, ApiError
from stepguard_operator.complaints import Complaints
from stepguard_operator.lease import LEASE_NAME, LEASE_SECONDS, Lease, Step

REQUEST_SECONDS: Final = 4.0
"""Less than the time between renewals, so that a hanging request does not cost the Lease."""
RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Leader(Protocol):
    """Who is active: Leadership or SoleLeadership."""

    @property
    def epoch(self) -> int | None:
        """None for a standby."""

    @property
    def certain(self) -> bool:
        """Whether we are active and nobody else can be."""

    async def run(self) -> None:
        """Keep it, or wait for it; for ever."""

    async def release(self) -> None:
        """Give it up, where we have it. Never raises."""


class Leadership:
    """`epoch` is None for a standby. `changed` is called after each change of `epoch` or of certainty."""

    def __init__(self, api: Api, namespace: str, identity: str, *, changed: Callable[[], None]) -> None:
        self.epoch: int | None = None
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._changed = changed
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._lease: Lease | None = None
        self._seen: Lease | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._complaints = Complaints(_log)

    @property
    def certain(self) -> bool:
        """Whether we are active and nobody else can be: our last renewal began less than the Lease's time ago."""
        return self.epoch is not None and time.monotonic() - self._renewed_at < LEASE_SECONDS

    async def run(self) -> None:
        """Take the Lease when it is free, and renew it; for ever."""
        was_certain = False
        while True:
            pause = RETRY_SECONDS
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    pause = await self._turn()
                self._complaints.over("the Lease")
            except (ApiError, TimeoutError) as error:
                self._complaints.say("the Lease", str(error) or "no answer in time")
            if self.certain != was_certain:
                was_certain = self.certain
                self._changed()
            await asyncio.sleep(pause)

    async def release(self) -> None:
        """Give the Lease up, where we hold it, so that the next one need not wait. Never raises."""
        held, self._lease, self.epoch = self._lease, None, None
        if held is None:
            return
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._put(rules.released(held, now=_microseconds()))
            _log.info("released the Lease")
        except (ApiError, TimeoutError) as error:
            _log.warning("the Lease is not released, it will end by itself: %s", str(error) or "no answer in time")

    async def _turn(self) -> float:
        """Look and act once; returns how long to wait."""
        began = time.monotonic()
        raw = await self._api.get(f"{self._collection}/{LEASE_NAME}")
        lease = rules.parse_lease(raw) if raw is not None else None
        if lease != self._seen:
            self._seen, self._seen_at = lease, began
        match rules.next_step(lease, identity=self._identity, unchanged_for=began - self._seen_at):
            case Step.TAKE:
                await self._take(lease, began)
            case Step.RENEW if lease is not None:
                await self._write(rules.renewed(lease, now=_microseconds()), began)
            case _:
                self._lost(lease)
        return rules.RENEW_SECONDS if self.epoch is not None else rules.POLL_SECONDS

    async def _take(self, lease: Lease | None, began: float) -> None:
        await self._write(rules.taken(lease, identity=self._identity, now=_microseconds()), began)
        if self.epoch is not None:
            _log.info("this operator is active now, epoch %d", self.epoch)
            self._changed()

    async def _write(self, lease: Lease, began: float) -> None:
        """Take or renew. 409: somebody was faster, which the next turn looks at."""
        try:
            self._lease = self._seen = await self._put(lease)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            _log.info("somebody else wrote the Lease first")
            return
        self._seen_at = self._renewed_at = began
        self.epoch = self._lease.acquired

    async def _put(self, lease: Lease) -> Lease:
        body = rules.lease_object(lease, self._namespace)
        if "resourceVersion" in lease.metadata:
            return rules.parse_lease(await self._api.replace(f"{self._collection}/{LEASE_NAME}", body))
        return rules.parse_lease(await self._api.create(self._collection, body))

    def _lost(self, lease: Lease | None) -> None:
        if self.epoch is None:
            return
        _log.warning("the Lease was taken by %s: this operator stands by", lease.holder if lease else "nobody")
        self.epoch, self._lease = None, None
        self._changed()


class SoleLeadership:
    """`--lease none`: a single operator outside a cluster, always active; the epoch is when it started."""

    def __init__(self) -> None:
        self.epoch: int | None = _microseconds()

    @property
    def certain(self) -> bool:
        """Nobody else can be active."""
        return True

    async def run(self) -> None:
        """Nothing to keep."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Nothing to give up."""


def _microseconds() -> int:
    return time.time_ns() // 1000
