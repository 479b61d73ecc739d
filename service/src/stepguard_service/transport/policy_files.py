"""A folder of policies, read and compiled once: the snapshot it makes, and everything there is to say about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import CompileOptions, Compiler, problems_of
from stepguard_policy.documents import load_paths
from stepguard_policy.resources import IssuerResource, Problem, Severity

_OPTIONS: Final = CompileOptions(file_mode=True, max_matches_per_namespace=None)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a folder said. With errors nothing of it counts but `issuers`."""

    snapshot: pb.PolicySnapshot
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    issuers: frozenset[str]
    """Names of the TokenIssuers in readable documents, good or bad."""


def read_policies(folder: Path, compiler: Compiler, *, at_start: bool) -> Reading:
    """Read and compile. An issuerRef without its TokenIssuer is an error only at the start (docs/interfaces.md)."""
    loaded = load_paths([folder])
    compiled = compiler.compile(loaded.resources, _OPTIONS)
    judged = problems_of(
        compiled,
        loaded.resources,
        losers=Severity.WARNING,
        unresolved_refs=Severity.ERROR if at_start else Severity.WARNING,
    )
    problems = sorted([*loaded.problems, *judged], key=lambda problem: (problem.file, problem.line))
    return Reading(
        snapshot=compiled.snapshot,
        errors=tuple(problem for problem in problems if problem.severity is Severity.ERROR),
        warnings=tuple(problem for problem in problems if problem.severity is Severity.WARNING),
        issuers=frozenset(resource.name for resource in loaded.resources if isinstance(resource, IssuerResource)),
    )
