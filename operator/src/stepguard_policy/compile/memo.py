"""Results that are kept from one compilation to the next."""

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """Remembers, per key, the last result together with what it was made from.

    A result is only used again for equal inputs, so a memo never changes what is computed. What a whole round did not
    ask for is forgotten.
    """

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[tuple[object, ...], Value]] = {}
        self._used: dict[Key, tuple[tuple[object, ...], Value]] = {}

    def get(self, key: Key, inputs: tuple[object, ...], make: Callable[[], Value]) -> Value:
        """The result for these inputs, made where it is not known. `make` must depend on them alone."""
        entry = self._kept.get(key)
        if entry is None or entry[0] != inputs:
            entry = (inputs, make())
        self._used[key] = entry
        return entry[1]

    def end_round(self) -> None:
        """Forget what was not asked for since the last call."""
        self._kept, self._used = self._used, {}
