"""The command as a whole: help, bad arguments, and what every command has in common."""

import pytest
from stepguard_cli.__main__ import COMMANDS

from tests.support.cli import stepguard


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
