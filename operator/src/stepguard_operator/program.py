"""The life of an operator: from reading files to the release of the Lease."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from stepguard_policy.compile import HostGrant
from yarl import URL

from stepguard_operator.api import Api
from stepguard_operator.connection import Cluster, NoClusterError
from stepguard_operator.grants_file import BadGrantsError, read_grants
from stepguard_operator.lease import LEASE_SECONDS
from stepguard_operator.metrics import Metrics
from stepguard_operator.server_tls import BadCertificateError, Identity, read
from stepguard_operator.settings import Settings
from stepguard_operator.stream_server import ListenError
from stepguard_operator.wiring import Operator

FILES_SECONDS: Final = 2.0
"""Between two looks at files that may change."""
GRACE_SECONDS: Final = 1.0
AFTER_A_FAULT_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class StartError(Exception):
    """The operator cannot start; one line for each reason."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Files:
    """What the files say that settings name."""

    grants: tuple[HostGrant, ...] | None
    identity: Identity | None


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises StartError."""
    problems: list[str] = []
    files = _read(settings, problems)
    try:
        cluster = Cluster()
    except NoClusterError as problem:
        raise StartError(*problems, str(problem)) from problem
    if files is None or problems:
        raise StartError(*problems)
    asyncio.run(_live(settings, cluster, files))


def _read(settings: Settings, problems: list[str]) -> Files | None:
    """Both files; what is wrong with them goes to `problems`, and then there is no result."""
    grants = identity = None
    try:
        grants = read_grants(settings.host_grants) if settings.host_grants else None
    except BadGrantsError as problem:
        problems.append(str(problem))
    try:
        identity = read(settings.tls) if settings.tls else None
    except BadCertificateError as problem:
        problems.append(str(problem))
    return None if problems else Files(grants, identity)


async def _live(settings: Settings, cluster: Cluster, files: Files) -> None:
    metrics = Metrics()

    def requested(method: str, _: URL, status: int) -> None:
        metrics.requests.labels(method, status).inc()

    async with cluster.session(requested) as session:
        operator = Operator(settings, cluster, Api(cluster, session), metrics)
        operator.grants = files.grants
        await _listen(operator, settings, files)
        tasks = [asyncio.create_task(_forever(run)) for run in _runs(operator, settings, files)]
        if not settings.lease:
            operator.leadership_changed()
        await _stopped()
        _log.info("stopping")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await operator.leader.release()
        operator.distribution.stand_by()
        await operator.server.stop(GRACE_SECONDS)
        await operator.admin.stop()


async def _listen(operator: Operator, settings: Settings, files: Files) -> None:
    try:
        port = await operator.admin.start(settings.admin)
        if files.identity is not None:
            await operator.server.show(files.identity)
    except OSError as error:
        raise StartError(f"--admin {settings.admin}: {(error.strerror or str(error)).lower()}") from error
    except ListenError as error:
        raise StartError(str(error)) from error
    _log.info("admin on port %d, policy stream on port %s", port, operator.server.port or "to come")


def _runs(operator: Operator, settings: Settings, files: Files) -> list[Callable[[], Awaitable[None]]]:
    """Everything that goes on at the same time."""
    runs: list[Callable[[], Awaitable[None]]] = [
        operator.leader.run,
        lambda: operator.catalog.run(settings.resync),
        operator.watching.run,
        operator.reconciler.run,
        operator.reporter.run,
        operator.writer.run,
        lambda: _part(operator),
        lambda: _follow_files(operator, settings, files),
    ]
    if operator.ready_pods is not None:
        runs.append(operator.ready_pods.run)
    if operator.self_managed is not None:
        runs.append(operator.self_managed.run)
    return runs


async def _forever(run: Callable[[], Awaitable[None]]) -> None:
    """A fault in one part must not end the others: the stream goes on, the part begins again."""
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001  (see above)
            _log.exception("a fault of ours; going on")
            await asyncio.sleep(AFTER_A_FAULT_SECONDS)


async def _part(operator: Operator) -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS)
        operator.part()


async def _follow_files(operator: Operator, settings: Settings, files: Files) -> None:
    """Take in what changes in files that are good; keep what there was of others."""
    complaint = ""
    while True:
        await asyncio.sleep(FILES_SECONDS)
        problems: list[str] = []
        found = await asyncio.to_thread(_read, settings, problems)
        if problems and complaint != "; ".join(problems):
            complaint = "; ".join(problems)
            _log.error("what was read before stays: %s", complaint)
        if found is None:
            continue
        complaint = ""
        if found.grants != files.grants:
            _log.info("the host grants have changed")
            operator.grants = found.grants
            operator.grants_changed()
        if found.identity is not None and found.identity != files.identity:
            _log.info("the certificate has changed")
            await operator.server.show(found.identity)
        files = found


async def _stopped() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
