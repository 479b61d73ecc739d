"""The candidates of one host by path: found in the order of the walk, at a cost that does not grow with their number.

Exact paths, then templates (segment by segment from the left: literal, `{name}`, `{**}`), then prefixes on whole
segments, longest first. One trailing slash never counts. Among candidates of one path those that name the method come
first, a GET match for HEAD after those that name HEAD, any method last; else they keep the order they came in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stepguard_policy.paths import without_trailing_slash

from stepguard_service.core.challenge import Terms
from stepguard_service.core.model import PathType, Rule

_CAPTURE = re.compile(r"\{(?:([A-Za-z_][A-Za-z0-9_]*)|(?:([A-Za-z_][A-Za-z0-9_]*)=)?\*\*)\}")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A candidate inside the index. An empty `method` means any; `captures` has an empty name for a bare `{**}`."""

    path_type: PathType
    path: str
    method: str
    rule: Rule
    terms: Terms
    captures: tuple[str, ...] = ()


Found = tuple[Entry, tuple[str, ...]]
"""A candidate whose path and method match, and what its template captured, in the order of its `captures`."""

_Group = tuple[Entry, ...]


class _Node:
    """The templates that continue after one segment."""

    __slots__ = ("capture", "here", "literals", "rest")

    def __init__(self) -> None:
        self.here: _Group = ()
        self.literals: dict[str, _Node] = {}
        self.capture: _Node | None = None
        self.rest: _Node | None = None

    def after(self, segment: str) -> "_Node":
        """The node behind one segment of a template, made where it is not there yet."""
        capture = _CAPTURE.fullmatch(segment)
        if capture is None:
            return self.literals.setdefault(segment, _Node())
        if capture[1]:
            self.capture = self.capture or _Node()
            return self.capture
        self.rest = self.rest or _Node()
        return self.rest


class PathIndex:
    """Filled once, by `add`, then only read."""

    __slots__ = ("_exact", "_longest_prefix", "_prefixes", "_templates")

    def __init__(self) -> None:
        self._exact: dict[str, _Group] = {}
        self._templates: _Node | None = None
        self._prefixes: dict[str, _Group] = {}
        self._longest_prefix = 0

    def add(self, entry: Entry) -> None:
        """Put a candidate after those of its path that are there already."""
        path = without_trailing_slash(entry.path)
        match entry.path_type:
            case PathType.EXACT:
                self._exact[path] = _with(self._exact.get(path, ()), entry)
            case PathType.TEMPLATE:
                self._add_template(path, entry)
            case PathType.PREFIX:
                prefix = "" if path == "/" else path
                self._prefixes[prefix] = _with(self._prefixes.get(prefix, ()), entry)
                self._longest_prefix = max(self._longest_prefix, len(prefix))

    def find(self, path: str, method: str) -> Iterator[Found]:
        """The candidates for a path in normal form and a method, in the order of the walk."""
        path = without_trailing_slash(path)
        for entry in self._exact.get(path, ()):
            if governs(entry.method, method):
                yield entry, ()
        if self._templates is not None:
            yield from _find_template(self._templates, path, method)
        prefix = _cut(path, self._longest_prefix)
        while True:
            for entry in self._prefixes.get(prefix, ()):
                if governs(entry.method, method):
                    yield entry, ()
            if not prefix:
                return
            prefix = prefix[: prefix.rindex("/")]

    def _add_template(self, path: str, entry: Entry) -> None:
        if self._templates is None:
            self._templates = _Node()
        node = self._templates
        for segment in path.split("/")[1:]:
            node = node.after(segment)
        node.here = _with(node.here, entry)


def captures_of(path: str) -> tuple[str, ...]:
    """The names that a template gives to what it captures, from the left; empty for a bare `{**}`."""
    captures = (_CAPTURE.fullmatch(segment) for segment in path.split("/"))
    return tuple(capture[1] or capture[2] or "" for capture in captures if capture)


def governs(named: str, method: str) -> bool:
    """Whether a match that names this method (empty: any) is one for requests with that one."""
    return named in ("", method) or (named == "GET" and method == "HEAD")


def _with(group: _Group, entry: Entry) -> _Group:
    return tuple(sorted((*group, entry), key=_rank))


def _rank(entry: Entry) -> int:
    return 2 if not entry.method else 1 if entry.method == "GET" else 0


def _cut(path: str, length: int) -> str:
    """The longest prefix on whole segments that is not longer: what is beyond the longest rule needs no look-up."""
    if path == "/":
        return ""
    return path if len(path) <= length else path[: path.rindex("/", 0, length + 1)]


def _find_template(root: _Node, path: str, method: str) -> Iterator[Found]:
    segments = path.split("/")[1:]
    pending: list[tuple[_Node, int, tuple[str, ...]]] = [(root, 0, ())]
    while pending:
        node, depth, captured = pending.pop()
        if depth == len(segments):
            for entry in node.here:
                if governs(entry.method, method):
                    yield entry, captured
            continue
        # The last one pushed is looked at first: literal, then {name}, then {**}.
        segment = segments[depth]
        if segment:
            if node.rest is not None:
                pending.append((node.rest, len(segments), (*captured, "/".join(segments[depth:]))))
            if node.capture is not None:
                pending.append((node.capture, depth + 1, (*captured, segment)))
        if (literal := node.literals.get(segment)) is not None:
            pending.append((literal, depth + 1, captured))
