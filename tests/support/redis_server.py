"""A real Redis or Valkey server on loopback, for tests that stop it, pause it, fill it or demote it."""

import shutil
import signal
from pathlib import Path
from typing import Final, Self

import pytest
import redis

from tests.support.processes import Process, free_port, start, wait_until

_PROGRAMS: Final = ("redis-server", "valkey-server")


def program() -> str:
    """The server's program; skips the test where there is none."""
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return found
    pytest.skip("needs redis-server or valkey-server: install Debian's package redis-server")


class RedisServer:
    """One server that keeps nothing on disk. `start` and `stop` may be called again and again; the port stays."""

    def __init__(self, directory: Path, **settings: str) -> None:
        """`settings` are those of its configuration, with underscores for hyphens."""
        self.port: Final = free_port()
        self.directory = directory
        self._settings: Final = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(directory),
            "save": "",
            "appendonly": "no",
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """What `--replay-store` takes."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        arguments = [part for name, value in self._settings.items() for part in (f"--{name}", value)]
        self._process = start([program(), *arguments], self.directory, name="redis")
        try:
            wait_until(self._answers, "Redis answers", report=self._process.report)
        except AssertionError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it, paused or not."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def pause(self) -> None:
        """Let it hang: the kernel still accepts connections, nobody answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def command(self, *words: str | int) -> object:
        """Run one command as an administrator does."""
        with redis.Redis(port=self.port, password=self._settings.get("requirepass"), socket_timeout=5) as client:
            return client.execute_command(*words)

    def keys(self, pattern: str) -> list[str]:
        """The names of keys that match."""
        found = self.command("KEYS", pattern)
        assert isinstance(found, list)
        return [key.decode() for key in found]

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send(number)

    def _answers(self) -> bool:
        try:
            return self.command("PING") is True
        except (redis.ConnectionError, redis.TimeoutError):
            return False
