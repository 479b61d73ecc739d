"""Log lines: one a record, whatever is in it, and never in anybody's way."""

import io
import json
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.transport import log
from stepguard_service.transport.log import JsonFormatter, TextFormatter, Writer
from typing_extensions import override


def record(message: str = "hello", **fields: object) -> logging.LogRecord:
    """A record with fields."""
    result = logging.LogRecord("stepguard_service.test", logging.INFO, "", 0, message, (), None)
    result.__dict__.update(log.fields(**fields))
    return result


def failed(text: str) -> logging.LogRecord:
    """A record of an exception whose text quotes `text`."""
    try:
        int(text)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
        return logging.LogRecord("stepguard_service.test", logging.ERROR, "", 0, "failed", (), info)
    raise AssertionError(text)


def test_a_json_line_has_time_level_message_and_fields() -> None:
    """Machines read it."""
    line = json.loads(JsonFormatter().format(record(policy="bank/payments")))
    assert (line["level"], line["message"], line["policy"]) == ("info", "hello", "bank/payments")
    assert line["time"].endswith("Z")


def test_a_text_line_has_the_fields_behind_the_message() -> None:
    """People read it."""
    assert TextFormatter().format(record(policy="bank/payments")).endswith('INFO    hello policy="bank/payments"')


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
def test_the_text_of_an_exception_is_not_written(formatter: logging.Formatter) -> None:
    """It may quote a token; where the exception came from is enough."""
    line = formatter.format(failed("eyJhbGciOi.secret.token"))
    assert "secret" not in line
    assert "ValueError" in line
    assert "test_log.py" in line


@given(st.text(), st.text())
def test_any_value_stays_within_its_line(message: str, value: str) -> None:
    """Any message and value give one line, in both forms; lone surrogates can be written too."""
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record(message, path=value))
        assert len(line.splitlines()) == 1
        line.encode()


class Stalled(io.StringIO):
    """A reader that reads nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()

    @override
    def write(self, text: str) -> int:
        self.reading.wait()
        return super().write(text)


def test_a_reader_that_stalls_costs_lines_and_no_time() -> None:
    """Beyond a bound lines are dropped and counted; what was kept is written when the reader goes on."""
    stream = Stalled()
    writer = Writer(TextFormatter(), stream)
    for _ in range(10_100):
        writer.handle(record())
    assert 0 < writer.dropped <= 100
    stream.reading.set()
    writer.close()
    assert stream.getvalue().count("\n") == 10_100 - writer.dropped


def test_a_record_that_cannot_be_formatted_is_counted_and_the_next_is_written() -> None:
    """No line is worth the thread."""
    stream = io.StringIO()
    writer = Writer(TextFormatter(), stream)
    writer.handle(logging.LogRecord("x", logging.INFO, "", 0, "%d", ("no number",), None))
    writer.handle(record("next"))
    writer.close()
    assert writer.dropped == 1
    assert "next" in stream.getvalue()
