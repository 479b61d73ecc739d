"""Policies are read by a process of their own: whatever becomes of it, the service goes on with what is in force."""

import os
import re
import resource
import signal
import threading
import time
from pathlib import Path

import pytest
from stepguard_service.transport.policy_reader import NotReadError, PolicyReader, Reading

from tests.support.bank import Bank
from tests.support.readings import next_reading, reading_processes


@pytest.fixture
def reader(tmp_path: Path) -> PolicyReader:
    """Of a good folder."""
    return PolicyReader(Bank(tmp_path / "policies").folder)


class Attempt:
    """A reading under way in another thread, suspended; `outcome` once it has ended."""

    def __init__(self, reader: PolicyReader) -> None:
        self._reader = reader
        self.outcome: Reading | NotReadError | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.child = next_reading()
        os.kill(self.child, signal.SIGSTOP)

    def end(self) -> None:
        """Wait until it has ended."""
        self._thread.join(10)

    def _read(self) -> None:
        try:
            self.outcome = self._reader.read(at_start=False)
        except NotReadError as error:
            self.outcome = error


def test_a_folder_is_read_again_and_again(reader: PolicyReader) -> None:
    first, second = reader.read(at_start=True), reader.read(at_start=False)
    assert first == second
    assert (first.errors, first.issuers) == ((), frozenset({"main"}))


def test_nothing_of_the_reading_process_is_left(reader: PolicyReader) -> None:
    """No zombie either."""
    reader.read(at_start=True)
    assert reading_processes() == []


def test_a_reading_that_is_killed_says_so(reader: PolicyReader) -> None:
    """By the kernel, where memory is short."""
    attempt = Attempt(reader)
    os.kill(attempt.child, signal.SIGKILL)
    attempt.end()
    assert str(attempt.outcome).endswith("was ended by signal 9: is memory short?")


def test_a_reading_that_fails_says_why_in_one_line(reader: PolicyReader) -> None:
    """As after any fault of ours."""
    attempt = Attempt(reader)
    resource.prlimit(attempt.child, resource.RLIMIT_NOFILE, (0, 0))
    os.kill(attempt.child, signal.SIGCONT)
    attempt.end()
    (line,) = str(attempt.outcome).splitlines()
    assert re.search(r"policies failed: .+", line)


def test_stopping_ends_a_reading_at_once(reader: PolicyReader) -> None:
    attempt = Attempt(reader)
    begun = time.monotonic()
    reader.stop()
    attempt.end()
    assert time.monotonic() - begun < 5
    assert isinstance(attempt.outcome, NotReadError)
    with pytest.raises(NotReadError, match="stopped"):
        reader.read(at_start=False)
