"""Writes status: what changes `accepted` first and at once, the rest at a gentle pace, and nothing twice.

The wanted statuses are all that is remembered. A write that fails is simply still wanted: it is tried again later,
each time a little later for the same object.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from stepguard_operator.api import Api, ApiError
from stepguard_operator.happenings import event, happening
from stepguard_operator.kinds import Kind
from stepguard_operator.metrics import Metrics
from stepguard_operator.store import Key

WRITES_A_SECOND: Final = 20
AT_ONCE: Final = 8
FIRST_RETRY_SECONDS: Final = 1.0
LAST_RETRY_SECONDS: Final = 300.0

_log = logging.getLogger(__name__)

Target: TypeAlias = tuple[Kind, Key]


@dataclass(frozen=True, slots=True)
class Write:
    """A status that an object should have. `before` is what it has; `urgent`: status.accepted changes."""

    kind: Kind
    metadata: Mapping[str, Any]
    before: Mapping[str, Any]
    status: Mapping[str, Any]
    urgent: bool


class StatusWriter:
    """`want` and `unwant` say what should be; `run` makes it so."""

    def __init__(
        self,
        api: Api,
        metrics: Metrics,
        *,
        allowed: Callable[[], bool],
        written: Callable[[Kind, Mapping[str, Any]], None],
    ) -> None:
        """`allowed`: whether we are active beyond doubt. `written` gets each object as the API answered."""
        self._api = api
        self._metrics = metrics
        self._allowed = allowed
        self._written = written
        self._wanted: dict[Target, Write] = {}
        self._writing: set[Target] = set()
        self._failures: dict[Target, tuple[int, float]] = {}
        self._wake = asyncio.Event()
        self._next_gentle = 0.0

    def want(self, target: Target, write: Write) -> None:
        """This is what the object's status should be."""
        self._wanted[target] = write
        self._wake.set()

    def unwant(self, target: Target) -> None:
        """The object's status is as it should be, or there is no object."""
        self._wanted.pop(target, None)

    def clear(self) -> None:
        """Want nothing: another operator writes."""
        self._wanted.clear()
        self._failures.clear()

    async def run(self) -> None:
        """Write for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                now = asyncio.get_running_loop().time()
                target = self._choose(now) if self._allowed() and len(self._writing) < AT_ONCE else None
                if target is None:
                    await self._pause(now)
                    continue
                write = self._wanted.pop(target)
                if not write.urgent:
                    self._next_gentle = max(self._next_gentle, now) + 1 / WRITES_A_SECOND
                self._writing.add(target)
                group.create_task(self._write(target, write))

    def _choose(self, now: float) -> Target | None:
        """The next one that may be written now."""
        ready = [
            (target, write)
            for target, write in self._wanted.items()
            if target not in self._writing and self._failures.get(target, (0, 0.0))[1] <= now
        ]
        urgent = next((target for target, write in ready if write.urgent), None)
        if urgent is not None or self._next_gentle > now:
            return urgent
        return ready[0][0] if ready else None

    async def _pause(self, now: float) -> None:
        """Until something is wanted or done, or a pause is over."""
        self._wake.clear()
        waits = [at - now for _, at in self._failures.values() if at > now]
        if self._wanted and self._next_gentle > now:
            waits.append(self._next_gentle - now)
        if self._wanted and not self._allowed():
            waits.append(FIRST_RETRY_SECONDS)
        try:
            async with asyncio.timeout(min(waits, default=None)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _write(self, target: Target, write: Write) -> None:
        kind, (namespace, name) = target
        body = {
            **kind.identification,
            "metadata": {
                "name": name,
                "uid": write.metadata["uid"],
                **({"namespace": namespace} if namespace else {}),
            },
            "status": write.status,
        }
        try:
            answer = await self._api.apply_status(kind.item(namespace, name), body)
        except ApiError as error:
            self._failed(target, write, error)
        else:
            self._failures.pop(target, None)
            self._metrics.status_writes.labels("written").inc()
            self._written(kind, answer)
            await self._tell(write, answer)
        finally:
            self._writing.discard(target)
            self._wake.set()

    def _failed(self, target: Target, write: Write, error: ApiError) -> None:
        """Try again later; not at all where the object is gone or another one has its name: the watch will say so."""
        self._metrics.status_writes.labels("failed").inc()
        if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            return
        failures = self._failures.get(target, (0, 0.0))[0] + 1
        pause = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10))
        self._failures[target] = (failures, asyncio.get_running_loop().time() + pause)
        self._wanted.setdefault(target, write)
        _log.warning("status is not written, trying again in %g s: %s", pause, error)

    async def _tell(self, write: Write, answer: Mapping[str, Any]) -> None:
        """One Event where the state is another one."""
        what = happening(write.before, write.status)
        if what is None:
            return
        body = event(write.kind.kind, answer["metadata"], what, rfc3339())
        try:
            await self._api.create(f"/api/v1/namespaces/{body['metadata']['namespace']}/events", body)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:  # 409: told before
                _log.warning("no Event about a change of state: %s", error)


def rfc3339() -> str:
    """Now, as the API writes times."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
