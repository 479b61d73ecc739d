"""Whose host is it: claims of namespaces on host patterns, each made in the order that docs/resources.md gives."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from stepguard_policy.compile.draft import Fault
from stepguard_policy.compile.grants import Grants, Standing
from stepguard_policy.compile.reasons import AcceptedReason
from stepguard_policy.compile.verdicts import Finding, Ref
from stepguard_policy.hosts import enclosing_patterns


@dataclass(frozen=True, slots=True)
class Claim:
    """A pattern that belongs to the namespace of a policy."""

    pattern: str
    holder: Ref
    rivals: frozenset[int]


class Ownership:
    """Claims made so far. A claim is refused where it overlaps an earlier one of another namespace.

    Patterns form a tree, so overlapping means lying above or below: a claim is filed under its own pattern and, once
    per rival group and namespace, under each pattern above it.
    """

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._at: dict[str, Claim] = {}
        self._below: dict[str, dict[tuple[int, str], Claim]] = defaultdict(dict)

    def claim(self, patterns: Sequence[str], holder: Ref) -> Fault | None:
        """Take all these patterns for the holder's namespace, or none of them and say why."""
        standings = [self._grants.standing(pattern, holder.namespace) for pattern in patterns]
        refusals = [Finding("spec.hosts", standing.refusal) for standing in standings if standing.refusal]
        if refusals:
            return Fault(AcceptedReason.HOST_NOT_GRANTED, tuple(refusals))
        claims = list(zip(patterns, standings, strict=True))
        conflicts = [
            Finding("spec.hosts", _conflict(pattern, earlier))
            for pattern, standing in claims
            if (earlier := self._earlier(pattern, standing, holder.namespace)) is not None
        ]
        if conflicts:
            return Fault(AcceptedReason.HOST_CONFLICT, tuple(conflicts))
        for pattern, standing in claims:
            self._file(Claim(pattern, holder, standing.rivals))
        return None

    def _earlier(self, pattern: str, standing: Standing, namespace: str) -> Claim | None:
        for above in enclosing_patterns(pattern):
            claim = self._at.get(above)
            if claim and claim.holder.namespace != namespace and claim.rivals & standing.rivals:
                return claim
        for (rival, other), claim in self._below.get(pattern, {}).items():
            if other != namespace and rival in standing.rivals:
                return claim
        return None

    def _file(self, claim: Claim) -> None:
        if self._at.setdefault(claim.pattern, claim) is not claim:
            return
        for above in enclosing_patterns(claim.pattern):
            for rival in claim.rivals:
                self._below[above].setdefault((rival, claim.holder.namespace), claim)


def _conflict(pattern: str, earlier: Claim) -> str:
    belongs = f"belongs to namespace {earlier.holder.namespace} (policy {earlier.holder})"
    return (
        f"{pattern} {belongs}"
        if pattern == earlier.pattern
        else f"{pattern} overlaps {earlier.pattern}, which {belongs}"
    )
