"""Policies as they enter a compilation: oldest first, each with the one or two specs that may serve."""

from collections.abc import Iterable
from dataclasses import dataclass

from stepguard_policy.compile.draft import Draft, Fault, draft_policy
from stepguard_policy.compile.grants import Allowance, Grants
from stepguard_policy.compile.memo import Memo
from stepguard_policy.compile.ownership import Ownership
from stepguard_policy.compile.reasons import AcceptedReason
from stepguard_policy.compile.verdicts import Finding, Ref, ref_of
from stepguard_policy.resources import Mode, PolicyResource, ReplayMode, StepUpPolicySpec

Drafts = Memo[tuple[Ref, str], Draft]


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One spec that may serve. `established` says that it was accepted before: missing issuers do not refuse it."""

    slot: str
    generation: int
    draft: Draft
    established: bool


@dataclass(frozen=True, slots=True, eq=False)
class Entrant:
    """One policy. The attempt with its current spec, if it is readable, and the one with its last accepted spec."""

    resource: PolicyResource
    ref: Ref
    current: Attempt | None
    former: Attempt | None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """In the order in which they are tried."""
        return tuple(attempt for attempt in (self.current, self.former) if attempt is not None)


def enter(resources: Iterable[PolicyResource], drafts: Drafts) -> list[Entrant]:
    """All policies, oldest first."""
    return [_entrant(resource, drafts) for resource in sorted(resources, key=_age)]


def _age(resource: PolicyResource) -> tuple[bool, float, str, int, str, str]:
    """creationTimestamp, then namespace/name; documents without one are the youngest, in the order of their files."""
    if resource.created is not None:
        return False, resource.created, "", 0, resource.namespace, resource.name
    return True, 0.0, *resource.position, resource.namespace, resource.name


def _entrant(resource: PolicyResource, drafts: Drafts) -> Entrant:
    ref, accepted = ref_of(resource), resource.accepted
    established = accepted is not None and accepted.generation == resource.generation

    def attempt(slot: str, generation: int, spec: StepUpPolicySpec, *, established: bool) -> Attempt:
        draft = drafts.get((ref, slot), (spec,), lambda: draft_policy(spec))
        return Attempt(slot, generation, draft, established)

    current = former = None
    if resource.spec is not None:
        current = attempt("spec", resource.generation, resource.spec, established=established)
    if accepted is not None and (current is None or not established):
        former = attempt("accepted", accepted.generation, accepted.spec, established=True)
    return Entrant(resource, ref, current, former)


def claim_hosts(entrants: Iterable[Entrant], ownership: Ownership) -> dict[Attempt, Fault]:
    """Let policies claim their hosts; the result says which specs are refused for theirs.

    What an accepted spec names comes before what only a new one names, so that editing an old policy takes no host
    away from others: specs that name nothing else claim first, then the rest; each time the older policy first.
    """
    first: list[tuple[Attempt, Ref]] = []
    then: list[tuple[Attempt, Ref]] = []
    for entrant in entrants:
        accepted_hosts = {host for attempt in entrant.attempts if attempt.established for host in attempt.draft.hosts}
        for attempt in entrant.attempts:
            turn = first if accepted_hosts.issuperset(attempt.draft.hosts) else then
            turn.append((attempt, entrant.ref))
    refusals = {}
    for attempt, ref in (*first, *then):
        fault = ownership.claim(attempt.draft.hosts, ref)
        if fault is not None:
            refusals[attempt] = fault
    return refusals


def check_allowed(draft: Draft, namespace: str, grants: Grants) -> Fault | None:
    """Whether every host's grant allows what holds a policy's teeth back."""
    spec = draft.spec
    asked = []
    if spec.mode is Mode.AUDIT:
        asked.append((Allowance.AUDIT, "spec.mode"))
    if spec.dpop.replay is ReplayMode.SKIP:
        asked.append((Allowance.SKIP_REPLAY, "spec.dpop.replay"))
    findings = tuple(
        Finding(field, f"no host grant allows {allowance} on host {host} to namespace {namespace}")
        for allowance, field in asked
        for host in draft.hosts
        if allowance not in grants.standing(host, namespace).allow
    )
    return Fault(AcceptedReason.NOT_ALLOWED, findings) if findings else None
