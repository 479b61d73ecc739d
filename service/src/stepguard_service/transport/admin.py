"""HTTP for probes and Prometheus, in threads of its own: /metrics, /healthz, /readyz and nothing else."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, socket
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from typing_extensions import override

from stepguard_service.flags import Address
from stepguard_service.transport.server import ListenError

_IDLE_SECONDS: Final = 5
"""A peer that says nothing for so long is left."""

_CONNECTIONS: Final = 32
"""Beyond them connections are closed at once; probes and scrapes need two or three."""

_STOP_SECONDS: Final = 0.1
"""How long the port may take to notice that it is to close."""

_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Probes:
    """What the two probes ask. Both are called from the server's threads."""

    alive: Callable[[], bool]
    ready: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Page:
    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT


class AdminServer:
    """Listens from the moment it is made; `start` serves, `close` stops.

    Raises:
        ListenError: the port cannot be opened.
    """

    def __init__(self, address: Address, probes: Probes, registry: CollectorRegistry) -> None:
        pages: Mapping[str, Callable[[str], _Page]] = {
            "/healthz": lambda _: _probe(probes.alive()),
            "/readyz": lambda _: _probe(probes.ready()),
            "/metrics": lambda accept: _metrics(registry, accept),
        }
        try:
            self._server = _Server(address, pages)
        except OSError as error:
            raise ListenError((error.strerror or str(error)).lower()) from error
        serve = partial(self._server.serve_forever, poll_interval=_STOP_SECONDS)
        self._thread = threading.Thread(target=serve, name="stepguard-admin", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and close the port."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _probe(good: bool) -> _Page:  # noqa: FBT001 - the answer of a probe is all this is about
    return _Page(HTTPStatus.OK, b"ok\n") if good else _Page(HTTPStatus.SERVICE_UNAVAILABLE, b"not ok\n")


def _metrics(registry: CollectorRegistry, accept: str) -> _Page:
    encode, content_type = choose_encoder(accept)
    return _Page(HTTPStatus.OK, encode(registry), content_type)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: Address, pages: Mapping[str, Callable[[str], _Page]]) -> None:
        self.pages = pages
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        if ":" in address.host:
            self.address_family = AF_INET6
        super().__init__((address.host, address.port), _Handler)

    @override
    def process_request(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    @override
    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that went away in the middle is nobody's fault."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version = "stepguard"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        """Answer a page."""
        page = self._page()
        self.send_response(page.status)
        self.send_header("content-type", page.content_type)
        self.send_header("content-length", str(len(page.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _page(self) -> _Page:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            return _Page(HTTPStatus.NOT_FOUND, b"not found\n")
        return page(self.headers.get("accept", ""))

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Probes are not worth a line."""
