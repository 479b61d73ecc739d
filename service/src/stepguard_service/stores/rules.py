"""The rules in force: one immutable set, swapped whole, so that no request ever sees half of a change."""

from stepguard_service.core.matching import RuleSet


class RuleStore:
    """Holds the RuleSet in force; None until the first one is complete (row F2). May be read and set by any thread."""

    __slots__ = ("current",)

    def __init__(self, current: RuleSet | None = None) -> None:
        self.current = current
