"""Log lines on standard error, written by a thread of their own: a reader that stalls never stalls the serving loop."""

import contextlib
import json
import logging
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from typing_extensions import override

_WAITING_LINES = 10_000
"""Beyond them lines are dropped and counted; at 300 bytes a line this is 3 MB."""

_LAST_LINES_SECONDS = 5.0

_FIELDS = "stepguard_fields"


def logger(name: str) -> logging.Logger:
    """The logger of one part of the service."""
    return logging.getLogger(f"stepguard_service.{name}")


def fields(**values: object) -> dict[str, dict[str, object]]:
    """For `extra=`: what a line says beside its message. Never tokens, proofs or nonces."""
    return {_FIELDS: values}


def stack(error: BaseException) -> str:
    """Where an exception came from, without its text: that may quote what a client sent."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    cause = error.__cause__ or error.__context__
    before = f"{stack(cause)}which led to\n" if cause else ""
    return f"{before}{frames}{type(error).__name__}\n"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_said(record),
        }
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """`time LEVEL message key=value …`, for people. Values are quoted as JSON, so that nothing breaks out of a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {name}={json.dumps(value, default=str)}" for name, value in _said(record).items())
        message = record.getMessage()
        shown = message if message.isprintable() else json.dumps(message)
        return f"{_time(record)} {record.levelname:<7} {shown}{pairs}"


def _said(record: logging.LogRecord) -> Mapping[str, object]:
    said: dict[str, object] = getattr(record, _FIELDS, {})
    error = record.exc_info[1] if record.exc_info else None
    return said if error is None else said | {"error": type(error).__name__, "stack": stack(error)}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Writer(logging.Handler):
    """Takes records without ever waiting; its thread formats and writes them. `close` writes what is left."""

    def __init__(self, formatter: logging.Formatter, stream: TextIO = sys.stderr) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.dropped = 0
        self._stream = stream
        self._records: queue.Queue[logging.LogRecord | None] = queue.Queue(_WAITING_LINES)
        self._thread = threading.Thread(target=self._write, name="stepguard-log", daemon=True)
        self._thread.start()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    @override
    def close(self) -> None:
        with contextlib.suppress(queue.Full):
            self._records.put(None, timeout=_LAST_LINES_SECONDS)
            self._thread.join(_LAST_LINES_SECONDS)
        super().close()

    def _write(self) -> None:
        while (record := self._records.get()) is not None:
            try:
                self._stream.write(self.format(record) + "\n")
                if self._records.empty():
                    self._stream.flush()
            except Exception:  # noqa: BLE001 - nowhere is left to say it
                self.dropped += 1
