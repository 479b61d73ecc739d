"""HTTP requests to authorization servers, each server with connections, threads and bounds of its own.

Redirects are not followed, bodies are cut off at their limit while they are read, compression is not asked for, cookies
and .netrc are not known. https verifies against the system's CAs or the TokenIssuer's own; http goes to loopback only.
Proxies come from the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY).
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from stepguard_service.proof.metadata import is_loopback, may_be_fetched
from stepguard_service.server_trust import trust_context

_OK: Final = 200
_CHUNK: Final = 16 * 1024
_DETAIL: Final = 200
_NAME_LOOKUPS: Final = 2
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "stepguard-service",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a 200 answer, and for how many seconds its Cache-Control calls it fresh (None: it says nothing)."""

    body: bytes
    fresh_for: int | None = None


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """Why there is no body, in one line. `status` is that of the answer, 0 where there was none."""

    detail: str
    status: int = 0


class HttpClient:
    """The connections to one server. Used on one event loop; requests end with a value, never with an exception."""

    def __init__(self, ca_bundle: str, *, system: ssl.SSLContext, connections: int) -> None:
        self._ca_bundle = ca_bundle
        self._system = system
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, limit: int, seconds: float) -> Fetched | FetchFailed:
        """The document at `url`, of at most `limit` bytes, within `seconds`."""
        return await self._request("GET", url, {}, limit=limit, seconds=seconds)

    async def post_form(
        self, url: str, form: Mapping[str, str], *, authorization: str, limit: int, seconds: float
    ) -> Fetched | FetchFailed:
        """What `url` answers to a form, with the bounds of `get`."""
        headers = {"Authorization": authorization}
        return await self._request("POST", url, headers, form=form, limit=limit, seconds=seconds)

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        form: Mapping[str, str] | None = None,
        limit: int,
        seconds: float,
    ) -> Fetched | FetchFailed:
        if not may_be_fetched(url):
            return FetchFailed("neither https nor http of a loopback host")
        try:
            async with asyncio.timeout(seconds):
                session = self._open()
                async with session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=form,
                    proxy=proxy_for(url),
                    allow_redirects=False,
                ) as response:
                    return await _read(response, limit)
        except TimeoutError:
            return FetchFailed(f"no answer within {seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return FetchFailed(_one_line(error))

    def _open(self) -> aiohttp.ClientSession:
        """Raises ssl.SSLError or ValueError where the CA bundle is none."""
        if self._session is None:
            context = _private_cas(self._ca_bundle) if self._ca_bundle else self._system
            connector = aiohttp.TCPConnector(ssl=context, limit=self._connections, resolver=_OwnThreads())
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def _private_cas(bundle: str) -> ssl.SSLContext:
    """Trust in these CAs alone. Comments of a bundle may be in any language; its certificates are ASCII."""
    ascii_part = bundle.encode("ascii", "ignore").decode()
    if not ascii_part.strip():
        raise ValueError("caBundle has no certificate")
    return trust_context(pem=ascii_part)


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL. Loopback hosts are reached directly: they never leave us."""
    parts = urlsplit(url)
    proxies = getproxies_environment()
    if is_loopback(parts) or proxy_bypass(parts.netloc, proxies):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def fresh_for(headers: CIMultiDict[str] | CIMultiDictProxy[str]) -> int | None:
    """Seconds for which Cache-Control (RFC 9111 §5.2.2) calls an answer fresh, less its Age; None: it does not say."""
    directives = [part.strip().lower() for value in headers.getall("Cache-Control", []) for part in value.split(",")]
    if any(directive.partition("=")[0] in {"no-store", "no-cache"} for directive in directives):
        return 0
    for directive in directives:
        name, _, value = directive.partition("=")
        if name == "max-age":
            return max(0, _seconds(value.strip('"')) - _seconds(headers.get("Age", "0")))
    return None


def _seconds(text: str) -> int:
    """A whole number of seconds; what is none counts as 0, which is what an unreadable lifetime means."""
    return int(text[:9]) if text.isascii() and text.isdigit() else 0


async def _read(response: aiohttp.ClientResponse, limit: int) -> Fetched | FetchFailed:
    if response.status != _OK:
        response.close()
        return FetchFailed(f"status {response.status}", response.status)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        response.close()
        return FetchFailed("a compressed answer, which was not asked for", response.status)
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            response.close()
            return FetchFailed(f"longer than {limit} bytes", response.status)
    return Fetched(bytes(body), fresh_for(response.headers))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text)[:_DETAIL]


class _OwnThreads(AbstractResolver):
    """Name lookups in threads of one client alone: where they hang, nobody else waits, and the process still ends."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(_NAME_LOOKUPS)

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError."""
        if not self._free.acquire(blocking=False):
            raise OSError(errno.EAGAIN, f"name lookups of this client hang; {host} has to wait")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def deliver(found: list[ResolveResult] | OSError) -> None:
            if answer.done():
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def look_up() -> None:
            found = _addresses(host, port, family)
            self._free.release()
            with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(deliver, found)

        threading.Thread(target=look_up, name="stepguard-names", daemon=True).start()
        return await answer

    @override
    async def close(self) -> None:
        """Nothing to release: its threads end by themselves."""


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult] | OSError:
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:
        return OSError(errno.EINVAL, f"not a name: {error}")
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in found
    ]
