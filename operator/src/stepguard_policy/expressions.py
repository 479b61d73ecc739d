"""`when`: CEL expressions over a request and its claims, type-checked once and evaluated without ever raising.

The engine holds the GIL while it evaluates, so expressions may be used from any thread. It cuts strings at NUL, so an
input that has one gives no answer. Each evaluation converts what it is given: only the variables that an expression
names are handed over.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from cel_expr_python import cel

from stepguard_policy.cel_tree import read_tree
from stepguard_policy.expression_limits import QUERY_PARAMETERS, over_limit, patterns

EXPRESSION_LENGTH: Final = 1024
"""Characters."""

CLAIMS: Final = "claims"
_TEXT_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
VARIABLES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "request.method": cel.Type.STRING,
        "request.path": cel.Type.STRING,
        "request.host": cel.Type.STRING,
        "request.query": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.STRING)),
        "request.headers": _TEXT_MAP,
        "params": _TEXT_MAP,
        CLAIMS: cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
)
"""Qualified names, so that a misspelt one is a compile error."""

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_CONTAINER = re.compile(r" \(in container ''\)")
_EXPECTED = re.compile(r" expecting \{.*\}")
_STATUS = re.compile(r"\s*\[[A-Z_]+\]$")
_DEPTH: Final = 64
"""Nesting of claims; tokens have at most half of it."""


@dataclass(frozen=True, slots=True)
class ExpressionError:
    """Why an expression is refused. `position` is `line:column` from 1, empty where the error has none."""

    message: str
    position: str = ""

    @property
    def text(self) -> str:
        """Position and message in one line."""
        return f"{self.position}: {self.message}" if self.position else self.message


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A type-checked expression. Immutable; usable from several threads."""

    text: str
    mentions_claims: bool
    """Whether it can be evaluated only once credentials are verified."""
    _compiled: Any = field(repr=False)
    _names: tuple[str, ...] = field(repr=False)

    def evaluate(
        self,
        *,
        method: str,
        path: str,
        host: str,
        query: Mapping[str, list[str]],
        headers: Mapping[str, str],
        params: Mapping[str, str],
        claims: Mapping[str, object] | None,
    ) -> bool | None:
        """True or False; None for everything else: an error, another type, an exhausted budget, a NUL in an input.

        Nor has an expression about `request.query` an answer where that has more than `QUERY_PARAMETERS` values.
        """
        values = (method, path, host, query, headers, params, claims)
        given = {name: value for name, value in zip(VARIABLES, values, strict=True) if name in self._names}
        if "request.query" in given and sum(map(len, query.values())) > QUERY_PARAMETERS:
            return None
        if not all(_usable(value, _DEPTH) for value in given.values()):
            return None
        try:
            answer = self._compiled.eval(data=given).value()
        except (RuntimeError, ValueError, TypeError, MemoryError):
            return None
        return answer if isinstance(answer, bool) else None


def compile_expression(text: str) -> Expression | ExpressionError:
    """Type-check a `when`. The result is memoised: policies repeat themselves."""
    if not 0 < len(text) <= EXPRESSION_LENGTH:
        return ExpressionError(f"must have 1 to {EXPRESSION_LENGTH} characters, has {len(text)}")
    return _compile(text)


@lru_cache(maxsize=4096)
def _compile(text: str) -> Expression | ExpressionError:
    compiled = _check(text, with_claims=True)
    if isinstance(compiled, ExpressionError):
        return compiled
    kind = compiled.return_type()
    if kind != cel.Type.BOOL and kind != cel.Type.DYN:  # noqa: PLR1714 the engine's types have no hash
        return ExpressionError(f"must give true or false, but gives {kind.name().lower()}")
    try:
        tree = read_tree(compiled.serialize())
    except (RuntimeError, ValueError, RecursionError):
        return ExpressionError("cannot be analysed: it is too deeply nested")
    objection = over_limit(tree) or next(filter(None, map(_broken_pattern, patterns(tree))), None)
    if objection is not None:
        return ExpressionError(objection)
    mentions_claims = isinstance(_check(text, with_claims=False), ExpressionError)
    named = frozenset(tree.identifiers())
    names = tuple(name for name in VARIABLES if name in named and (name != CLAIMS or mentions_claims))
    return Expression(text, mentions_claims, compiled, names)


@lru_cache(maxsize=1)
def _environments() -> tuple[Any, Any]:
    """With and without `claims`; 25 ms each, so only once somebody needs them."""
    without = {name: kind for name, kind in VARIABLES.items() if name != CLAIMS}
    return cel.NewEnv(variables=dict(VARIABLES)), cel.NewEnv(variables=without)


@lru_cache(maxsize=1)
def _search() -> Any:
    return _environments()[0].compile("request.host.matches(request.path)")


def _broken_pattern(pattern: str) -> str | None:
    """What RE2 says against a regular expression; the type check does not look inside."""
    if "\0" in pattern:
        return "a regular expression must not contain NUL"
    answer = _search().eval(data={"request.host": "", "request.path": pattern}).value()
    return None if isinstance(answer, bool) else _STATUS.sub("", str(answer)).removeprefix("INVALID_ARGUMENT: ")


def _check(text: str, *, with_claims: bool) -> Any:
    """The engine's expression, or an ExpressionError."""
    try:
        return _environments()[0 if with_claims else 1].compile(text)
    except RuntimeError as refused:
        return _readable(str(refused))
    except (TypeError, ValueError):
        return ExpressionError("must be Unicode text without lone surrogates")


def _readable(message: str) -> ExpressionError:
    """The first of the engine's errors, in one line."""
    found = _ERROR.search(message)
    if found is None:
        return ExpressionError(_STATUS.sub("", message.replace("\n", " ")))
    line, column, said = found.groups()
    position = f"{line}:{column}" if int(line) > 0 else ""
    return ExpressionError(_EXPECTED.sub("", _STATUS.sub("", _CONTAINER.sub("", said))).strip(), position)


def _usable(value: object, depth: int) -> bool:
    """Whether the engine sees the same value as we do: no NUL in any text, no bottomless nesting."""
    match value:
        case str():
            return "\0" not in value
        case Mapping():
            return depth > 0 and all(_usable(key, 0) and _usable(item, depth - 1) for key, item in value.items())
        case list():
            return depth > 0 and all(_usable(item, depth - 1) for item in value)
        case _:
            return True
