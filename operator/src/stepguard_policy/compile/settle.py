"""What becomes of each policy: hosts are claimed, then the specs are tried, oldest policy first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stepguard_policy.compile.bind import Bound, Refs, bind_policy, resolve_refs
from stepguard_policy.compile.contest import Contest
from stepguard_policy.compile.draft import Fault
from stepguard_policy.compile.entrants import Attempt, Entrant, check_allowed, claim_hosts
from stepguard_policy.compile.grants import Grants
from stepguard_policy.compile.issuers import Issuers
from stepguard_policy.compile.memo import Memo
from stepguard_policy.compile.options import CompileOptions
from stepguard_policy.compile.ownership import Ownership
from stepguard_policy.compile.reasons import CONTRIBUTES_NOTHING, AcceptedReason, RefsReason
from stepguard_policy.compile.verdicts import Ref

Bounds = Memo[tuple[Ref, str], Bound]


@dataclass(frozen=True, slots=True)
class Refused:
    """A spec that cannot serve."""

    attempt: Attempt
    refs: Refs
    fault: Fault


@dataclass(frozen=True, slots=True)
class Served:
    """The spec of a policy that serves."""

    attempt: Attempt
    refs: Refs
    bound: Bound


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one policy: the specs that were refused, and the one that serves, if any."""

    entrant: Entrant
    refused: tuple[Refused, ...]
    served: Served | None


@dataclass(frozen=True, slots=True)
class Settled:
    """All outcomes, oldest policy first; the policies of each host pattern, none for a pattern that is denied."""

    outcomes: tuple[Outcome, ...]
    hosts: dict[str, Sequence[Bound]]


def settle(entrants: Sequence[Entrant], issuers: Issuers, options: CompileOptions, bounds: Bounds) -> Settled:
    """Decide between all policies."""
    grants = Grants(options.grants, any_host_is_free=options.file_mode)
    court = _Court(claim_hosts(entrants, Ownership(grants)), grants, issuers, options, bounds)
    outcomes = tuple(map(court.hear, entrants))
    hosts: dict[str, Sequence[Bound]] = dict.fromkeys(_denied(outcomes), ())
    return Settled(outcomes, hosts | court.contest.serving)


class _Court:
    """Tries one policy after the other; each finds what its elders left."""

    def __init__(
        self,
        refusals: dict[Attempt, Fault],
        grants: Grants,
        issuers: Issuers,
        options: CompileOptions,
        bounds: Bounds,
    ) -> None:
        self._refusals = refusals
        self._grants = grants
        self._issuers = issuers
        self._file_mode = options.file_mode
        self._bounds = bounds
        self.contest = Contest(max_matches_per_namespace=options.max_matches_per_namespace)

    def hear(self, entrant: Entrant) -> Outcome:
        """Try the current spec, then the last accepted one."""
        refused: list[Refused] = []
        for attempt in entrant.attempts:
            refs = resolve_refs(attempt.draft.spec, entrant.ref.namespace, self._issuers)
            result = self._try(entrant.ref, attempt, refs)
            if isinstance(result, Bound):
                self.contest.admit(result)
                return Outcome(entrant, tuple(refused), Served(attempt, refs, result))
            refused.append(Refused(attempt, refs, result))
        if any(one.fault.reason is AcceptedReason.QUOTA_EXCEEDED for one in refused):
            self.contest.close(entrant.ref.namespace)
        return Outcome(entrant, tuple(refused), None)

    def _try(self, ref: Ref, attempt: Attempt, refs: Refs) -> Fault | Bound:
        draft = attempt.draft
        fault = (
            self._refusals.get(attempt)
            or draft.fault
            or check_allowed(draft, ref.namespace, self._grants)
            or self._check_refs(attempt, refs)
            or self.contest.over_quota(draft, ref.namespace)
        )
        if fault is not None:
            return fault
        bound = self._bounds.get(
            (ref, attempt.slot), (draft, refs.usable), lambda: bind_policy(ref, draft, refs.usable)
        )
        return self.contest.loses(bound) or bound

    def _check_refs(self, attempt: Attempt, refs: Refs) -> Fault | None:
        """A spec that was accepted once goes on without the issuers that it lost."""
        reasons = {reason for reason, _ in refs.problems}
        if not reasons or attempt.established or (self._file_mode and RefsReason.ISSUERS_AMBIGUOUS not in reasons):
            return None
        return Fault(AcceptedReason.UNRESOLVED_REFS, tuple(finding for _, finding in refs.problems))


def _denied(outcomes: Iterable[Outcome]) -> set[str]:
    """Hosts of policies that cannot serve. Their namespaces own them: else the specs were refused for their hosts."""
    return {
        host
        for outcome in outcomes
        if outcome.served is None
        for refused in outcome.refused
        if refused.fault.reason not in CONTRIBUTES_NOTHING
        for host in refused.attempt.draft.hosts
    }
