"""`stepguard-operator`."""

import os
import sys
from collections.abc import Sequence
from typing import Final

from stepguard_operator.log import configure
from stepguard_operator.program import StartError, run
from stepguard_operator.settings import Settings, help_text, parse

BAD_CONFIGURATION: Final = 2


def main() -> int:
    """Run until SIGTERM. The status for the shell: 0 after a stop, 2 where it cannot start as it is told to."""
    arguments = sys.argv[1:]
    if "--help" in arguments:
        sys.stdout.write(f"{help_text()}\n")
        return 0
    settings = parse(arguments, os.environ)
    if not isinstance(settings, Settings):
        return _complain(settings)
    configure(settings.log_format, settings.log_level)
    try:
        run(settings)
    except StartError as error:
        return _complain(error.lines)
    return 0


def _complain(lines: Sequence[str]) -> int:
    for line in lines:
        sys.stderr.write(f"stepguard-operator: {line}\n")
    return BAD_CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
