"""Host grants: which namespaces may use which hosts, and where a policy may hold back its teeth."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stepguard_policy.hosts import ANY_HOST, HostRefused, enclosing_patterns, parse_host_pattern

EVERY_NAMESPACE: Final = "*"


class Allowance(StrEnum):
    """What a policy may do only where a grant says so."""

    AUDIT = "Audit"
    SKIP_REPLAY = "SkipReplay"


@dataclass(frozen=True, slots=True)
class HostGrant:
    """These namespaces (`*`: all) may use what these host patterns cover. ValueError for what is no host pattern."""

    hosts: tuple[str, ...]
    namespaces: tuple[str, ...]
    allow: frozenset[Allowance] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        for host in self.hosts:
            match parse_host_pattern(host):
                case HostRefused(reason):
                    raise ValueError(f"host grant for {host!r}: {reason}")
                case str():
                    pass

    def includes(self, namespace: str) -> bool:
        """Whether it gives its hosts to this namespace."""
        return namespace in self.namespaces or EVERY_NAMESPACE in self.namespaces


@dataclass(frozen=True, slots=True)
class Standing:
    """How one namespace stands to one host pattern.

    Age decides only between patterns whose `rivals` have an element in common: those of one grant, or all of them
    where there are no grants.
    """

    refusal: str | None
    rivals: frozenset[int]
    allow: frozenset[Allowance]


class Grants:
    """The grants of an installation; None where there are none, an empty sequence where nothing is granted."""

    def __init__(self, grants: Sequence[HostGrant] | None, *, any_host_is_free: bool) -> None:
        self._restrict = grants is not None
        self._any_host_is_free = any_host_is_free
        self._by_pattern: dict[str, list[tuple[int, HostGrant]]] = defaultdict(list)
        for index, grant in enumerate(grants or ()):
            for host in grant.hosts:
                self._by_pattern[str(parse_host_pattern(host))].append((index, grant))

    def standing(self, pattern: str, namespace: str) -> Standing:
        """Ask about a pattern in normal form: the most specific grants that cover it decide."""
        if not self._restrict:
            closed = pattern == ANY_HOST and not self._any_host_is_free
            return _FREE if not closed else _CLOSED
        for covering in enclosing_patterns(pattern):
            if covering in self._by_pattern:
                return _within(self._by_pattern[covering], pattern, namespace)
        return Standing(f"no host grant covers host {pattern}", frozenset(), frozenset())


_FREE: Final = Standing(None, frozenset({-1}), frozenset(Allowance))
_CLOSED: Final = Standing(f'host "{ANY_HOST}" needs a host grant that names it', frozenset(), frozenset())


def _within(grants: Sequence[tuple[int, HostGrant]], pattern: str, namespace: str) -> Standing:
    ours = [grant for _, grant in grants if grant.includes(namespace)]
    named = ", ".join(sorted({name for _, grant in grants for name in grant.namespaces})) or "nobody"
    return Standing(
        None if ours else f"host {pattern} is granted to {named}, not to namespace {namespace}",
        frozenset(index for index, _ in grants),
        frozenset().union(*(grant.allow for grant in ours)),
    )
