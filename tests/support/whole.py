"""A whole service inside the test's process: every part that `stepguard-service` has, on free ports."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from stepguard_service.program import Life
from stepguard_service.settings import Settings, parse
from stepguard_service.wiring import assemble

from tests.support.bank import Bank
from tests.support.checks import Caller
from tests.support.processes import free_port


@dataclass
class Whole:
    """A running service and a client of it."""

    life: Life
    caller: Caller
    port: int


@contextlib.contextmanager
def whole(bank: Bank, *flags: str) -> Iterator[Whole]:
    """Serve a bank's policies as long as the block runs."""
    port = free_port()
    settings = parse(
        ["--policies", str(bank.folder), "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", *flags], {}
    )
    assert isinstance(settings, Settings), settings
    life = Life(assemble(settings, lines_dropped=lambda: 0), settings)
    try:
        life.start()
        caller = Caller(port)
        yield Whole(life, caller, port)
        caller.close()
    finally:
        life.stop()
