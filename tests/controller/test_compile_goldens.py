"""Policy files and what the compiler makes of them; bad ones are named by their fault."""

import json
from pathlib import Path

import pytest

from tests.support.goldens import FOLDER, INPUTS, as_text, compile_file, output_of

FAULTY = tuple(source for source in INPUTS if not source.stem.startswith("good-"))


@pytest.mark.parametrize("source", INPUTS, ids=[source.stem for source in INPUTS])
def test_a_policy_file_compiles_to_what_is_kept_beside_it(source: Path) -> None:
    """After a change that is meant: `python -m tests.support.goldens`, and read the difference."""
    assert as_text(compile_file(source)) == output_of(source).read_text(encoding="utf-8")


@pytest.mark.parametrize("source", FAULTY, ids=[source.stem for source in FAULTY])
def test_a_file_named_by_a_fault_has_a_problem_with_its_line(source: Path) -> None:
    """Where the fault is, as `file:line: field: message`."""
    problems = compile_file(source)["problems"]
    assert problems
    assert all(problem.split(": ")[1].startswith(f"{source.name}:") for problem in problems)


def test_every_output_has_its_input() -> None:
    """Nothing is kept for a file that is gone."""
    assert {path.stem for path in (FOLDER / "output").iterdir()} == {source.stem for source in INPUTS}


def test_good_files_have_no_problem() -> None:
    """They are what people copy."""
    good = [source for source in INPUTS if source not in FAULTY]
    assert good
    assert all(json.loads(output_of(source).read_text(encoding="utf-8"))["problems"] == [] for source in good)
