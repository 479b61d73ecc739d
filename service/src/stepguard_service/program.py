"""The life of a service: start in an order in which nothing answers too early, drain, stop."""

import gc
import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from stepguard_service.settings import Settings
from stepguard_service.stores.replay_redis import RedisReplayStore
from stepguard_service.transport.admin import AdminServer, Probes
from stepguard_service.transport.debug_socket import DebugSocket
from stepguard_service.transport.server import ListenError, probe
from stepguard_service.transport.tls import ServerTls, TlsError
from stepguard_service.wiring import Program

_IN_FLIGHT_SECONDS: Final = 5.0
"""For calls under way at the end: longer than any of them may wait."""

_SILENT_SECONDS: Final = 15.0
"""A serving loop that has not turned for so long is stuck."""

_SWITCH_SECONDS: Final = 0.001
"""How soon the serving thread gets the interpreter when another one computes, such as a compilation of policies."""

BAD_CONFIGURATION: Final = 2
CANNOT_RUN: Final = 1

_Undo = Callable[[], None]

_log = logging.getLogger(__name__)


class StartError(Exception):
    """The service cannot start. `lines` say everything that is wrong; `status` is for the shell."""

    def __init__(self, status: int, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.status = status
        self.lines = lines


class Life:
    """Runs a program once. `stop` may follow a `start` that failed half-way."""

    def __init__(self, program: Program, settings: Settings) -> None:
        self._program = program
        self._settings = settings
        self._serving = False
        self._undo: list[_Undo] = []

    def start(self) -> None:
        """Put policies in force, open the ports, answer.

        Raises:
            StartError: something that was asked for cannot be had.
        """
        program = self._program
        tls = self._tls()
        if program.traces is not None:
            program.traces.open()
            self._undo.append(program.traces.close)
        program.slow.open()
        self._undo.append(program.slow.close)
        self._open_stores()
        self._load_policies()
        admin = self._open_admin()
        self._open_debug_socket()
        port = self._open_transport(tls)
        program.source.start()
        self._undo.append(program.source.stop)
        # What was made so far lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(_SWITCH_SECONDS)
        for switch, on in self._settings.unsafe_switches.items():
            if on:
                _log.warning("--%s is unsafe-allow", switch)
        _log.info("listening on port %d (%s), admin on port %d", port, program.transport.name, admin)

    @property
    def alive(self) -> bool:
        """Whether the serving loop turns."""
        return not self._serving or time.monotonic() - self._program.transport.last_beat < _SILENT_SECONDS

    def drain(self) -> None:
        """Say that traffic should go elsewhere; what comes is still answered."""
        self._program.health.drain()

    def stop(self) -> None:
        """Finish what is under way and close everything."""
        while self._undo:
            self._undo.pop()()

    def _tls(self) -> ServerTls | None:
        if self._settings.tls is None:
            return None
        try:
            return ServerTls(self._settings.tls)
        except TlsError as error:
            raise StartError(BAD_CONFIGURATION, str(error)) from error

    def _open_stores(self) -> None:
        """What the replay store and the nonce keys are set up wrongly in, all at once."""
        replay, nonces, problems = self._program.replay, self._program.nonces, list[str]()
        self._undo.append(replay.close)
        if isinstance(replay, RedisReplayStore) and (refusal := replay.open()):
            problems.append(f"--replay-store: {refusal}")
        if nonces is not None:
            self._undo.append(nonces.close)
            problems += nonces.open()
        if problems:
            raise StartError(BAD_CONFIGURATION, *problems)

    def _load_policies(self) -> None:
        if errors := self._program.source.load():
            count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
            raise StartError(BAD_CONFIGURATION, *errors, f"--policies {self._settings.source}: {count}, not started")

    def _open_admin(self) -> int:
        probes = Probes(alive=lambda: self.alive, ready=lambda: self._serving and self._program.health.serving)
        try:
            admin = AdminServer(self._settings.admin, probes, self._program.telemetry.registry)
        except ListenError as error:
            raise StartError(CANNOT_RUN, f"--admin {self._settings.admin}: {error}") from error
        self._undo.append(admin.close)
        admin.start()
        return admin.port

    def _open_debug_socket(self) -> None:
        path = self._settings.debug_socket
        if path is None:
            return
        try:
            debug = DebugSocket(path, self._program.inspection.document)
        except ListenError as error:
            raise StartError(CANNOT_RUN, f"--debug-socket {path}: {error}") from error
        self._undo.append(debug.close)
        debug.start()

    def _open_transport(self, tls: ServerTls | None) -> int:
        address, transport = self._settings.listen, self._program.transport
        try:
            probe(address.host, address.port)
            port = transport.start(str(address), tls.credentials() if tls else None)
        except ListenError as error:
            raise StartError(CANNOT_RUN, f"--listen {address}: {error}") from error
        self._serving = True
        self._undo.append(lambda: transport.stop(_IN_FLIGHT_SECONDS))
        return port
