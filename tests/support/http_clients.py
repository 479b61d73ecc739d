"""Clients that send exactly what a test says, however odd: HTTP/1.1 by hand, HTTP/2 through `h2` without its checks."""

import http.client
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions

TIMEOUT_SECONDS: Final = 15.0

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Response:
    """What the client got. Header names are lower case; lines of one name stay apart, in order."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        """The only value of a header; fails where there is none, or more than one."""
        (value,) = self.values(name)
        return value


def http1(
    port: int,
    target: str,
    *,
    host: str,
    method: str = "GET",
    headers: Headers = (),
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> Response:
    """One HTTP/1.1 request on a connection of its own; target and headers go out byte for byte (Latin-1)."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    with _connect(port, tls) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        shown = tuple((name.lower(), value) for name, value in answer.getheaders())
        return Response(answer.status, shown, answer.read())


def _connect(port: int, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
    return tls.wrap_socket(connection, server_hostname="localhost") if tls else connection


class StreamResetError(Exception):
    """The server ended the stream without a response."""


@dataclass
class _Collected:
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    trailers: tuple[tuple[str, str], ...] = ()
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False


def http2(
    port: int,
    target: str,
    *,
    host: str,
    method: str = "GET",
    headers: Headers = (),
    body: bytes = b"",
    scheme: str = "http",
) -> Response:
    """One HTTP/2 request with prior knowledge, on a connection of its own. Raises StreamResetError."""
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1"
    )
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    pseudo = [(":method", method), (":scheme", scheme), (":authority", host), (":path", target)]
    client.send_headers(1, [*pseudo, *headers], end_stream=not body)
    if body:
        client.send_data(1, body, end_stream=True)
    collected = _Collected()
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
        connection.sendall(client.data_to_send())
        while not collected.ended:
            received = connection.recv(65536)
            if not received:
                raise StreamResetError("the connection was closed")
            for event in client.receive_data(received):
                _collect(event, client, collected)
            connection.sendall(client.data_to_send())
    return Response(collected.status, collected.headers, bytes(collected.body), collected.trailers)


def _collect(event: h2.events.Event, client: h2.connection.H2Connection, collected: _Collected) -> None:
    match event:
        case h2.events.ResponseReceived(headers=headers):
            pairs = _text(headers)
            collected.status = int(dict(pairs)[":status"])
            collected.headers = tuple(pair for pair in pairs if not pair[0].startswith(":"))
        case h2.events.TrailersReceived(headers=headers):
            collected.trailers = tuple(_text(headers))
        case h2.events.DataReceived():
            collected.body += event.data or b""
            client.acknowledge_received_data(event.flow_controlled_length or 0, 1)
        case h2.events.StreamEnded():
            collected.ended = True
        case h2.events.StreamReset() | h2.events.ConnectionTerminated():
            raise StreamResetError(f"error code {event.error_code}")
        case _:
            pass


def _text(headers: Sequence[tuple[str | bytes, str | bytes]] | None) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in headers or ()]
