"""`stepguard lint`: everything the operator would say about these files, with file and line."""

import argparse
from pathlib import Path

from stepguard_policy.resources import Problem, Severity

from stepguard_cli.console import Console, Style
from stepguard_cli.reading import read


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a YAML file, or a folder of *.yaml")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print each problem on a line of its own; 1 where one of them is an error."""
    reading = read(arguments.paths)
    for problem in reading.problems:
        console.line(_line(problem, console))
    errors, total = len(reading.errors), len(reading.problems)
    console.line(f"{len(reading.resources)} resources: {errors} errors, {total - errors} warnings")
    console.document(
        {
            "resources": len(reading.resources),
            "problems": [
                {
                    "severity": problem.severity.value,
                    "file": problem.file,
                    "line": problem.line,
                    "field": problem.field,
                    "message": problem.message,
                }
                for problem in reading.problems
            ],
        }
    )
    return 1 if errors else 0


def _line(problem: Problem, console: Console) -> str:
    """`file:line: severity: field: message`, which editors know how to jump to."""
    word = console.styled(problem.severity.value, Style.BAD if problem.severity is Severity.ERROR else Style.WARN)
    place = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return ": ".join(filter(None, (place, word, problem.field, problem.message)))
