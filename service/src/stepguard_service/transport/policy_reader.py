"""Has a folder of policies read and compiled by a process that ends (`policy_files`), and takes what it says."""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROGRAM: Final = "stepguard_service.transport.policy_files"
AT_START: Final = "--at-start"

_LONGEST_SECONDS: Final = 600.0
"""Far beyond what any folder takes: 100,000 rules take about ten seconds of one core."""


class NotReadError(Exception):
    """The folder could not be read at all. The text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a folder said. With errors nothing of it counts but `issuers`."""

    snapshot: bytes
    """A serialised PolicySnapshot."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    issuers: frozenset[str]
    """Names of the TokenIssuers in readable documents, good or bad."""


class PolicyReader:
    """Reads one folder, as often as it is asked to. `read` belongs to one thread, `stop` to any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def read(self, *, at_start: bool) -> Reading:
        """Read and compile. An issuerRef without its TokenIssuer is an error only at the start (docs/interfaces.md).

        Raises:
            NotReadError: the process failed, took too long, or was stopped.
        """
        child = self._start((AT_START,) if at_start else ())
        try:
            said, complaints = child.communicate(timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise NotReadError(f"reading {self._folder} took more than {_LONGEST_SECONDS:g} s") from error
        finally:
            child.kill()
            child.wait()
        if child.returncode < 0:
            raise NotReadError(f"reading {self._folder} was ended by signal {-child.returncode}: is memory short?")
        if child.returncode > 0:
            raise NotReadError(f"reading {self._folder} failed: {_last_line(complaints)}")
        return _parse(said)

    def stop(self) -> None:
        """End what is being read; nothing is read any more."""
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.kill()

    def _start(self, flags: tuple[str, ...]) -> "subprocess.Popen[bytes]":
        # -P: what lies in the working directory is no part of the program.
        command = (sys.executable, "-P", "-m", _PROGRAM, str(self._folder), *flags)
        with self._lock:
            if self._stopped:
                raise NotReadError("stopped")
            self._child = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            return self._child


def _parse(said: bytes) -> Reading:
    head, _, snapshot = said.partition(b"\n")
    members = json.loads(head)
    return Reading(snapshot, tuple(members["errors"]), tuple(members["warnings"]), frozenset(members["issuers"]))


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"
