"""Log lines on standard error, as JSON or for people."""

import json
import logging
from datetime import UTC, datetime

from typing_extensions import override

from stepguard_operator.settings import LogFormat, LogLevel


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """`time LEVEL message`, and the stack where there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        stack = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{_time(record)} {record.levelname:<7} {record.getMessage()}{stack}"


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """For the whole process; what libraries say counts from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("stepguard_operator").setLevel(level.value.upper())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
