"""`stepguard lint` and `stepguard render`: what is wrong with policies, and what good ones become."""

import json
from pathlib import Path

import pytest

from tests.support.cli import document, stepguard
from tests.support.gateway import write_policies
from tests.support.tokens import Signer

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo" / "policies"
BROKEN = """\
apiVersion: stepguard.dev/v1alpha1
kind: StepUpPolicy
metadata:
  name: broken
spec:
  hosts: [api.example.com]
  issuerRefs:
  - name: nobody
  rules:
  - name: first
    matches:
    - path: {type: Exact, value: /a}
    when: request.methid == "GET"
  - name: second
    matches:
    - path: {type: Exact, value: /b/../c}
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A policy with several faults."""
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN, encoding="utf-8")
    return file


def test_the_examples_are_clean() -> None:
    """Nothing to say about them."""
    done = stepguard("lint", EXAMPLE)
    assert (done.returncode, done.stdout) == (0, "2 resources: 0 errors, 0 warnings\n")


def test_every_fault_has_a_line_of_its_own_with_its_place(broken: Path) -> None:
    """File, line, severity, field, message; all faults at once."""
    done = stepguard("lint", broken)
    assert done.returncode == 1
    *lines, summary = done.stdout.splitlines()
    places = {line.split(": ")[0]: line for line in lines}
    for line, field in {8: "spec.issuerRefs[0]", 13: "spec.rules[0].when", 16: "spec.rules[1].matches[0].path"}.items():
        assert f"error: {field}" in places[f"{broken}:{line}"]
    assert summary.startswith("1 resources: ")


def test_the_same_as_json(broken: Path) -> None:
    """For editors and CI."""
    problems = document("lint", broken, status=1)["problems"]
    assert isinstance(problems, list)
    assert {problem["line"] for problem in problems} >= {8, 13, 16}
    assert {problem["severity"] for problem in problems} == {"error"}


@pytest.mark.parametrize("command", ["lint", "render"])
def test_a_path_that_is_not_there_is_one_line_on_standard_error(tmp_path: Path, command: str) -> None:
    """Exit status 2."""
    missing = tmp_path / "missing"
    done = stepguard(command, missing)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"stepguard {command}: {missing}: no such file or folder\n"


def test_yaml_that_cannot_be_read_is_a_fault_like_others(tmp_path: Path) -> None:
    """With its line."""
    file = tmp_path / "odd.yaml"
    file.write_text("a: b\nc: [\n", encoding="utf-8")
    done = stepguard("lint", file)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{file}:")


def test_a_snapshot_is_rendered_with_its_rules(tmp_path: Path) -> None:
    """Host tables are shown, not their bytes."""
    policies = write_policies(tmp_path / "policies", Signer())
    printed = stepguard("render", policies)
    assert printed.returncode == 0
    snapshot = json.loads(printed.stdout)
    assert [table["pattern"] for table in snapshot["hostTables"]] == ["api.example.com", "spa.example.com"]
    rules = {candidate["rule"] for candidate in snapshot["hostTables"][0]["table"]["candidates"]}
    assert rules == {"accounts", "transfers", "public", "admin", "calls"}
    assert document("render", policies) == snapshot


def test_policies_with_errors_are_not_rendered(broken: Path) -> None:
    """The first error is named, the others are counted."""
    done = stepguard("render", broken)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"stepguard render: {broken}:8: spec.issuerRefs[0]")
    assert done.stderr.count("\n") == 1
    assert "see stepguard lint" in done.stderr
