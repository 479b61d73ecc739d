"""An HTTP/1.1 load generator whose every request is different: prepared bytes over kept connections."""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass
class Answers:
    """What came back. Durations in seconds."""

    seconds: float = 0.0
    good: int = 0
    bad: int = 0
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Latency that `share` (0..1) of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection:
    def __init__(self, port: int, answers: Answers) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = answers
        self._buffer = b""
        self._sent_at = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        self._socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; whether the answer is complete."""
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("Envoy closed the connection")
        self._buffer += data
        head, found, body = self._buffer.partition(_END)
        if not found:
            return False
        _, named, rest = head.lower().partition(_LENGTH)
        if len(body) < (int(rest.partition(b"\r")[0]) if named else 0):
            return False
        self._answers.latencies.append(time.perf_counter() - self._sent_at)
        good = head.startswith(b"HTTP/1.1 200")
        self._answers.good += good
        self._answers.bad += not good
        self._buffer = b""
        return True


def run(port: int, requests: Sequence[bytes], *, connections: int) -> Answers:
    """Send every request once, one at a time over each connection, as fast as answers come back."""
    source: Iterator[bytes] = iter(requests)
    answers = Answers()
    peers = [_Connection(port, answers) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        started = time.perf_counter()
        for peer, request in zip(peers, source, strict=False):
            selector.register(peer, selectors.EVENT_READ, peer)
            peer.send(request)
        while selector.get_map():
            for key, _ in selector.select(timeout=10):
                if key.data.receive():
                    request_ = next(source, None)
                    if request_ is None:
                        selector.unregister(key.data)
                    else:
                        key.data.send(request_)
        answers.seconds = time.perf_counter() - started
    for peer in peers:
        peer.close()
    return answers


def run_at_rate(port: int, requests: Sequence[bytes], *, rate: float) -> Answers:
    """Send every request once over one connection, `rate` a second, or as fast as one connection goes."""
    answers = Answers()
    peer = _Connection(port, answers)
    started = time.perf_counter()
    for number, request in enumerate(requests):
        time.sleep(max(0.0, started + number / rate - time.perf_counter()))
        peer.send(request)
        while not peer.receive():
            pass
    answers.seconds = time.perf_counter() - started
    peer.close()
    return answers
