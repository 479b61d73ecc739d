"""YAML as policies may be written: plain data, nothing that readers understand differently, every value with its line.

Kubernetes reads YAML 1.1 by way of Go, we read it by way of libyaml, and people read it by eye. Whatever these may
disagree about is refused with its line: anchors and aliases, tags, duplicate keys, `yes` and `on`, octal numbers.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from stepguard_policy.resources.objects import Problem, Severity, Source

NESTING: Final = 32
"""Levels of maps and lists; a StepUpPolicy with its managedFields has about 12."""

# libyaml where PyYAML was built with it: ten times faster.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NOT_BOOLEANS = re.compile(r"y|n|yes|no|on|off", re.IGNORECASE)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][-+]?[0-9]{1,3})?")
_NOT_NUMBERS = re.compile(
    r"[-+]?(0[0-7_]+|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9]+(_[0-9_]*)+|[0-9]+(:[0-5]?[0-9])+|[0-9]{19,}"
    r"|([0-9]+\.|\.[0-9]+)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\+[0-9.]+|\.(nan|NaN|NAN)"
)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its value, and where it and each field of it are."""

    value: Any
    source: Source


@dataclass(slots=True)
class _Reader:
    file: str
    events: Iterator[Any]
    problems: list[Problem]
    lines: dict[str, int] = field(default_factory=dict)

    def complain(self, event: Any, path: str, message: str, severity: Severity = Severity.ERROR) -> None:
        self.problems.append(Problem(self.file, event.start_mark.line + 1, path, message, severity))

    def value(self, event: Any, path: str, depth: int) -> Any:
        """The value that begins with this event; its other events are consumed."""
        if isinstance(event, yaml.AliasEvent):
            self.complain(event, path, f"aliases are not allowed: write the value of *{event.anchor} out")
            return None
        if event.anchor is not None:
            self.complain(event, path, f"anchors are not allowed: remove &{event.anchor}")
        if event.tag is not None:
            self.complain(event, path, f"tags are not allowed: remove {event.tag}, and quote what shall be a string")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path) if event.implicit[0] else event.value
        if depth == 0:
            raise _TooDeep(event.start_mark.line + 1)
        return self.mapping(path, depth) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path, depth)

    def scalar(self, event: Any, path: str) -> Any:
        text: str = event.value
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _NOT_BOOLEANS.fullmatch(text):
            self.complain(event, path, f"{text} is a boolean to some readers of YAML: write true or false, or quote it")
        elif _NOT_NUMBERS.fullmatch(text):
            self.complain(event, path, f"{text} is a number to some readers of YAML: write it in decimal, or quote it")
        return text

    def mapping(self, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = event.value if isinstance(event, yaml.ScalarEvent) else None
            if key is None or event.anchor is not None or event.tag is not None:
                self.complain(event, path, "keys must be plain strings")
            if key is None:
                self.value(event, path, depth - 1)
                self.value(next(self.events), path, depth - 1)
                continue
            inner = f"{path}.{key}" if path else key
            if event.implicit[0] and key in {"y", "n"}:
                self.complain(event, inner, f'kubectl reads {key} as a boolean: write "{key}"', Severity.WARNING)
            if key in found:
                self.complain(event, inner, f"duplicate key, first in line {self.lines.get(inner, 0)}")
            self.lines.setdefault(inner, event.start_mark.line + 1)
            found.setdefault(key, self.value(next(self.events), inner, depth - 1))
        return found

    def sequence(self, path: str, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            inner = f"{path}[{len(found)}]"
            self.lines[inner] = event.start_mark.line + 1
            found.append(self.value(event, inner, depth - 1))
        return found


class _TooDeep(Exception):  # noqa: N818 never leaves this module
    pass


def read_yaml(file: str, data: bytes) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """All documents of one file, the empty ones left out, and everything that is wrong with its YAML. Never raises."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return (), (Problem(file, line, "", "is not UTF-8 text"),)
    problems: list[Problem] = []
    documents: list[Document] = []
    try:
        documents.extend(_documents(file, text, problems))
    except _TooDeep as error:
        problems.append(Problem(file, error.args[0], "", f"is nested more than {NESTING} levels deep"))
    except yaml.YAMLError as error:
        problems.append(_syntax_problem(file, text, error))
    return tuple(documents), tuple(problems)


def _documents(file: str, text: str, problems: list[Problem]) -> Iterator[Document]:
    events = iter(yaml.parse(text, Loader=_LOADER))
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            reader = _Reader(file, events, problems)
            root: Any = next(events)
            value = reader.value(root, "", NESTING)
            if value is not None:
                yield Document(value, Source(file, {"": root.start_mark.line + 1, **reader.lines}))


def _syntax_problem(file: str, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        said = ", ".join(filter(None, (error.problem, error.context)))
        line = min(error.problem_mark.line, text.count("\n")) + 1
        return Problem(file, line, "", f"is not YAML: {said}")
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + 1
        return Problem(file, line, "", f"is not YAML: {error.reason}")
    return Problem(file, 1, "", f"is not YAML: {' '.join(str(error).split())}")
