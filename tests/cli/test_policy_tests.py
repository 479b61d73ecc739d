"""`stepguard test` runs policy unit tests."""

import re
from pathlib import Path

import pytest

from tests.support.cli import document, stepguard

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"
CASE = """\
policies: [{policies}]
tests:
- name: the first
  request: {{url: "http://localhost:10000/accounts"}}
  token: {token}
  expect: {expect}
"""


def write(folder: Path, *, token: str = "{}", expect: str = "{outcome: allow}") -> Path:
    """A file with one case under the demo's policies."""
    file = folder / "cases.yaml"
    file.write_text(CASE.format(policies=EXAMPLE / "policies", token=token, expect=expect), encoding="utf-8")
    return file


def test_the_examples_cases_pass() -> None:
    """One line each, and a plan that counts them."""
    done = stepguard("test", EXAMPLE / "tests")
    assert done.returncode == 0, done.stdout
    version, plan, *lines = done.stdout.splitlines()
    assert version == "TAP version 14"
    assert plan == f"1..{len(lines)}"
    assert [line.split(" - ")[0] for line in lines] == [f"ok {number}" for number in range(1, len(lines) + 1)]


def test_a_case_that_fails_says_what_was_expected_and_what_came(tmp_path: Path) -> None:
    """Exit status 1."""
    done = stepguard("test", write(tmp_path, expect="{outcome: deny, rule: other, status: 403}"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[2:] == [
        "not ok 1 - the first",
        "  ---",
        "  outcome: expected deny, got allow",
        "  status: expected 403, got 200",
        "  rule: expected other, got accounts",
        "  ...",
    ]


def test_the_same_as_json(tmp_path: Path) -> None:
    """For CI."""
    told = document("test", write(tmp_path, expect="{outcome: deny}"), status=1)
    assert (told["passed"], told["failed"]) == (0, 1)


TOKENS = {
    "an unbound token goes under Bearer": ("{bound: false}", "{outcome: allow}"),
    "a claim that is null is left out": ("{claims: {exp: null}}", "{outcome: challenge, reason: token_claim_missing}"),
    "an expired token is refused": ("{claims: {exp: 1}}", "{outcome: challenge, reason: token_expired}"),
    "another issuer's token is refused": ("{claims: {iss: x}}", "{outcome: challenge, reason: token_issuer}"),
}


@pytest.mark.parametrize(("token", "expect"), TOKENS.values(), ids=TOKENS)
def test_a_case_may_say_anything_about_its_token(tmp_path: Path, token: str, expect: str) -> None:
    """The service's own code judges it."""
    done = stepguard("test", write(tmp_path, token=token, expect=expect))
    assert done.returncode == 0, done.stdout


FAULTS = {
    "an unknown field": ("{outcome: allow, typo: 1}", r"tests\[0\]\.expect\.typo: "),
    "an outcome that there is not": ("{outcome: maybe}", r"tests\[0\]\.expect\.outcome: "),
    "no outcome at all": ("{}", r"tests\[0\]\.expect\.outcome: "),
    "no YAML": ("{", ""),
}


@pytest.mark.parametrize(("expect", "message"), FAULTS.values(), ids=FAULTS)
def test_a_file_with_a_fault_is_one_line_on_standard_error(tmp_path: Path, expect: str, message: str) -> None:
    """Which file, which field; exit status 2."""
    file = write(tmp_path, expect=expect)
    done = stepguard("test", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(rf"stepguard test: {file}(:\d+)?: {message}", done.stderr)
    assert done.stderr.count("\n") == 1


def test_a_token_of_an_issuer_that_is_not_there_is_one_line_too(tmp_path: Path) -> None:
    """Naming those that are."""
    file = write(tmp_path, token="{issuer: other}")
    done = stepguard("test", file)
    assert done.returncode == 2
    assert done.stderr == f"stepguard test: {file}: tests[0]: token.issuer: name one of the TokenIssuers: demo\n"
