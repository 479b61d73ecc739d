"""When to act on a run of changes: once they pause, and soon enough when they do not."""

from dataclasses import dataclass
from typing import Final

QUIET_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Debounce:
    """A run of changes that waits: when it began, and when its last change came; None where nothing waits."""

    first: float | None = None
    last: float | None = None

    def touched(self, now: float) -> "Debounce":
        """One more change."""
        return Debounce(now if self.first is None else self.first, now)

    @property
    def due(self) -> float | None:
        """When to act: QUIET_SECONDS after the last change, LONGEST_SECONDS after the first at the latest."""
        if self.first is None or self.last is None:
            return None
        return min(self.last + QUIET_SECONDS, self.first + LONGEST_SECONDS)
