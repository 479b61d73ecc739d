"""Processes that tests start: on free loopback ports, with their output kept, and ended whatever happens."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.02

T = TypeVar("T")


_PORTS: Final = range(20_000, 32_000)
"""Below those that systems give to outgoing connections: one of these could take the port before it is listened on."""

_LAST_PORT: Final = Path(tempfile.gettempdir()) / "stepguard-tests-last-port"


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, and that no other test of this machine is given for a while."""
    with _LAST_PORT.open("a+") as last:
        fcntl.flock(last, fcntl.LOCK_EX)
        last.seek(0)
        port = int(last.read() or _PORTS[-1])
        for _ in _PORTS:
            port = port + 1 if port + 1 in _PORTS else _PORTS[0]
            if _can_be_bound(port):
                last.truncate(0)
                last.write(str(port))
                return port
    raise AssertionError("no port is free")


def _can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(
    condition: Callable[[], T], what: str, *, timeout: float = 20.0, report: Callable[[], str] | None = None
) -> T:
    """Poll until `condition` gives something true, and return it.

    Raises AssertionError naming `what`, with the text of `report`, after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            detail = f"\n{report()}" if report else ""
            raise AssertionError(f"waited {timeout:g} s in vain: {what}{detail}")
        time.sleep(POLL_SECONDS)
    return value


@dataclass
class Process:
    """A started program; standard output and standard error go to one file each."""

    popen: subprocess.Popen[bytes]
    name: str
    stdout_path: Path
    stderr_path: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    @property
    def stdout(self) -> str:
        """What it wrote to standard output so far."""
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it wrote to standard error so far."""
        return self.stderr_path.read_text(errors="replace")

    def report(self) -> str:
        """The end of its output, for messages of failed tests."""
        state = "running" if self.running else f"ended with {self.popen.returncode}"
        return f"--- {self.name} ({state})\n{self.stdout[-4000:]}\n{self.stderr[-4000:]}"

    def wait_for(self, condition: Callable[[], T], what: str, *, timeout: float = 20.0) -> T:
        """As `wait_until`, but gives up at once when the process ends."""

        def alive_and_condition() -> T:
            if not (value := condition()) and not self.running:
                raise AssertionError(f"{self.name} ended while waiting: {what}\n{self.report()}")
            return value

        return wait_until(alive_and_condition, f"{self.name}: {what}", timeout=timeout, report=self.report)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self.popen.send_signal(number)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end and return the exit status."""
        return self.popen.wait(timeout)

    def stop(self) -> int:
        """SIGTERM, and SIGKILL when that does not end it in 15 s; the whole process group. Returns the exit status."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGCONT)
                os.killpg(self.popen.pid, signal.SIGTERM)
            try:
                self.popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(STOP_SECONDS)


def start(
    arguments: Sequence[str | Path],
    directory: Path,
    *,
    name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a program in its own process group; its output goes to files in `directory`, which must exist."""
    name = name or Path(arguments[0]).name
    number = len(list(directory.glob(f"{name}.*.out")))
    out, err = directory / f"{name}.{number}.out", directory / f"{name}.{number}.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        popen = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    return Process(popen, name, out, err)


@contextlib.contextmanager
def running(
    arguments: Sequence[str | Path],
    directory: Path,
    *,
    name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """A started program that is stopped at the end of the block."""
    process = start(arguments, directory, name=name, environment=environment)
    try:
        yield process
    finally:
        process.stop()


def program(name: str) -> Path:
    """The path of one of our commands (`stepguard-service` …) beside the interpreter that runs the tests."""
    return Path(sys.executable).with_name(name)
