"""A TCP relay on loopback whose connections a test can cut: a network that fails."""

import contextlib
import socket
import threading

CHUNK = 65536


class TcpProxy:
    """Relays to one port of 127.0.0.1 until it is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = True
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and each new one at once."""
        with self._lock:
            self._open = False
        self.drop()

    def drop(self) -> None:
        """Break every connection; new ones are relayed."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _close(*pair)

    def restore(self) -> None:
        """Relay again."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        """Break everything, for good."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                relayed = self._open
            if not relayed:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.add((client, server))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_relay, args=(one, other), daemon=True).start()


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    _close(source, sink)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
