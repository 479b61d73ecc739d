"""Following the EndpointSlices of one Service: a list, then a watch, again and again."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from stepguard_operator.api import Api, ApiError
from stepguard_operator.complaints import Complaints
from stepguard_operator.endpoints import ready_pods

RETRY_SECONDS: Final = 2.0
WATCH_SECONDS: Final = 300

_log = logging.getLogger(__name__)


class ReadyPods:
    """Tells `changed` which pods of the Service are ready, after each change. What was last known stays on failure."""

    def __init__(self, api: Api, namespace: str, service: str, *, changed: Callable[[frozenset[str]], None]) -> None:
        self._api = api
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._selector = {"labelSelector": f"kubernetes.io/service-name={service}"}
        self._subject = f"the EndpointSlices of {namespace}/{service}"
        self._changed = changed
        self._slices: dict[str, dict[str, Any]] = {}
        self._complaints = Complaints(_log)

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                version = await self._list()
                self._complaints.over(self._subject)
                await self._watch(version)
            except ApiError as error:
                self._complaints.say(self._subject, str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self) -> str:
        items, version = await self._api.list(self._path, self._selector)
        self._slices = {item["metadata"]["name"]: item for item in items}
        self._changed(ready_pods(self._slices.values()))
        return version

    async def _watch(self, version: str) -> None:
        """Until the server ends it, which it does now and then, or its version is gone."""
        parameters = {**self._selector, "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        async for event_type, item in self._api.watch(self._path, parameters):
            match event_type:
                case "ADDED" | "MODIFIED":
                    self._slices[item["metadata"]["name"]] = item
                case "DELETED":
                    self._slices.pop(item["metadata"]["name"], None)
                case _:
                    return
            self._changed(ready_pods(self._slices.values()))
