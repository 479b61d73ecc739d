"""Matches of rules as the walk over candidates sees them: which are the same, and which comes first.

The order is one total order per host, fixed here and kept by every replica:
exact paths, then templates (segment by segment from the left: literal, `{name}`, `{**}`), then prefixes (longest
first);
named methods, then GET (so that a HEAD request reaches a match that names HEAD first), then any method;
with `when` before without; then the older policy, and the rule's name.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.paths import PathRefused, normalize_path, without_trailing_slash
from stepguard_policy.resources import PathMatch, PathType

ANY_METHOD: Final = ""

_CAPTURE: Final = re.compile(r"\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?:(?P<rest>[A-Za-z_][A-Za-z0-9_]*)=)?\*\*)\}")
_LITERAL, _ONE, _REST = 0, 1, 2


class PathSettings(NamedTuple):
    """How paths of a policy are normalised."""

    ignore_case: bool
    keep_encoded_slashes: bool
    drop_parameters: bool

    def normalize(self, path: str) -> str | PathRefused:
        """Bring a path into normal form."""
        return normalize_path(
            path,
            ignore_case=self.ignore_case,
            keep_encoded_slashes=self.keep_encoded_slashes,
            drop_parameters=self.drop_parameters,
        )


class Shape(NamedTuple):
    """A path without the names of its captures and without one trailing slash: equal shapes match the same paths.

    Tuples of shapes sort in walking order: `specificity` does the work, `text` only makes the order total.
    """

    path_type: pb.PathType
    specificity: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ParsedPath:
    """A path of a policy, as a candidate carries it and as matches are compared."""

    text: str
    shape: Shape


class MatchKey(NamedTuple):
    """One (path, method) of a match; two rules with equal keys answer the same requests."""

    shape: Shape
    method: str

    @property
    def order(self) -> tuple[Shape, int, str]:
        """Sorts as candidates are walked."""
        method = self.method
        return self.shape, 2 if method == ANY_METHOD else 1 if method == "GET" else 0, method

    def governs(self, method: str) -> bool:
        """Whether it answers requests with this method."""
        return self.method in (ANY_METHOD, method) or (self.method == "GET" and method == "HEAD")


def parse_path(match: PathMatch, settings: PathSettings) -> ParsedPath | str:
    """The path of a match, or what is wrong with it."""
    if match.type is PathType.TEMPLATE:
        return _parse_template(match.value, settings)
    normal = settings.normalize(match.value)
    if (problem := _not_normal(match.value, normal)) is not None:
        return problem
    path = without_trailing_slash(match.value)
    if match.type is PathType.EXACT:
        return ParsedPath(path, Shape(pb.PATH_TYPE_EXACT, (), path))
    return ParsedPath(path, Shape(pb.PATH_TYPE_PREFIX, (-len(path.removesuffix("/")),), path))


def _parse_template(value: str, settings: PathSettings) -> ParsedPath | str:
    path = without_trailing_slash(value)
    segments = [_CAPTURE.fullmatch(segment) or segment for segment in path.split("/")[1:]]
    names = [name for part in segments if isinstance(part, re.Match) for name in part.groups() if name]
    if len(set(names)) != len(names):
        return "a template must not name two captures alike"
    # A capture stands for any segment, so the template is in normal form if it is so with a plain segment there.
    plain = "".join(f"/{segment if isinstance(segment, str) else 'x'}" for segment in segments)
    if (problem := _not_normal(plain, settings.normalize(plain))) is not None:
        return problem if plain == path else "the path must be in normal form between its captures"
    kinds = tuple(_LITERAL if isinstance(segment, str) else _kind(segment) for segment in segments)
    return ParsedPath(path, Shape(pb.PATH_TYPE_TEMPLATE, kinds, plain))


def _kind(capture: re.Match[str]) -> int:
    return _ONE if capture["name"] else _REST


def _not_normal(path: str, normal: str | PathRefused) -> str | None:
    if isinstance(normal, PathRefused):
        return f"no request ever has this path: {normal.reason}"
    return None if normal == path else f"the path must be in normal form: write {normal}"
