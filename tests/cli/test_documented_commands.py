"""Every command in a shell block of the README and the guides works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "guides" / "policies.md")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Lines of shell blocks, without comments."""
    blocks = [block for page in PAGES for block in BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run it in the root of the clone, with our programs on the PATH."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("stepguard ")])
def test_a_documented_command_succeeds(line: str) -> None:
    """And prints something."""
    done = run("sh", "-euc", line)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make ")])
def test_a_documented_make_target_exists(line: str) -> None:
    """What it does is tested where it belongs: the demo behind a real Envoy, the tests by running them."""
    done = run(*line.split(), "--dry-run")
    assert done.returncode == 0, done.stderr


def test_the_demo_target_runs_the_demo() -> None:
    """`KEEP=1` keeps it up."""
    assert (
        run("make", "--no-print-directory", "demo", "--dry-run")
        .stdout.splitlines()[-1]
        .strip()
        .endswith("stepguard demo")
    )
    kept = run("make", "--no-print-directory", "demo", "KEEP=1", "--dry-run")
    assert kept.stdout.splitlines()[-1].strip().endswith("stepguard demo --keep")


def test_nothing_documented_is_left_out() -> None:
    """Every line is one of those that are run here."""
    assert [line for line in commands() if not line.startswith(("stepguard ", "make "))] == []
