"""Policies as every command reads them: files, parsed and compiled, and everything there is to say about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stepguard_policy.compile import Compiled, CompileOptions, compile_resources, problems_of
from stepguard_policy.documents import load_paths
from stepguard_policy.resources import Problem, Resource, Severity

from stepguard_cli.console import CliError

OPTIONS: Final = CompileOptions(file_mode=True)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files say. `problems` are in the order of files and lines."""

    resources: tuple[Resource, ...]
    compiled: Compiled
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that keep something out of service."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


def read(paths: Sequence[Path]) -> Reading:
    """Parse and compile files, and folders of `*.yaml`. Raises CliError where a path does not exist."""
    for path in paths:
        if not path.exists():
            raise CliError(f"{path}: no such file or folder")
    loaded = load_paths(paths)
    compiled = compile_resources(loaded.resources, OPTIONS)
    judged = problems_of(compiled, loaded.resources, losers=Severity.ERROR, unresolved_refs=Severity.ERROR)
    in_order = sorted((*loaded.problems, *judged), key=lambda problem: (problem.file, problem.line))
    return Reading(loaded.resources, compiled, tuple(in_order))


def read_sound(paths: Sequence[Path]) -> Reading:
    """The same where only policies without error will do. Raises CliError naming the first error."""
    reading = read(paths)
    if not reading.errors:
        return reading
    more = len(reading.errors) - 1
    also = f" (and {more} more: see stepguard lint)" if more else ""
    raise CliError(f"{reading.errors[0]}{also}")
