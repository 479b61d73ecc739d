"""One connection to a Redis or Valkey server: whole batches of commands, each batch within one deadline."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

import hiredis

from stepguard_service.server_trust import trust_context
from stepguard_service.stores.redis_address import RedisAddress

Command = tuple[str | bytes | int, ...]
Reply = object
"""bytes, int, None, a list of replies, or a hiredis.ReplyError: the server refused that one command."""

_READ: Final = 64 * 1024
_NOT_YET: Final = object()


_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)
"""Its own type speaks of tuples of one element."""


class RedisLostError(Exception):
    """The connection is of no use any more: no answer in time, closed, or not the protocol. Says so in one line."""


class RedisConnection:
    """For use by one thread at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)

    def round_trip(self, commands: Sequence[Command], seconds: float) -> list[Reply]:
        """Send all commands at once; their replies, in order, all within `seconds`.

        Raises:
            RedisLostError: after which the connection must be closed.
        """
        deadline = time.monotonic() + seconds
        replies: list[Reply] = []
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(b"".join(map(_pack, commands)))
            while len(replies) < len(commands):
                if (reply := self._reader.gets(False)) is not _NOT_YET:  # noqa: FBT003 - bytes as they are
                    replies.append(reply)
                else:
                    self._reader.feed(self._receive(deadline))
        except TimeoutError as error:
            raise RedisLostError(f"no answer within {seconds * 1000:g} ms") from error
        except (OSError, hiredis.HiredisError) as error:
            raise RedisLostError(str(error) or type(error).__name__) from error
        return replies

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _receive(self, deadline: float) -> bytes:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)
        if not (received := self._socket.recv(_READ)):
            raise ConnectionResetError("the server closed the connection")
        return received


class Connector:
    """Makes connections to one address: TLS, password, database.

    `password_file` and `ca` are read for each connection, so what is rotated counts from the next one on.
    """

    def __init__(self, address: RedisAddress, *, password_file: Path | None, ca: Path | None) -> None:
        self.address = address
        self._password_file = password_file
        self._tls = _tls(ca) if address.tls else None

    def connect(self, seconds: float) -> RedisConnection:
        """A connection that is ready for commands. Each step takes at most `seconds`.

        Raises:
            RedisLostError: there is none to be had now.
        """
        try:
            connection = RedisConnection(self._open(seconds))
        except TimeoutError as error:
            raise RedisLostError(f"cannot connect within {seconds:g} s") from error
        except OSError as error:
            raise RedisLostError(f"cannot connect: {error.strerror or error}") from error
        try:
            self._greet(connection, seconds)
        except RedisLostError:
            connection.close()
            raise
        return connection

    def _open(self, seconds: float) -> socket.socket:
        address = self.address
        if address.socket:
            opened = socket.socket(socket.AF_UNIX)
            opened.settimeout(seconds)
            opened.connect(address.socket)
            return opened
        opened = socket.create_connection((address.host, address.port), seconds)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return self._tls().wrap_socket(opened, server_hostname=address.host) if self._tls else opened

    def _greet(self, connection: RedisConnection, seconds: float) -> None:
        """Say who we are and which database is ours."""
        commands: list[Command] = []
        if password := self._password():
            commands.append(("AUTH", self.address.user or "default", password))
        if self.address.database:
            commands.append(("SELECT", self.address.database))
        for reply in connection.round_trip(commands, seconds):
            if isinstance(reply, hiredis.ReplyError):
                raise RedisLostError(f"refused: {reply}")

    def _password(self) -> str:
        if self._password_file is None:
            return self.address.password
        try:
            return self._password_file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise RedisLostError(f"the password file cannot be read: {error}") from error


def _tls(ca: Path | None) -> Callable[[], ssl.SSLContext]:
    """Trust in the CAs of the file, read again each time, or in the system's, which take long to read: only once."""
    if ca is not None:
        return lambda: trust_context(file=ca)
    system = trust_context()
    return lambda: system
