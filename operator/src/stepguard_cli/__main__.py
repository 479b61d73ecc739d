"""The `stepguard` command: reads the arguments, runs one command, turns errors into one line and a status."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from stepguard_cli.commands import demo, proof
from stepguard_cli.console import USAGE, CliError, Console, console


@dataclass(frozen=True, slots=True)
class Command:
    """How one command describes its arguments and runs."""

    summary: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Console], int]


COMMANDS: Final[dict[str, Command]] = {
    "demo": Command("watch a stolen token fail behind a real Envoy", demo.add, demo.run),
    "proof": Command("print a DPoP proof, for curl", proof.add, proof.run),
}


def parser() -> argparse.ArgumentParser:
    """The argument parser with every command."""
    top = argparse.ArgumentParser(prog="stepguard", description="DPoP and step-up policies: try, check, explain.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.summary, description=command.summary.capitalize() + ".")
        command.add(sub)
        sub.add_argument("--output", choices=("text", "json"), default="text", help="how to print the result")
    return top


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 where it found something wrong, or 2 where it could not do its work."""
    arguments = parser().parse_args(given)
    command = COMMANDS[arguments.command]
    try:
        return command.run(arguments, console(as_json=arguments.output == "json"))
    except CliError as error:
        print(f"stepguard {arguments.command}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141


if __name__ == "__main__":
    sys.exit(main())
