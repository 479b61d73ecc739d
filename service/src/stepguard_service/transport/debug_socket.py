"""What is in force, for `stepguard snapshot`: a Unix socket that only this user may open.

Whoever connects gets one JSON document and the end of the stream; nothing is read. No secret is in it.
"""

import contextlib
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stepguard_service.transport.server import ListenError

_SEND_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class DebugSocket:
    """Listens from the moment it is made; `start` answers, `close` stops and removes the socket.

    Raises:
        ListenError: the socket cannot be made.
    """

    def __init__(self, path: Path, document: Callable[[], Mapping[str, object]]) -> None:
        self._path = path
        self._document = document
        self._socket = _listen(path)
        self._thread = threading.Thread(target=self._serve, name="stepguard-debug", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering, remove the socket."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_SEND_SECONDS)
                connection.sendall(self._text())

    def _text(self) -> bytes:
        try:
            return json.dumps(self._document(), indent=2).encode() + b"\n"
        except Exception:  # noqa: BLE001 - a fault here must not end the thread
            _log.exception("what is in force could not be shown")
            return b'{"error": "internal error; see the log of the service"}\n'


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        listener.listen()
    except (OSError, ValueError) as error:
        listener.close()
        raise ListenError(_why(error)) from error
    finally:
        os.umask(before)
    return listener


def _why(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that is gone; anything else stays, and binding fails."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
