"""The command as a whole: help, bad arguments, and what every command has in common."""

import os
import pty
import subprocess
from pathlib import Path

import pytest
from stepguard_cli.__main__ import COMMANDS

from tests.support.cli import stepguard
from tests.support.processes import program

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo" / "tests"


def test_help_names_every_command() -> None:
    """With what it does."""
    shown = stepguard("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in shown
        assert summary in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_can_print_json(name: str) -> None:
    """`--output json` everywhere."""
    done = stepguard(name, "--help")
    assert done.returncode == 0
    assert "--output {text,json}" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("lint",), ("proof", "--method", "GET"), ("demo", "x")])
def test_bad_arguments_are_exit_status_2(arguments: tuple[str, ...]) -> None:
    """With usage on standard error."""
    done = stepguard(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: stepguard")


TERMINALS: dict[str, tuple[dict[str, str], bytes]] = {
    "any other terminal": ({}, b"\x1b["),
    "NO_COLOR": ({"NO_COLOR": "1"}, b""),
    "TERM=dumb": ({"TERM": "dumb"}, b""),
}


@pytest.mark.parametrize(("environment", "escape"), TERMINALS.values(), ids=TERMINALS)
def test_colour_is_for_terminals_that_want_it(environment: dict[str, str], escape: bytes) -> None:
    """NO_COLOR and TERM=dumb say that they do not."""
    terminal, other_end = pty.openpty()
    command: list[str | Path] = [program("stepguard"), "test", EXAMPLE]
    wanted = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        command, stdin=other_end, stdout=other_end, stderr=other_end, env={**wanted, "TERM": "xterm", **environment}
    )
    os.close(other_end)
    shown = b"".join(iter(lambda: read(terminal), b""))
    os.close(terminal)
    assert process.wait() == 0
    assert b"ok" in shown
    assert (b"\x1b[" in shown) is bool(escape)


def read(terminal: int) -> bytes:
    """What a program wrote to its terminal; nothing once it has ended."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
