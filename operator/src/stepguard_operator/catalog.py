"""All objects of both kinds: what the watch tells, and complete lists of our own.

kopf tells nothing about an object that was deleted while a watch was interrupted, so we list both kinds ourselves: at
start, every `resync` seconds, after each list that kopf makes, and after a take-over. A list that fails never means
that there is nothing: what was known stays.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from stepguard_policy.documents import parse_object
from stepguard_policy.resources import IssuerResource, PolicyResource, Resource

from stepguard_operator.api import Api, ApiError
from stepguard_operator.complaints import Complaints
from stepguard_operator.kinds import Kind
from stepguard_operator.metrics import Metrics
from stepguard_operator.store import Change, Key, Objects, Stored, key_of, version_of

SETTLE_SECONDS: Final = 0.2
"""After kopf began a list: ours comes after it, and one is enough for both kinds."""
FIRST_RETRY_SECONDS: Final = 1.0
LAST_RETRY_SECONDS: Final = 15.0
UNDELIVERED_SECONDS: Final = 30.0
"""For the watch to deliver what a list of ours has shown."""

Parsed = TypeVar("Parsed", PolicyResource, IssuerResource)

_log = logging.getLogger(__name__)

Touched = Callable[[Kind, Key | None, Change], None]
"""(kind, object or None for several, what happened)."""


class Catalog:
    """Belongs to one loop."""

    def __init__(
        self, api: Api, namespace: str, metrics: Metrics, *, touched: Touched, listed: Callable[[], None]
    ) -> None:
        """`namespace` empty: policies of all. `listed` is called after each complete list of both kinds."""
        self._api = api
        self._namespace = namespace
        self._metrics = metrics
        self._touched = touched
        self._listed = listed
        self._objects: dict[Kind, Objects[Resource]] = {kind: Objects(_parse) for kind in Kind}
        self._wanted = asyncio.Event()
        self._done = asyncio.Condition()
        self._undelivered: dict[tuple[Kind, Key], tuple[int, float]] = {}
        self._complaints = Complaints(_log)
        self.listed_at: float | None = None
        """When both kinds were last listed completely, in time.monotonic(); None: never."""
        self.lists_begun = 0
        """Grows with each list, so that one can wait for the end of a list that began after something."""
        self.lists_done = 0
        """The number of the last list that was taken in completely."""

    def __getitem__(self, kind: Kind) -> Objects[Resource]:
        return self._objects[kind]

    def stored(self) -> Iterator[tuple[Kind, Stored[Resource]]]:
        """Everything, with its kind."""
        for kind, objects in self._objects.items():
            for stored in objects:
                yield kind, stored

    def heard(self, kind: Kind, event_type: str | None, raw: Mapping[str, Any]) -> None:
        """The watch tells of an object; the type is None where it comes from a list of kopf's."""
        objects = self._objects[kind]
        change = objects.gone(raw) if event_type == "DELETED" else objects.seen({**kind.identification, **raw})
        if (found := self._undelivered.get((kind, key_of(raw)))) and found[0] <= version_of(raw["metadata"]):
            del self._undelivered[kind, key_of(raw)]
        if change.any:
            self._touched(kind, key_of(raw), change)

    def wrote(self, kind: Kind, raw: Mapping[str, Any]) -> None:
        """The answer to a write of our own."""
        if (change := self._objects[kind].seen(raw)).any:
            self._touched(kind, key_of(raw), change)

    def list_soon(self) -> None:
        """Something may have been missed."""
        self._wanted.set()

    async def list_now(self) -> None:
        """Return after a complete list that began after this call."""
        number = self.lists_begun + 1
        self.list_soon()
        async with self._done:
            await self._done.wait_for(lambda: self.lists_done >= number)

    @property
    def watch_is_behind(self) -> bool:
        """Whether the watch has not delivered for a while what a list has shown."""
        now = time.monotonic()
        return any(now - since > UNDELIVERED_SECONDS for _, since in self._undelivered.values())

    def watch_started(self) -> None:
        """A new watch has as much time as the first one had."""
        now = time.monotonic()
        self._undelivered = {key: (version, now) for key, (version, _) in self._undelivered.items()}

    async def run(self, resync: float) -> None:
        """List now, when asked to, and every `resync` seconds."""
        failures = 0
        while True:
            self._wanted.clear()
            try:
                await self._list()
            except ApiError as error:
                failures += 1
                self._metrics.lists.labels("failed").inc()
                self._complaints.say("the list of policies", f"what was known stays: {error}")
                await asyncio.sleep(min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10)))
                continue
            failures = 0
            try:
                async with asyncio.timeout(resync):
                    await self._wanted.wait()
                    await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                continue

    async def _list(self) -> None:
        self.lists_begun += 1
        number = self.lists_begun
        lists = {kind: await self._api.list(kind.collection(self._namespace)) for kind in Kind}
        for kind, (items, version) in lists.items():
            self._note_undelivered(kind, items)
            change = self._objects[kind].replace([{**kind.identification, **item} for item in items], version)
            if change.any:
                self._touched(kind, None, change)
        self.listed_at, self.lists_done = time.monotonic(), number
        self._metrics.lists.labels("complete").inc()
        self._metrics.last_list.set(time.time())
        self._complaints.over("the list of policies")
        self._listed()
        async with self._done:
            self._done.notify_all()

    def _note_undelivered(self, kind: Kind, items: Sequence[Mapping[str, Any]]) -> None:
        now = time.monotonic()
        exist = {(kind, key_of(item)) for item in items}
        self._undelivered = {
            key: value for key, value in self._undelivered.items() if key[0] is not kind or key in exist
        }
        for item in items:
            known = self._objects[kind].get(key_of(item))
            version = version_of(item["metadata"])
            if version and (known is None or known.version < version):
                self._undelivered[kind, key_of(item)] = (version, now)


def _parse(raw: Mapping[str, Any], before: Resource | None) -> Resource | None:
    parsed = parse_object(raw, source=None)
    if isinstance(parsed, tuple):
        _log.error("an object that the API server should have refused: %s", "; ".join(map(str, parsed)))
        return None
    return _sharing(parsed, before)


def _sharing(parsed: Resource, before: Resource | None) -> Resource:
    """The same, with one object for equal specs: what is identical costs the compiler no comparison."""
    match parsed, before:
        case PolicyResource(), PolicyResource() | None:
            return _shared(parsed, before)
        case IssuerResource(), IssuerResource() | None:
            return _shared(parsed, before)
        case _:
            return parsed


def _shared(parsed: Parsed, before: Parsed | None) -> Parsed:
    spec, accepted = parsed.spec, parsed.accepted
    if before is not None and before.spec == spec:
        spec = before.spec
    if accepted is not None and accepted.spec == spec:
        accepted = replace(accepted, spec=spec)
    elif before is not None and before.accepted == accepted:
        accepted = before.accepted
    return replace(parsed, spec=spec, accepted=accepted)
