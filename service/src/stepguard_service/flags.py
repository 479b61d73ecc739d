"""Flags as text, from the command line and the environment, and how their values are read: all mistakes at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from textwrap import fill
from typing import Final, TypeVar
from urllib.parse import urlsplit

from typing_extensions import override

ENVIRONMENT_PREFIX: Final = "STEPGUARD_"

_Choice = TypeVar("_Choice", bound=StrEnum)

_PORTS = range(65536)
_DURATION = re.compile(r"([0-9]{1,6})(ms|s)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
_TRUTH = {"true": True, "1": True, "false": False, "0": False, "": False}


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `metavar` is empty for a switch, which takes no value on the command line."""

    name: str
    metavar: str
    help: str
    default: str = ""

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0: any free one."""

    host: str
    port: int

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def usage(flags: Sequence[Flag], *, program: str, purpose: str) -> str:
    """What `--help` prints."""
    lines = [f"usage: {program} [flags]", "", purpose, ""]
    for flag in flags:
        default = f" Default: {flag.default}." if flag.default else ""
        lines.append(f"  --{flag.name} {flag.metavar}".rstrip())
        lines.append(fill(flag.help + default, width=100, initial_indent=" " * 8, subsequent_indent=" " * 8))
    example = flags[0]
    lines += [
        "",
        f"Each flag can be given in the environment too, --{example.name} as {example.variable}; the flag wins.",
    ]
    return "\n".join(lines)


def collect(
    flags: Sequence[Flag], arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[Mapping[str, str], list[str]]:
    """The text of each flag (command line, else environment, else default), and what is wrong with the line itself.

    The last of a flag given twice counts, so that a wrapper's flags can be changed by adding one. An empty variable
    counts as absent. Variables with our prefix that belong to no flag are nobody's mistake: Kubernetes sets some for a
    Service of our name.
    """
    values = {flag.name: environment.get(flag.variable) or flag.default for flag in flags}
    typed, problems = _typed({flag.name: flag for flag in flags}, arguments)
    return values | typed, problems


def _typed(flags: Mapping[str, Flag], arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    typed: dict[str, str] = {}
    problems: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        flag = flags.get(name) if word.startswith("--") else None
        if flag is None:
            problems.append(f"{_shown(word)}: no such flag; see --help")
            continue
        if not equals:
            value = _value(flag, words)
        if not value:
            problems.append(f"--{name}: a value is missing: --{name} {flag.metavar}")
            continue
        typed[name] = value
    return typed, problems


def _value(flag: Flag, words: list[str]) -> str:
    """The next word where the flag takes a value and it is no flag itself."""
    if not flag.metavar:
        return "true"
    return words.pop(0) if words and not words[0].startswith("--") else ""


def _shown(word: str) -> str:
    """As it was typed, unless that would break the line."""
    return word if word.isprintable() else repr(word)


class Reader:
    """Reads the values of flags; a bad one adds a line to `problems` and gives a harmless value to go on with."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.problems: list[str] = []

    def problem(self, name: str, message: str) -> None:
        """Note one mistake."""
        self.problems.append(f"--{name}: {message}")

    def text(self, name: str) -> str:
        """As it stands; empty where it is not set."""
        return self._values[name]

    def switch(self, name: str) -> bool:
        """On or off."""
        value = self.text(name).lower()
        if value not in _TRUTH:
            self.problem(name, f"{value!r} is neither true nor false")
        return _TRUTH.get(value, False)

    def choice(self, name: str, choices: type[_Choice]) -> _Choice:
        """One of the words of `choices`."""
        value = self.text(name)
        try:
            return choices(value)
        except ValueError:
            words = [choice.value for choice in choices]
            self.problem(name, f"{value!r} is none of {', '.join(words)}")
            return choices(words[0])

    def number(self, name: str, allowed: range) -> int:
        """A whole number within `allowed`."""
        value = self.text(name)
        if _NUMBER.fullmatch(value) and int(value) in allowed:
            return int(value)
        self.problem(name, f"{value!r} is not a whole number from {allowed.start} to {allowed.stop - 1}")
        return allowed.start

    def duration(self, name: str, *, most: float) -> float:
        """Milliseconds or seconds, like 50ms or 2s; more than nothing and at most `most` seconds. Gives seconds."""
        value = self.text(name)
        found = _DURATION.fullmatch(value)
        seconds = int(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0
        if not 0 < seconds <= most:
            self.problem(name, f"{value!r} is no duration like 50ms or 1s of at most {most:g}s")
        return seconds

    def address(self, name: str) -> Address:
        """host:port; an IPv6 address stands in brackets."""
        value = self.text(name)
        host, colon, port = value.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
        if not (colon and bare and _NUMBER.fullmatch(port) and int(port) in _PORTS) or (":" in bare and bare == host):
            self.problem(name, f"{value!r} is not host:port, like 0.0.0.0:9191 or [::]:9191")
            return Address("localhost", 0)
        return Address(bare, int(port))

    def folder(self, name: str) -> Path | None:
        """A folder that exists."""
        return self._path(name, "folder")

    def file(self, name: str) -> Path | None:
        """A file that exists."""
        return self._path(name, "file")

    def _path(self, name: str, kind: str) -> Path | None:
        value = self.text(name)
        if not value:
            return None
        path = Path(value)
        if "\0" in value or not path.exists():
            self.problem(name, f"{_shown(value)}: no such {kind}")
        elif path.is_dir() != (kind == "folder"):
            self.problem(name, f"{_shown(value)}: not a {kind}")
        return path

    def url(self, name: str, schemes: Sequence[str]) -> str:
        """A URL with one of the schemes, empty where not set. A bad one is not repeated: it may hold a password."""
        value = self.text(name)
        try:
            scheme = urlsplit(value).scheme
        except ValueError:
            scheme = ""
        if value and scheme not in schemes:
            self.problem(name, f"not a URL that starts with one of {', '.join(f'{scheme}:' for scheme in schemes)}")
        return value

    def together(self, *names: str) -> bool:
        """Whether all of these are set; some without the others is a mistake."""
        absent = [name for name in names if not self.text(name)]
        if absent and len(absent) < len(names):
            present = next(name for name in names if self.text(name))
            for name in absent:
                self.problem(name, f"missing, since --{present} is set")
        return not absent

    def only_with(self, name: str, *others: str) -> None:
        """Each of `others` means nothing, and so is a mistake, without `name`."""
        for other in others:
            if self.text(other) and not self.text(name):
                self.problem(other, f"means nothing without --{name}")
