"""What people and scripts see: text with colour on a terminal only, or one JSON document."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TextIO

USAGE: Final = 2
"""Exit status of a command that could not do its work: bad arguments, missing files, missing parts."""


class CliError(Exception):
    """The command cannot go on. The message is one line: what is wrong, where, what to do."""


class Style(Enum):
    """The few ways text may stand out; values are ANSI SGR parameters."""

    STRONG = "1"
    DIM = "2"
    GOOD = "32"
    BAD = "31"
    WARN = "33"
    NAME = "36"


@dataclass(frozen=True, slots=True)
class Console:
    """Where a command writes. `as_json`: the caller wants one JSON document instead of text."""

    out: TextIO
    as_json: bool = False
    colour: bool = False

    def line(self, text: str = "") -> None:
        """Write one line of text; nothing when the caller wants JSON."""
        if not self.as_json:
            print(text, file=self.out, flush=True)

    def document(self, value: object) -> None:
        """Write the JSON document, when the caller wants it."""
        if self.as_json:
            print(json.dumps(value, indent=2, ensure_ascii=False), file=self.out, flush=True)

    def styled(self, text: str, style: Style) -> str:
        """The text, coloured on a terminal."""
        return f"\x1b[{style.value}m{text}\x1b[0m" if self.colour else text


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines, with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def console(*, as_json: bool) -> Console:
    """The console of this process. Colour: a terminal, and neither NO_COLOR nor TERM=dumb."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Console(sys.stdout, as_json=as_json, colour=sys.stdout.isatty() and not plain and not as_json)
