"""A real `stepguard-service` process over a folder of policies."""

import contextlib
import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Process, free_port, program, running


@dataclass(frozen=True)
class Service:
    """A running service: ports on 127.0.0.1, and the debug socket's path."""

    process: Process
    port: int
    admin_port: int
    debug_socket: Path

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a path of the admin port; status 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether the first snapshot is in force."""
        return self.get("/readyz")[0] == http.client.OK

    def decisions(self, **labels: str) -> int:
        """The sum of `stepguard_decisions_total` over the series that have these labels."""
        total = 0.0
        for series, value in re.findall(
            r"^stepguard_decisions_total\{(.*)\} (\S+)$", self.get("/metrics")[1], re.MULTILINE
        ):
            found = dict(re.findall(r'(\w+)="([^"]*)"', series))
            if all(found.get(name) == wanted for name, wanted in labels.items()):
                total += float(value)
        return int(total)


@contextlib.contextmanager
def service(
    policies: Path, directory: Path, *flags: str, port: int | None = None, wait: bool = True
) -> Iterator[Service]:
    """A service that runs as long as the block; ready at its start, unless `wait` is false."""
    port, admin = port or free_port(), free_port()
    socket = directory / f"debug-{admin}.sock"
    arguments: tuple[str | Path, ...] = (
        program("stepguard-service"),
        *("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--policies", policies),
        *("--debug-socket", socket, "--drain-seconds", "0"),
        *flags,
    )
    with running(arguments, directory) as process:
        started = Service(process, port, admin, socket)
        if wait:
            process.wait_for(started.ready, "the service is ready")
        yield started
