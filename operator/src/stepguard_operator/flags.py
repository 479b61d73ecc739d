"""Flags as text, from the command line and the environment, and readers that note every mistake and go on."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from textwrap import fill
from typing import Final, TypeVar

from typing_extensions import override

ENVIRONMENT_PREFIX: Final = "STEPGUARD_"

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. Without a `metavar` it is a switch; `repeatable` ones are separated by commas in the environment."""

    name: str
    metavar: str
    help: str
    default: str = ""
    repeatable: bool = False

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
        """As in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether nobody on another machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def usage(flags: Sequence[Flag], purpose: str) -> str:
    """What `--help` prints."""
    lines = ["usage: stepguard-operator [flags]", "", purpose, ""]
    for flag in flags:
        more = (" Repeatable." if flag.repeatable else "") + (f" Default: {flag.default}." if flag.default else "")
        lines.append(f"  --{flag.name} {flag.metavar}".rstrip())
        lines.append(fill(flag.help + more, width=100, initial_indent=" " * 8, subsequent_indent=" " * 8))
    lines += [
        "",
        f"Each flag can be given in the environment too, --listen as {ENVIRONMENT_PREFIX}LISTEN; the flag wins.",
    ]
    return "\n".join(lines)


class Given:
    """What was given for each flag; an empty variable counts as absent. `problems` are lines about single flags."""

    def __init__(self, flags: Sequence[Flag], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._flags = {flag.name: flag for flag in flags}
        self._typed: dict[str, list[str]] = {}
        self._take(list(arguments))
        self._environment = environment

    def problem(self, name: str, message: str) -> None:
        """Note one mistake."""
        self.problems.append(f"--{name}: {message}")

    def texts(self, name: str) -> tuple[str, ...]:
        """Every value of a repeatable flag."""
        if name in self._typed:
            return tuple(self._typed[name])
        from_environment = self._environment.get(self._flags[name].variable, "")
        return tuple(part.strip() for part in from_environment.split(",") if part.strip())

    def text(self, name: str) -> str:
        """As it stands; empty where it is not set."""
        if name in self._typed:
            return self._typed[name][0]
        flag = self._flags[name]
        return self._environment.get(flag.variable) or flag.default

    def switch(self, name: str) -> bool:
        """On or off."""
        value = self.text(name).lower()
        if value not in {"", "true", "false"}:
            self.problem(name, f"{value!r} is neither true nor false")
        return value == "true"

    def choice(self, name: str, choices: type[Choice]) -> Choice:
        """One of the words of `choices`."""
        words = [choice.value for choice in choices]
        if self.text(name) not in words:
            self.problem(name, f"{self.text(name)!r} is none of {', '.join(words)}")
            return choices(words[0])
        return choices(self.text(name))

    def number(self, name: str, allowed: range) -> int:
        """A whole number within `allowed`."""
        value = self.text(name)
        if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) not in allowed:
            self.problem(name, f"{value!r} is not a whole number from {allowed.start} to {allowed.stop - 1}")
            return allowed.start
        return int(value)

    def seconds(self, name: str, allowed: range) -> int:
        """A duration like 90s or 5m."""
        value = self.text(name)
        found = re.fullmatch(r"([0-9]{1,6})([sm])", value)
        seconds = int(found[1]) * (60 if found[2] == "m" else 1) if found else -1
        if seconds not in allowed:
            self.problem(name, f"{value!r} is no duration like 90s or 5m, from {allowed.start}s to {allowed.stop - 1}s")
            return allowed.start
        return seconds

    def address(self, name: str) -> Address:
        """host:port; an IPv6 address stands in brackets."""
        value = self.text(name)
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+)):([0-9]{1,5})", value)
        if found is None or int(found[3]) > 65535:  # noqa: PLR2004  (the last port)
            self.problem(name, f"{value!r} is not host:port, like 0.0.0.0:9193 or [::]:9193")
            return Address("localhost", 0)
        return Address(found[1] or found[2], int(found[3]))

    def file(self, name: str) -> Path | None:
        """A file that exists."""
        value = self.text(name)
        if value and not Path(value).is_file():
            self.problem(name, f"{value}: no such file")
        return Path(value) if value else None

    def _take(self, words: list[str]) -> None:
        while words:
            word = words.pop(0)
            name, equals, value = word.removeprefix("--").partition("=")
            flag = self._flags.get(name) if word.startswith("--") else None
            if flag is None:
                self.problems.append(f"{word}: no such flag; see --help")
                continue
            if not equals:
                value = _next(flag, words)
            if not value:
                self.problem(name, f"a value is missing: --{name} {flag.metavar}")
            elif name in self._typed and not flag.repeatable:
                self.problem(name, "given twice")
            else:
                self._typed.setdefault(name, []).append(value)


def _next(flag: Flag, words: list[str]) -> str:
    """The next word where the flag takes a value and it is no flag itself."""
    if not flag.metavar:
        return "true"
    return words.pop(0) if words and not words[0].startswith("--") else ""
