"""The few requests that we make of the Kubernetes API ourselves. kopf only watches."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from stepguard_operator.connection import Cluster

PAGE: Final = 500
"""Objects in one answer to a list."""
FIELD_MANAGER: Final = "stepguard-operator"
RETRIED: Final = 3
WATCH_READ_SECONDS: Final = 330.0
"""Longer than any watch that we ask for lasts."""
LARGE: Final = 64 * 1024
"""Bytes of an answer that is decoded off the loop."""

Object = dict[str, Any]


class ApiError(Exception):
    """The API refused a request, or did not answer (status 0). The text is one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def unavailable(self) -> bool:
        """Whether it says nothing about the request: nobody there, overloaded, or a fault of the server's."""
        return self.status in {0, HTTPStatus.TOO_MANY_REQUESTS} or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class Api:
    """Requests over one session; every method raises ApiError."""

    def __init__(self, cluster: Cluster, session: aiohttp.ClientSession) -> None:
        self._server = cluster.server
        self._session = session

    async def get(self, path: str) -> Object | None:
        """The object, None where there is none (404)."""
        try:
            return await self._request("GET", path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def list(self, path: str, parameters: Mapping[str, str] | None = None) -> tuple[Sequence[Object], str]:
        """All objects of a collection and the version at which that was so; page by page."""
        for _ in range(RETRIED):
            try:
                return await self._pages(path, parameters or {})
            except ApiError as error:
                # The version whose pages we were reading is gone: begin again.
                if error.status != HTTPStatus.GONE:
                    raise
        raise ApiError(HTTPStatus.GONE, f"{path}: the list expired {RETRIED} times while it was read")

    async def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """POST."""
        return await self._request("POST", path, body=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Object:
        """PUT; refused with 409 where the object is not at the version of `body` any more."""
        return await self._request("PUT", path, body=body)

    async def apply_status(self, path: str, body: Mapping[str, Any]) -> Object:
        """Server-side apply of the whole status as FIELD_MANAGER; 409 where `body` names another uid."""
        parameters = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request(
            "PATCH", f"{path}/status", parameters=parameters, body=body, content_type="application/apply-patch+yaml"
        )

    async def watch(self, path: str, parameters: Mapping[str, str]) -> AsyncIterator[tuple[str, Object]]:
        """(type, object) of each event until the server ends the watch; dead connections end it after a while."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=WATCH_READ_SECONDS)
        try:
            async with self._session.get(
                f"{self._server}{path}", params={**parameters, "watch": "true"}, timeout=timeout
            ) as response:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    content = await response.read()
                    raise ApiError(response.status, f"WATCH {path}: {response.status} {_message(content)}")
                async for line in _lines(response.content):
                    event = json.loads(line)
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"WATCH {path}: {str(error) or type(error).__name__}") from error

    async def _pages(self, path: str, parameters: Mapping[str, str]) -> tuple[Sequence[Object], str]:
        items: list[Object] = []
        following: dict[str, str] = {}
        while True:
            page = await self._request("GET", path, parameters={**parameters, "limit": str(PAGE), **following})
            items.extend(page.get("items") or ())
            metadata = page.get("metadata") or {}
            if not (token := metadata.get("continue")):
                return items, metadata.get("resourceVersion", "")
            following = {"continue": token}

    async def _request(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **({"Content-Type": content_type} if data else {})}
        try:
            async with self._session.request(
                method, f"{self._server}{path}", params=parameters, data=data, headers=headers
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {str(error) or type(error).__name__}") from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(response.status, f"{method} {path}: {response.status} {_message(content)}")
        # A list of a thousand policies takes long enough to decode that streams would wait for it.
        large = len(content) > LARGE
        decoded: Object = await asyncio.to_thread(json.loads, content) if large else json.loads(content)
        return decoded


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: the reader's own iteration gives up on long ones."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line


def _message(content: bytes) -> str:
    """What a Status object says; of any other answer the beginning."""
    try:
        decoded = json.loads(content)
    except ValueError:
        decoded = None
    text = decoded.get("message", "") if isinstance(decoded, dict) else ""
    return " ".join(str(text or content[:200].decode(errors="replace")).split())
