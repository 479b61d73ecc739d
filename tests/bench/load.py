"""A gRPC load generator whose every request is different: prepared HTTP/2 frames, written as fast as answers come back.

h2load sends one body over and over, but a proof may be used once. Here the frames of each request are put together
beforehand, so that the generator costs a fraction of a server's time and fits on the other core.
"""

import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from hpack import Encoder

CHECK = "/envoy.service.auth.v3.Authorization/Check"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_OUR_WINDOW = 2**30
_READ = 256 * 1024


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


@dataclass
class Result:
    """What a run gave. Durations in seconds."""

    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Answers of any kind."""
        return sum(self.answers.values())

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.total / self.seconds

    def percentile(self, share: float) -> float:
        """Latency that `share` (0..1) of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Connection:
    """One HTTP/2 connection that sends prepared CheckRequests."""

    def __init__(self, port: int, classify: Callable[[bytes], str], path: str = CHECK) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        settings = struct.pack(">HIHI", 0x4, _OUR_WINDOW, 0x2, 0)
        window = struct.pack(">I", _OUR_WINDOW)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, window))
        self._classify = classify
        encoder = Encoder()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", f"127.0.0.1:{port}"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        # The first block fills the peer's table; from then on every name and value is one index, as with a real client.
        self._first_block, self._block = encoder.encode(headers), encoder.encode(headers)
        self._streams = count(1, 2)
        self._window = 65535
        self._buffer = bytearray()
        self._sent_at: dict[int, float] = {}
        self._bodies: dict[int, bytes] = {}
        self.result = Result()

    @property
    def outstanding(self) -> int:
        """Requests that were sent and not answered."""
        return len(self._sent_at)

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, messages: Iterator[bytes], most: int) -> int:
        """Send at most `most` requests, as far as the peer's window lets us; returns how many."""
        chunks: list[bytes] = []
        sent = 0
        now = time.perf_counter()
        while sent < most and self._window > 16 * 1024:
            message = next(messages, None)
            if message is None:
                break
            stream = next(self._streams)
            block = self._first_block if stream == 1 else self._block
            body = b"\0" + struct.pack(">I", len(message)) + message
            chunks += (_frame(_HEADERS, _END_HEADERS, stream, block), _frame(_DATA, _END_STREAM, stream, body))
            self._window -= len(body)
            self._sent_at[stream] = now
            sent += 1
        if chunks:
            self._socket.sendall(b"".join(chunks))
        return sent

    def send_raw(self, frames: bytes) -> None:
        """Send frames of the caller's making, such as a client sends that breaks off."""
        self._socket.sendall(frames)

    def receive(self) -> None:
        """Read what is there and count the answers in it."""
        data = self._socket.recv(_READ)
        if not data:
            raise ConnectionError("the server closed the connection")
        buffer = self._buffer
        buffer += data
        position, now = 0, time.perf_counter()
        while len(buffer) - position >= 9:
            length = int.from_bytes(buffer[position : position + 3], "big")
            end = position + 9 + length
            if len(buffer) < end:
                break
            kind, flags = buffer[position + 3], buffer[position + 4]
            stream = int.from_bytes(buffer[position + 5 : position + 9], "big") & 0x7FFFFFFF
            self._handle(kind, flags, stream, bytes(buffer[position + 9 : end]), now)
            position = end
        del buffer[:position]

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind == _DATA:
            self._bodies[stream] = self._bodies.get(stream, b"") + payload
        elif kind == _HEADERS and flags & _END_STREAM:
            self._answered(stream, now)
        elif kind == _RST:
            self._bodies[stream] = b""
            self._answered(stream, now)
        elif kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._socket.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            raise ConnectionError("the server said GOAWAY")

    def _answered(self, stream: int, now: float) -> None:
        self.result.latencies.append(now - self._sent_at.pop(stream))
        self.result.answers[self._classify(self._bodies.pop(stream, b"")[5:])] += 1


def run(
    port: int,
    messages: Sequence[bytes],
    *,
    classify: Callable[[bytes], str],
    connections: int,
    in_flight: int,
    path: str = CHECK,
) -> Result:
    """Send every message once over `connections`, each with at most `in_flight` requests open; returns all answers."""
    source = iter(messages)
    total = Result()
    peers = [Connection(port, classify, path) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer, selectors.EVENT_READ, peer)
        started = time.perf_counter()
        for peer in peers:
            peer.send(source, in_flight)
        while sum(peer.result.total for peer in peers) < len(messages):
            for key, _ in selector.select(timeout=10):
                key.data.receive()
                key.data.send(source, in_flight - key.data.outstanding)
        total.seconds = time.perf_counter() - started
    for peer in peers:
        total.answers += peer.result.answers
        total.latencies += peer.result.latencies
        peer.close()
    return total


def run_at_rate(port: int, messages: Sequence[bytes], *, classify: Callable[[bytes], str], rate: float) -> Result:
    """Send every message once over one connection, `rate` a second whatever comes back (an open loop)."""
    source = iter(messages)
    peer = Connection(port, classify)
    with selectors.DefaultSelector() as selector:
        selector.register(peer, selectors.EVENT_READ)
        started = time.perf_counter()
        sent = 0
        while peer.result.total < len(messages):
            due = min(len(messages), int((time.perf_counter() - started) * rate) + 1)
            sent += peer.send(source, due - sent)
            if selector.select(timeout=max(0.0, started + (sent + 1) / rate - time.perf_counter())):
                peer.receive()
        peer.result.seconds = time.perf_counter() - started
    peer.close()
    return peer.result
