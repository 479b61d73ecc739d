"""The `stepguard` command, run as people run it."""

import json
import subprocess
from pathlib import Path

from tests.support.processes import program


def stepguard(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, without a terminal."""
    command = [program("stepguard"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def document(*arguments: str | Path, status: int = 0) -> dict[str, object]:
    """What the command prints with `--output json`; fails where its exit status is another than expected."""
    done = stepguard(*arguments, "--output", "json")
    assert done.returncode == status, done.stderr
    return dict(json.loads(done.stdout))
