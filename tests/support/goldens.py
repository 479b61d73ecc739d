"""Policy files and what the compiler says to each, kept in tests/data/policies.

`python -m tests.support.goldens` writes the outputs anew; read the difference before committing it.
"""

import json
from pathlib import Path
from typing import Any

from stepguard_policy.compile import CompileOptions, compile_resources, problems_of, render_snapshot
from stepguard_policy.documents import load_paths
from stepguard_policy.resources import Problem, Severity

FOLDER = Path(__file__).parents[1] / "data" / "policies"
INPUTS = tuple(sorted((FOLDER / "input").glob("*.yaml")))


def output_of(source: Path) -> Path:
    """The file with what is expected of an input."""
    return FOLDER / "output" / f"{source.stem}.json"


def compile_file(source: Path) -> dict[str, Any]:
    """Everything that comes out of one file: problems, verdicts, the snapshot."""
    loaded = load_paths([source])
    compiled = compile_resources(loaded.resources, CompileOptions(file_mode=True))
    found = problems_of(compiled, loaded.resources, losers=Severity.ERROR, unresolved_refs=Severity.ERROR)
    return {
        "problems": [_line(problem, source) for problem in (*loaded.problems, *found)],
        "verdicts": {
            f"{ref.kind} {ref}": {
                "accepted": verdict.accepted,
                "reason": verdict.reason,
                "message": verdict.message,
                "resolvedRefs": verdict.refs_reason,
                "refsMessage": verdict.refs_message,
                "warnings": [str(warning) for warning in verdict.warnings],
                "rules": verdict.rules,
            }
            for ref, verdict in compiled.verdicts.items()
        },
        "snapshot": render_snapshot(compiled.snapshot),
    }


def as_text(output: dict[str, Any]) -> str:
    """As it stands in the file."""
    return json.dumps(output, indent=2, sort_keys=True) + "\n"


def _line(problem: Problem, source: Path) -> str:
    return f"{problem.severity}: {problem}".replace(str(source), source.name)


def main() -> None:
    """Write every output."""
    for source in INPUTS:
        output_of(source).write_text(as_text(compile_file(source)), encoding="utf-8")


if __name__ == "__main__":
    main()
