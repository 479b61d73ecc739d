"""The `stepguard` command: reads the arguments, runs one command, turns errors into one line and a status."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

from stepguard_cli.console import USAGE, CliError, Console, console

COMMANDS: Final = {
    "demo": ("demo", "watch a stolen token fail behind a real Envoy"),
    "lint": ("lint", "check policies, with file and line"),
    "explain": ("explain", "say which rule applies to a request, and how it is decided"),
    "test": ("policy_tests", "run unit tests of policies"),
    "proof": ("proof", "print a DPoP proof, for curl"),
    "render": ("render", "print the snapshot that policies compile to"),
    "snapshot": ("snapshot", "show what a running service has in force"),
}
"""Command → its module in `stepguard_cli.commands`, and what it does."""


class Command(Protocol):
    """What each of these modules has."""

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Describe the arguments."""

    def run(self, arguments: argparse.Namespace, console: Console) -> int:
        """Do the work and return the exit status. May raise CliError."""


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="stepguard",
        description="DPoP and step-up policies: try, check, explain.",
        epilog="commands:\n" + "\n".join(f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help="one of those below; COMMAND --help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _command(name: str) -> tuple[Command, argparse.ArgumentParser]:
    """The command's module, imported only when it is asked for, and the parser of its arguments."""
    module, summary = COMMANDS[name]
    command = cast("Command", importlib.import_module(f"stepguard_cli.commands.{module}"))
    parser = argparse.ArgumentParser(prog=f"stepguard {name}", description=f"{summary.capitalize()}.")
    command.add(parser)
    parser.add_argument("--output", choices=("text", "json"), default="text", help="how to print the result")
    return command, parser


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 where it found something wrong, or 2 where it could not do its work."""
    first = _parser().parse_args(given)
    command, parser = _command(first.command)
    arguments = parser.parse_args(first.arguments)
    try:
        return command.run(arguments, console(as_json=arguments.output == "json"))
    except CliError as error:
        print(f"stepguard {first.command}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141


if __name__ == "__main__":
    sys.exit(main())
