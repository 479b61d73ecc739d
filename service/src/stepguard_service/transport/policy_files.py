"""A folder of policies, read and compiled once: the program `python -m stepguard_service.transport.policy_files`.

Reading YAML and compiling it takes seconds of one core for large folders and leaves tens of megabytes behind. In a
process that ends, neither is the serving process's: no check waits for the interpreter, no memory stays.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stepguard_policy.compile import CompileOptions, compile_resources, problems_of
from stepguard_policy.documents import load_paths
from stepguard_policy.encode import encode
from stepguard_policy.resources import IssuerResource, Problem, Severity

from stepguard_service.transport.policy_reader import AT_START

_OPTIONS: Final = CompileOptions(file_mode=True, max_matches_per_namespace=None)
_NICENESS: Final = 10
"""Requests come first: on one core they would otherwise share it with us half and half."""


def main() -> int:
    """Write what the folder says to stdout: a line of JSON, then the serialised snapshot."""
    folder, *flags = sys.argv[1:]
    at_start = AT_START in flags
    if not at_start:
        os.nice(_NICENESS)
    sys.stdout.buffer.write(read_policies(Path(folder), at_start=at_start))
    return 0


def read_policies(folder: Path, *, at_start: bool) -> bytes:
    """Read and compile. An issuerRef without its TokenIssuer is an error only at the start (docs/interfaces.md)."""
    loaded = load_paths([folder])
    compiled = compile_resources(loaded.resources, _OPTIONS)
    judged = problems_of(
        compiled,
        loaded.resources,
        losers=Severity.WARNING,
        unresolved_refs=Severity.ERROR if at_start else Severity.WARNING,
    )
    problems = sorted([*loaded.problems, *judged], key=lambda problem: (problem.file, problem.line))
    said = {
        "errors": _lines(problems, Severity.ERROR),
        "warnings": _lines(problems, Severity.WARNING),
        "issuers": [resource.name for resource in loaded.resources if isinstance(resource, IssuerResource)],
    }
    return json.dumps(said).encode() + b"\n" + encode(compiled.snapshot)


def _lines(problems: Iterable[Problem], severity: Severity) -> list[str]:
    return [str(problem) for problem in problems if problem.severity is severity]


if __name__ == "__main__":
    sys.exit(main())
