"""Resources as the compiler takes them, whether they come from files or from the Kubernetes API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

from typing_extensions import override

from stepguard_policy.resources.issuer import TokenIssuerSpec
from stepguard_policy.resources.policy import StepUpPolicySpec

GROUP = "stepguard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Spec_co = TypeVar("Spec_co", bound=StepUpPolicySpec | TokenIssuerSpec, covariant=True)


class Severity(StrEnum):
    """Whether a problem keeps a document out."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where.

    `file` is empty and `line` 0 for objects of the API. `field` is a path such as `spec.rules[0].matches[1].path`,
    empty for the document itself.
    """

    file: str
    line: int
    field: str
    message: str
    severity: Severity = Severity.ERROR

    @override
    def __str__(self) -> str:
        """`file:line: field: message`, leaving out what is not known."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (place, self.field, self.message)))


@dataclass(frozen=True, slots=True)
class Source:
    """The document a resource was read from. `lines` maps field paths to lines, from 1."""

    file: str
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)

    def line_of(self, field_path: str) -> int:
        """Line of a field, or of the nearest field around it that the document has; 0 where it has none."""
        path = field_path
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)


@dataclass(frozen=True, slots=True)
class Accepted(Generic[Spec_co]):
    """`status.accepted`: the last spec that was accepted, and its generation."""

    generation: int
    spec: Spec_co


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceOf(Generic[Spec_co]):
    """One object. `spec` is None where it is invalid; `spec_problems` then says why.

    `created` is in Unix seconds; None counts as the youngest. `position` is the file's name and the document's index.
    """

    kind: ClassVar[str]

    name: str
    namespace: str = ""
    generation: int = 0
    created: float | None = None
    uid: str = ""
    spec: Spec_co | None = None
    spec_problems: tuple[Problem, ...] = ()
    accepted: Accepted[Spec_co] | None = None
    source: Source | None = None
    position: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResource(ResourceOf[StepUpPolicySpec]):
    """A StepUpPolicy."""

    kind: ClassVar[Literal["StepUpPolicy"]] = "StepUpPolicy"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerResource(ResourceOf[TokenIssuerSpec]):
    """A TokenIssuer; its namespace is empty."""

    kind: ClassVar[Literal["TokenIssuer"]] = "TokenIssuer"


Resource: TypeAlias = PolicyResource | IssuerResource
