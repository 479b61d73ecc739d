"""What a `when` may not do although it type-checks: grow or search without bound inside loops.

The engine ends an expression after 10 000 iterations, but says nothing about what one iteration costs: joining strings
in nested loops fills gigabytes, and a regular expression may take 100 ms. One tenant's expression would stall or end
the service of all, so these are refused when the policy is accepted. Measured in tests/controller/test_expressions.py.
"""

from collections.abc import Iterator
from typing import Final

from stepguard_policy.cel_tree import Kind, Node
from stepguard_policy.regex_weight import regex_weight

QUERY_PARAMETERS: Final = 1000
"""Of one request: with more of them an expression that looks at the query has no answer. They cost 5 ms."""
PATTERN_LENGTH: Final = 256
PATTERN_WEIGHT_IN_LOOPS: Final = 256
"""Compiled anew in each iteration."""
PATTERN_WEIGHT: Final = 1000
"""All regular expressions of one `when` together."""

_NUMBERS = frozenset(
    {
        "add_int64",
        "add_uint64",
        "add_double",
        "add_duration_duration",
        "add_duration_timestamp",
        "add_timestamp_duration",
    }
)
_RESULT = "@result"
"""The loop's own accumulator: no expression can name it."""


def over_limit(tree: Node) -> str | None:
    """Why an expression is refused, as a sentence; None where it is not."""
    return next(_objections(tree, ()), None) or _heavy(tree)


def _objections(node: Node, loops: tuple[str, ...]) -> Iterator[str]:
    if node.kind is Kind.CALL:
        yield from _call(node, loops)
    for child in node.children:
        yield from _objections(child, loops)
    for part in node.body:
        yield from _objections(part, (*loops, node.name))


def _call(node: Node, loops: tuple[str, ...]) -> Iterator[str]:
    if node.name == "_+_" and loops and not node.overloads <= _NUMBERS and not _collects(node):
        yield "inside all, exists, exists_one, map and filter, + is for numbers and times only (int(a) + int(b))"
    if node.name == "matches":
        yield from _matches(node, loops)
    if node.name == "bytes" and loops:
        yield "bytes cannot be used in loops"
    if node.name in {"matches", "contains"} and loops:
        yield from _search(node, loops)


def _matches(node: Node, loops: tuple[str, ...]) -> Iterator[str]:
    pattern = node.children[-1].text
    if pattern is None:
        yield "matches needs its regular expression as a string literal"
    elif len(pattern) > PATTERN_LENGTH:
        yield f"a regular expression may have {PATTERN_LENGTH} characters"
    elif loops and regex_weight(pattern) > PATTERN_WEIGHT_IN_LOOPS:
        yield "a regular expression inside all, exists, exists_one, map or filter is too large"


def _search(node: Node, loops: tuple[str, ...]) -> Iterator[str]:
    """One text searched again and again costs as much as there are iterations; all elements once are never long."""
    if len(loops) > 1:
        yield f"{node.name} cannot be used in loops inside loops"
    looked_at = node.children if node.name == "contains" else node.children[:1]
    if not any(_is_part_of(loops[-1], text) for text in looked_at):
        yield f"inside a loop, {node.name} must look at its variable ({loops[-1]})"


def _is_part_of(variable: str, node: Node) -> bool:
    """Whether it is the variable itself, or a field or an element of it."""
    while node.kind is Kind.SELECT or (node.kind is Kind.CALL and node.name == "_[_]"):
        node = node.children[0]
    return node.kind is Kind.IDENTIFIER and node.name == variable


def _collects(node: Node) -> bool:
    """Whether this is how `map` and `filter` append an element to their result."""
    return bool(node.children) and node.children[0].kind is Kind.IDENTIFIER and node.children[0].name == _RESULT


def _heavy(tree: Node) -> str | None:
    if sum(map(regex_weight, patterns(tree))) > PATTERN_WEIGHT:
        return "its regular expressions are too large together: fewer repetitions {n}, no Unicode classes"
    return None


def patterns(node: Node) -> Iterator[str]:
    """The regular expressions in it."""
    if node.kind is Kind.CALL and node.name == "matches":
        yield node.children[-1].text or ""
    for part in (*node.children, *node.body):
        yield from patterns(part)
