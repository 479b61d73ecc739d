"""What the demo's two HTTP servers share: they answer in threads of the demo's own process, on loopback."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

from stepguard_cli.demo.layout import HOST

REQUEST_LENGTH: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: query and form parameters together."""

    method: str
    path: str
    headers: Mapping[str, str]
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """One answer; `body` becomes JSON."""

    body: Mapping[str, object]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def serving(port: int, answer: Callable[[Asked], Told]) -> Iterator[None]:
    """An HTTP server that answers with `answer` as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            length = min(int(self.headers.get("content-length") or 0), REQUEST_LENGTH)
            form = self.rfile.read(length).decode(errors="replace")
            parameters = dict(parse_qsl(url.query) + parse_qsl(form))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = answer(Asked(self.command, url.path, headers, parameters))
            body = json.dumps(told.body).encode()
            self.send_response(told.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        @override
        def log_message(self, format: str, *args: object) -> None:
            """The story shows every request."""

    server = ThreadingHTTPServer((HOST, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
