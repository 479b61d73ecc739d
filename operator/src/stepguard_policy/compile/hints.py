"""What a `when` probably does not mean: found in its text, so a hint and never an error."""

import re
from collections.abc import Iterator
from typing import Final

_LOOKED_UP: Final = re.compile(r"""request\.(query|headers)\[\s*(["'])([^"'\\]+)\2\s*\]""")
_ASKED_FOR: Final = re.compile(r"""(["'])([^"'\\]+)\1\s+in\s+request\.(query|headers)\b""")


def hints(expression: str) -> Iterator[str]:
    """Sentences about header names that no request has, and about look-ups that deny requests which lack the key."""
    looked_up = {(where, name) for where, _, name in _LOOKED_UP.findall(expression)}
    asked_for = {(where, name) for _, name, where in _ASKED_FOR.findall(expression)}
    for where, name in sorted(looked_up | asked_for):
        if where == "headers" and name != name.lower():
            yield f"names of headers are in lower case here: write {name.lower()} instead of {name}"
    for where, name in sorted(_as_requests_have_it(looked_up) - _as_requests_have_it(asked_for)):
        yield f'a request without "{name}" is denied: ask \'"{name}" in request.{where}\' first'


def _as_requests_have_it(names: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(where, name.lower() if where == "headers" else name) for where, name in names}
