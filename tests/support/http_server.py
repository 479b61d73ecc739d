"""A small HTTP server on loopback, in threads of the test process: what it answers is data that a test may change."""

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

from typing_extensions import override

from tests.support.processes import free_port

CHUNK: Final = 64 * 1024


@dataclass(frozen=True)
class Received:
    """One request as it arrived. Header names are lower case; lines of one name stay apart."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        """All values of the header, in order."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True)
class Reply:
    """What is answered, after `delay` seconds (cut short when the server stops)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


Respond = Callable[[Received], Reply]


class HttpServer:
    """Answers every request with what `respond` says, and keeps the requests in `received`.

    `stop` and `start` may be called again and again; the port stays the same.
    """

    def __init__(self, respond: Respond, *, port: int | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.port: Final = port or free_port()
        self.received: Final[list[Received]] = []
        self._respond = respond
        self._tls = tls
        self._stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Scheme and authority, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen, in a thread."""
        self._stopping.clear()
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        if self._tls:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port; answers under way are cut short."""
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def reply_to(self, request: Received) -> Reply:
        """Record the request, wait as long as the reply says, and give the reply."""
        if self._stopping.is_set():
            raise ConnectionAbortedError("stopped: connections that are still open are no use either")
        self.received.append(request)
        reply = self._respond(request)
        if reply.delay:
            self._stopping.wait(reply.delay)
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


def _handler(server: HttpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = tuple((name.lower(), value) for name, value in self.headers.items())
            reply = server.reply_to(Received(self.command, self.path, headers, self.rfile.read(length)))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if {"content-length", "transfer-encoding"}.isdisjoint(name.lower() for name in reply.headers):
                self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                for start in range(0, len(reply.body), CHUNK):
                    self.wfile.write(reply.body[start : start + CHUNK])

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Requests are in `received`."""

    return Handler


def echo(request: Received) -> Reply:
    """What the sample application answers: the request it got, as JSON."""
    told = {"method": request.method, "target": request.target, "headers": request.headers}
    return Reply(200, json.dumps(told).encode(), {"content-type": "application/json"})
