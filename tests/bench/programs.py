"""The programs that are measured, each on the server's core."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import on_server_core
from tests.bench.traffic import Traffic
from tests.support.processes import Process, accepts, free_port, program, running, wait_until
from tests.support.tokens import jwk_set


@dataclass(frozen=True)
class Measured:
    """A running server."""

    process: Process
    port: int
    seconds_to_start: float
    admin_port: int = 0

    def rss(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.popen.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextlib.contextmanager
def _started(arguments: list[str | Path], directory: Path, *, port: int, admin: int = 0) -> Iterator[Measured]:
    begun = time.perf_counter()
    with running(on_server_core(*arguments), directory, name="measured") as process:
        wait_until(lambda: accepts(port), "the server answers", report=process.report)
        yield Measured(process, port, time.perf_counter() - begun, admin)


@contextlib.contextmanager
def stepguard(traffic: Traffic, directory: Path, *flags: str, policies: Path | None = None) -> Iterator[Measured]:
    """The service with the traffic's policies, or those of another folder."""
    if policies is None:
        policies = directory / "policies"
        policies.mkdir(exist_ok=True)
        traffic.write_policies(policies)
    port, admin = free_port(), free_port()
    listen = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    command: list[str | Path] = [program("stepguard-service"), "--policies", policies, *listen]
    with _started([*command, "--decision-log", "none", *flags], directory, port=port, admin=admin) as measured:
        yield measured


@contextlib.contextmanager
def baseline(traffic: Traffic, directory: Path) -> Iterator[Measured]:
    """The straightforward build."""
    keys, port = directory / "jwks.json", free_port()
    keys.write_text(jwk_set(traffic.signer))
    command: list[str | Path] = [program("python"), "-m", "tests.bench.baseline_server", str(port), keys]
    with _started(command, directory, port=port) as measured:
        yield measured
