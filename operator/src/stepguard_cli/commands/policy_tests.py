"""`stepguard test`: unit tests of policies, in the Test Anything Protocol."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from stepguard_cli.cases.evaluate import Result, bench
from stepguard_cli.cases.model import case_files, read_cases
from stepguard_cli.console import CliError, Console, Style
from stepguard_cli.reading import read_sound


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file of cases, or a folder of *.yaml")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print a line for each case; 1 where one failed."""
    results = list(_results(case_files(arguments.paths)))
    console.line("TAP version 14")
    console.line(f"1..{len(results)}")
    for number, result in enumerate(results, start=1):
        _show(number, result, console)
    failed = sum(bool(result.differences) for result in results)
    console.document(
        {
            "passed": len(results) - failed,
            "failed": failed,
            "tests": [
                {"name": result.case.name, "ok": not result.differences, "differences": list(result.differences)}
                for result in results
            ],
        }
    )
    return 1 if failed else 0


def _results(files: Sequence[Path]) -> Iterator[Result]:
    for file in files:
        cases = read_cases(file)
        snapshot = read_sound([file.parent / path for path in cases.policies]).compiled.snapshot
        with bench(snapshot) as decided:
            for index, case in enumerate(cases.tests):
                try:
                    yield decided.evaluate(case)
                except CliError as error:
                    raise CliError(f"{file}: tests[{index}]: {error}") from None


def _show(number: int, result: Result, console: Console) -> None:
    ok = not result.differences
    word = console.styled("ok" if ok else "not ok", Style.GOOD if ok else Style.BAD)
    # A backslash keeps a hash from being read as a directive (TAP 14).
    name = result.case.name.replace("\\", "\\\\").replace("#", "\\#")
    console.line(f"{word} {number} - {name}")
    if not ok:
        console.line("  ---")
        for difference in result.differences:
            console.line(f"  {difference}")
        console.line("  ...")
