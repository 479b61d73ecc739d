"""What a rule demands once the policy's `defaults` are merged in, and who says so."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from stepguard_policy.resources import DpopRequirement, Require

Value = TypeVar("Value")


class Decider(StrEnum):
    """Who decided a part of a requirement."""

    RULE = "rule"
    DEFAULTS = "defaults"


@dataclass(frozen=True, slots=True)
class Part(Generic[Value]):
    """One part of a requirement. Nobody decides what neither the rule nor the defaults ask for."""

    value: Value
    deciders: tuple[Decider, ...] = ()


@dataclass(frozen=True, slots=True)
class Effective:
    """A complete requirement. `max_age` is in seconds, None where there is none."""

    dpop_required: Part[bool]
    acr_values: Part[tuple[str, ...]]
    max_age: Part[int | None]
    scopes: Part[tuple[str, ...]]

    @property
    def unmeetable(self) -> bool:
        """Whether the rule and the defaults ask for acr values and have none in common."""
        return bool(self.acr_values.deciders) and not self.acr_values.value


_NOTHING: Final = Effective(Part(value=False), Part(()), Part(None), Part(()))


def merge_requirement(rule: Require | None, defaults: Require | None) -> Effective:
    """The stricter dpop, the smaller maxAge, all scopes, and the rule's acrValues cut to those of the defaults.

    This keeps the rule's order of preference. A rule without acrValues takes those of the defaults.
    """
    asked = [(who, require) for who, require in ((Decider.RULE, rule), (Decider.DEFAULTS, defaults)) if require]
    if not asked:
        return _NOTHING
    return Effective(_dpop(asked), _acr_values(asked), _max_age(asked), _scopes(asked))


Asked = list[tuple[Decider, Require]]


def _who(asked: Asked, says: Callable[[Require], bool]) -> tuple[Decider, ...]:
    return tuple(who for who, require in asked if says(require))


def _dpop(asked: Asked) -> Part[bool]:
    who = _who(asked, lambda require: require.dpop is DpopRequirement.REQUIRED)
    return Part(bool(who), who)


def _acr_values(asked: Asked) -> Part[tuple[str, ...]]:
    lists = [require.acr_values for _, require in asked if require.acr_values]
    if not lists:
        return Part(())
    common = tuple(value for value in lists[0] if all(value in other for other in lists[1:]))
    return Part(common, _who(asked, lambda require: bool(require.acr_values)))


def _max_age(asked: Asked) -> Part[int | None]:
    ages = [require.max_age for _, require in asked if require.max_age is not None]
    if not ages:
        return Part(None)
    smallest = min(ages)
    return Part(smallest, _who(asked, lambda require: require.max_age == smallest))


def _scopes(asked: Asked) -> Part[tuple[str, ...]]:
    union = dict.fromkeys(scope for _, require in asked for scope in require.scopes or ())
    return Part(tuple(union), _who(asked, lambda require: bool(require.scopes)))
