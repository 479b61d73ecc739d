"""From what became of each policy to what its status says."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from stepguard_policy.compile.draft import Fault
from stepguard_policy.compile.reasons import AcceptedReason, RefsReason
from stepguard_policy.compile.settle import Outcome
from stepguard_policy.compile.tables import Table
from stepguard_policy.compile.verdicts import Finding, Ref, Verdict, join_findings, spec_findings


def verdicts(outcomes: Iterable[Outcome], tables: Iterable[Table]) -> Mapping[Ref, Verdict]:
    """The verdict on each policy, with the warnings about it from all its host tables."""
    warnings: dict[Ref, list[Finding]] = defaultdict(list)
    for table in tables:
        for ref, finding in table.warnings:
            warnings[ref].append(finding)
    return {outcome.entrant.ref: _verdict(outcome, warnings[outcome.entrant.ref]) for outcome in outcomes}


def _verdict(outcome: Outcome, from_tables: Sequence[Finding]) -> Verdict:
    resource, served = outcome.entrant.resource, outcome.served
    current = outcome.entrant.current
    accepted = served is not None and served.attempt is current
    fault = None if accepted else _fault(outcome)
    refs = _refs(outcome)
    warnings = (*(current.draft.warnings if current else ()), *(from_tables if accepted else ()))
    return Verdict(
        accepted=accepted,
        reason=fault.reason if fault else AcceptedReason.ACCEPTED,
        message=join_findings(fault.findings) if fault else "",
        resolved_refs=not refs,
        refs_reason=refs[0][0] if refs else RefsReason.RESOLVED_REFS,
        refs_message=join_findings(finding for _, finding in refs),
        serving_generation=served.attempt.generation if served else None,
        policy_hash=served.bound.hash if served else None,
        rules=len(served.attempt.draft.rules) if served else 0,
        warnings=tuple(dict.fromkeys(warnings)),
        accepts_new=accepted and (resource.accepted is None or resource.accepted.generation != resource.generation),
        findings=fault.findings if fault else (),
        refs_findings=tuple(finding for _, finding in refs),
    )


def _fault(outcome: Outcome) -> Fault:
    """What keeps the current spec from serving."""
    if outcome.entrant.current is None:
        return Fault(AcceptedReason.INVALID, spec_findings(outcome.entrant.resource))
    return outcome.refused[0].fault


def _refs(outcome: Outcome) -> tuple[tuple[RefsReason, Finding], ...]:
    """What is wrong with the references of the current spec, or of the last accepted one if that is unreadable."""
    for refused in outcome.refused:
        return refused.refs.problems
    return outcome.served.refs.problems if outcome.served else ()
