"""`stepguard-service`."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Final

import stepguard_service.before_grpc  # noqa: F401 - it must be the first to be imported
from stepguard_service.program import BAD_CONFIGURATION, CANNOT_RUN, Life, StartError
from stepguard_service.settings import LogFormat, LogSettings, Settings, help_text, parse
from stepguard_service.transport.log import JsonFormatter, TextFormatter, Writer
from stepguard_service.transport.telemetry import DECISIONS
from stepguard_service.wiring import assemble

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS: Final = 1.0
_STUCK_LOOKS: Final = 5
"""So often must the serving loop look stuck: after a suspension of the process it does once, before it turns again."""

_log = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM. The status for the shell: 0 after a drained stop, 2 for a configuration that is wrong."""
    arguments = sys.argv[1:]
    if "--help" in arguments:
        sys.stdout.write(help_text())
        return 0
    settings = parse(arguments, os.environ)
    if not isinstance(settings, Settings):
        return _complain(settings, BAD_CONFIGURATION)
    # Blocked in every thread to come, and waited for in this one: no signal is lost, whenever it arrives.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    writer = _log_to_stderr(settings.log)
    try:
        return _run(settings, writer)
    finally:
        writer.close()


def _run(settings: Settings, writer: Writer) -> int:
    life = Life(assemble(settings, lines_dropped=lambda: writer.dropped), settings)
    try:
        life.start()
    except StartError as error:
        life.stop()
        return _complain(error.lines, error.status)
    asked, stuck = _stop_signals(), 0
    while (received := _next(asked, _LOOK_SECONDS)) is None:
        stuck = 0 if life.alive else stuck + 1
        if stuck == _STUCK_LOOKS:
            _log.critical("the serving loop is stuck; ending, so that whoever supervises this starts it again")
            return CANNOT_RUN
    _drain(life, settings.drain_seconds if received == signal.SIGTERM else 0, asked)
    return 0


def _stop_signals() -> "SimpleQueue[int]":
    """Each signal to stop, as it comes.

    A thread waits for them without a timeout: `sigtimedwait` invents a signal where SIGCONT ends its wait late
    (measured with Python 3.11), and a service that was suspended for a while would stop.
    """
    received: SimpleQueue[int] = SimpleQueue()

    def wait() -> None:
        while True:
            received.put(signal.sigwait(_STOP))

    threading.Thread(target=wait, name="stepguard-signals", daemon=True).start()
    return received


def _next(asked: "SimpleQueue[int]", seconds: float) -> int | None:
    """The next signal; None where none comes in time."""
    try:
        return asked.get(timeout=seconds)
    except Empty:
        return None


def _drain(life: Life, seconds: int, asked: "SimpleQueue[int]") -> None:
    """Go on answering for a while, unless somebody asks a second time; then finish what is under way."""
    _log.info("draining for %d s", seconds)
    life.drain()
    if seconds:
        _next(asked, seconds)
    life.stop()
    _log.info("stopped")


def _log_to_stderr(settings: LogSettings) -> Writer:
    writer = Writer(JsonFormatter() if settings.format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(handlers=[writer], level=logging.WARNING)
    logging.getLogger("stepguard_service").setLevel(settings.level.value.upper())
    # Which decisions are logged is --decision-log's to say, whatever the level of other lines.
    logging.getLogger(DECISIONS).setLevel(logging.INFO)
    return writer


def _complain(lines: Sequence[str], status: int) -> int:
    for line in lines:
        sys.stderr.write(f"stepguard-service: {line}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
