"""What the compiler says about each resource."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from stepguard.policy.v1 import policy_pb2 as pb
from typing_extensions import override

from stepguard_policy.compile.reasons import AcceptedReason, RefsReason
from stepguard_policy.resources import Resource, StepUpPolicySpec

Kind = Literal["StepUpPolicy", "TokenIssuer"]

FINDINGS_IN_A_MESSAGE = 5
"""A condition's message is read in a terminal; `stepguard lint` shows all."""


class Ref(NamedTuple):
    """Names one resource; `namespace` is empty for a TokenIssuer."""

    kind: Kind
    namespace: str
    name: str

    @override
    def __str__(self) -> str:
        """`namespace/name`, or the name alone: as in realms, logs and snapshots."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def ref_of(resource: Resource) -> Ref:
    """The Ref of a resource."""
    return Ref(resource.kind, resource.namespace, resource.name)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about one field, such as `spec.rules[0].when`; an empty field means the whole resource."""

    field: str
    message: str

    @override
    def __str__(self) -> str:
        """`field: message`."""
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one resource.

    `accepted` is about the current spec. `serving_generation` is the generation that is in the snapshot: the current
    one, the last accepted one, or None. `policy_hash` covers all that was compiled from that generation and nothing of
    other policies. `accepts_new` says that `status.accepted` has to become the current generation and spec. `findings`
    are the parts of `message`, `refs_findings` those of `refs_message`.
    """

    accepted: bool
    reason: AcceptedReason
    message: str
    resolved_refs: bool = True
    refs_reason: RefsReason = RefsReason.RESOLVED_REFS
    refs_message: str = ""
    serving_generation: int | None = None
    policy_hash: str | None = None
    rules: int = 0
    warnings: tuple[Finding, ...] = ()
    accepts_new: bool = False
    findings: tuple[Finding, ...] = ()
    refs_findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A snapshot (its `version` is the sender's to set), a verdict per resource, and the spec of each policy in it."""

    snapshot: pb.PolicySnapshot
    verdicts: Mapping[Ref, Verdict]
    serving: Mapping[Ref, StepUpPolicySpec]


def spec_findings(resource: Resource) -> tuple[Finding, ...]:
    """Why a resource has no readable spec."""
    problems = tuple(Finding(problem.field, problem.message) for problem in resource.spec_problems)
    return problems or (Finding("spec", "cannot be read"),)


def join_findings(findings: Iterable[Finding]) -> str:
    """One line for a condition."""
    texts = [str(finding) for finding in findings]
    shown = "; ".join(islice(texts, FINDINGS_IN_A_MESSAGE))
    more = len(texts) - FINDINGS_IN_A_MESSAGE
    return f"{shown}; and {more} more" if more > 0 else shown
