"""Why a request is answered as it is: which rule applies, why the others do not, and every check that was made."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from stepguard_policy.compile import Decider, Part, effective_requirement, ref_of
from stepguard_policy.hosts import matches
from stepguard_policy.resources import DpopRequirement, PolicyResource, StepUpPolicySpec
from stepguard_policy.resources import Rule as RuleSpec
from stepguard_service.core.checks import BINDING_CHECKS, CREDENTIAL_CHECKS, PROOF_CHECKS, REQUIREMENT_CHECKS
from stepguard_service.core.decision import Considered
from stepguard_service.core.matching import HostRules
from stepguard_service.core.model import Access, Answer, Request
from stepguard_service.core.path_index import Entry
from stepguard_service.core.place import Place, locate
from stepguard_service.core.reasons import Reason

from stepguard_cli.engine import Engine
from stepguard_cli.reading import Reading

Value = TypeVar("Value")

SENTENCES: Final[Mapping[str, str]] = {
    "token_is_good": "Rows 10 to 12 (RFC 9068): signature, type, issuer, audience, lifetime and claims of the token.",
    "proof_is_good": "Rows 21 and 22 (RFC 9449 §4.3): the proof is for this method, URI, token and time.",
    **{
        check.__name__: (check.__doc__ or "").splitlines()[0]
        for check in (*CREDENTIAL_CHECKS, *BINDING_CHECKS, *PROOF_CHECKS, *REQUIREMENT_CHECKS)
    },
}
"""What each check demands."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One check; `reason` is None where it passed."""

    sentence: str
    reason: Reason | None


@dataclass(slots=True)
class Notes:
    """Hears how a decision comes about (`core.decision.Watch`)."""

    walk: list[tuple[Entry, Considered]] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)

    def considered(self, entry: Entry, outcome: Considered) -> None:
        """One candidate of the walk."""
        self.walk.append((entry, outcome))

    def checked(self, name: str, reason: Reason | None) -> None:
        """One check."""
        self.checks.append(Checked(SENTENCES.get(name, name), reason))


@dataclass(frozen=True, slots=True)
class Candidate:
    """One match of one rule of the host, and what became of it."""

    policy: str
    rule: str
    match: str
    fate: str
    applies: bool


@dataclass(frozen=True, slots=True)
class Demand:
    """One part of the effective requirement, and where it comes from."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything `stepguard explain` says. `place` is `file:line` of the rule; empty where no rule applies."""

    host: str
    path: str
    candidates: tuple[Candidate, ...]
    elsewhere: tuple[str, ...]
    place: str
    demands: tuple[Demand, ...]
    checks: tuple[Checked, ...]
    answer: Answer


def explain(reading: Reading, engine: Engine, notes: Notes, *, request: Request, now: int) -> Explanation:
    """Decide the request, and tell why. `notes` are the engine's watch."""
    answer = engine.decide(request, now)
    place = locate(request, engine.rules)
    rules = place.rules if isinstance(place, Place) else None
    origin = _origin_of(reading, answer)
    return Explanation(
        host=rules.pattern if rules else "",
        path=place.path if isinstance(place, Place) else "",
        candidates=tuple(_candidates(place, notes)) if isinstance(place, Place) else (),
        elsewhere=tuple(_elsewhere(engine, rules, place.host)) if isinstance(place, Place) and rules else (),
        place=origin.place if origin else "",
        demands=tuple(_demands(origin.spec, origin.rule)) if origin else (),
        checks=tuple(notes.checks),
        answer=answer,
    )


def _candidates(place: Place, notes: Notes) -> Iterator[Candidate]:
    """Those that were looked at, in that order; then the rest as they stand in the host's table."""
    walked = {id(entry) for entry, _ in notes.walk}
    for entry, outcome in notes.walk:
        yield _candidate(entry, outcome.value, applies=outcome in {Considered.CHOSEN, Considered.CREDENTIALS})
    for entry in place.rules.entries:
        if id(entry) not in walked:
            yield _candidate(entry, _why_not(entry, place), applies=False)


def _candidate(entry: Entry, fate: str, *, applies: bool) -> Candidate:
    match = f"{entry.method or 'any method'} {entry.path_type.value} {entry.path}"
    return Candidate(entry.rule.policy.name, entry.rule.name, match, fate, applies)


def _why_not(entry: Entry, place: Place) -> str:
    if _found(entry, place, place.request.method):
        return "a more specific match comes first"
    return "another method" if entry.method and _found(entry, place, entry.method) else "another path"


def _found(entry: Entry, place: Place, method: str) -> bool:
    return any(found is entry for found, _ in place.rules.candidates(place.path, method))


def _elsewhere(engine: Engine, rules: HostRules, host: str) -> Iterator[str]:
    """Policies of other patterns that match the host too."""
    for other in engine.rules.hosts:
        if other is not rules and matches(other.pattern, host):
            for policy in other.policies:
                yield f"{policy.name} ({other.pattern}): policies of the more specific {rules.pattern} come first"


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where the rule that applies was written."""

    place: str
    spec: StepUpPolicySpec
    rule: RuleSpec


def _origin_of(reading: Reading, answer: Answer) -> _Origin | None:
    for resource in reading.resources:
        if not isinstance(resource, PolicyResource) or str(ref_of(resource)) != answer.policy:
            continue
        spec = reading.compiled.serving.get(ref_of(resource))
        for index, rule in enumerate(spec.rules if spec else ()):
            if spec and rule.name == answer.rule:
                source = resource.source
                place = f"{source.file}:{source.line_of(f'spec.rules[{index}]')}" if source else ""
                return _Origin(place, spec, rule)
    return None


def _demands(spec: StepUpPolicySpec, rule: RuleSpec) -> Iterator[Demand]:
    """What the rule demands, the policy's defaults merged in."""
    yield Demand("access", rule.access.value, "the rule")
    if rule.access.value != Access.AUTHENTICATED.value:
        return
    effective = effective_requirement(spec, rule)
    required, if_bound = DpopRequirement.REQUIRED.value, DpopRequirement.IF_BOUND.value
    yield _demand("dpop", effective.dpop_required, lambda value: required if value else if_bound)
    yield _demand("acrValues", effective.acr_values, ", ".join)
    yield _demand("maxAge", effective.max_age, lambda value: "" if value is None else f"{value}s")
    yield _demand("scopes", effective.scopes, ", ".join)


def _demand(name: str, part: Part[Value], show: Callable[[Value], str]) -> Demand:
    words = {Decider.RULE: "the rule", Decider.DEFAULTS: "the policy's defaults"}
    origin = " and ".join(words[decider] for decider in part.deciders) or "nobody asks for it"
    return Demand(name, show(part.value) or "anything", origin)
