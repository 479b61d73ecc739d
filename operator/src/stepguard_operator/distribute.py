"""The policy stream: every replica gets the newest publication, and says what it has in force.

It runs whatever becomes of the watches: the last publication is served until there is a newer one or another operator
is active.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NoReturn, TypeAlias

import grpc
from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_operator.metrics import Metrics
from stepguard_operator.publication import Publication
from stepguard_operator.replicas import ReplicaReport, Replicas, parse_report
from stepguard_operator.subscribers import Admitted, Gate, NotAdmitted

SERVICE: Final = "stepguard.policy.v1.PolicyDistribution"
STANDBY: Final = pb.Push(standby=pb.Standby()).SerializeToString()
FIRST_REPORT_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)

Context: TypeAlias = grpc.aio.ServicerContext


@dataclass(frozen=True, slots=True)
class _End:
    code: grpc.StatusCode
    reason: str


@dataclass
class _Stream:
    """One open stream. `end` tells it why it has to end; `wake` that there is something to look at."""

    number: int
    replica: str
    in_force: str
    """The hash that its last report names, as is `refused`."""
    refused: str = ""
    end: _End | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def finish(self, code: grpc.StatusCode, reason: str) -> None:
        self.end = _End(code, reason)
        self.wake.set()


class Distribution:
    """Serves `Subscribe`. All methods belong to the server's loop."""

    def __init__(self, gate: Gate, replicas: Replicas, metrics: Metrics, *, changed: Callable[[], None]) -> None:
        """`changed` is called when what replicas report has changed."""
        self._gate = gate
        self._replicas = replicas
        self._metrics = metrics
        self._changed = changed
        self._active = False
        self._publication: Publication | None = None
        self._published_at = 0.0
        self._streams: dict[int, _Stream] = {}
        self._numbers = count(1)

    @property
    def publication(self) -> Publication | None:
        """What is published now."""
        return self._publication

    def activate(self) -> None:
        """This operator is the active one: answer with publications from now on."""
        self._active = True

    def publish(self, publication: Publication) -> None:
        """Send it to everybody who does not have it."""
        self._publication = publication
        self._published_at = time.monotonic()
        for stream in self._streams.values():
            stream.wake.set()

    def stand_by(self) -> None:
        """Another operator is active, or will be: send everybody there."""
        self._active, self._publication = False, None
        self.end_streams("another operator is active")

    def end_streams(self, reason: str) -> None:
        """Make every replica look for the active operator again."""
        for stream in self._streams.values():
            stream.finish(grpc.StatusCode.UNAVAILABLE, reason)

    def handler(self) -> grpc.GenericRpcHandler:
        """For the gRPC server."""
        subscribe = grpc.stream_stream_rpc_method_handler(self._subscribe, request_deserializer=pb.Report.FromString)
        return grpc.method_handlers_generic_handler(SERVICE, {"Subscribe": subscribe})

    async def _subscribe(self, requests: AsyncIterator[pb.Report], context: Context) -> None:
        admitted = await self._admit(context)
        if not self._active:
            await context.write(STANDBY)
            return
        report = await _first_report(requests, context)
        stream = _Stream(next(self._numbers), report.name, report.in_force)
        self._streams[stream.number] = stream
        self._metrics.subscribers.set(len(self._streams))
        _log.info("%s subscribed as %s", report.name, admitted.who)
        reader = asyncio.create_task(self._read(stream, report, requests))
        try:
            async with asyncio.timeout(None if admitted.until is None else admitted.until - time.time()):
                await self._write(stream, context)
        except TimeoutError:
            stream.end = _End(grpc.StatusCode.UNAUTHENTICATED, "the token has expired; subscribe again with a new one")
        finally:
            reader.cancel()
            self._left(stream)
        if stream.end is not None and stream.end.code is not grpc.StatusCode.OK:
            await _abort(context, stream.end.code, stream.end.reason)

    async def _admit(self, context: Context) -> Admitted:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        names = [name.decode(errors="replace") for name in _certificate_names(context)]
        admission = await self._gate.admit(metadata, names, time.time())
        if isinstance(admission, NotAdmitted):
            _log.warning("refused a subscriber at %s: %s", context.peer(), admission.reason)
            code = grpc.StatusCode.UNAVAILABLE if admission.try_again else grpc.StatusCode.UNAUTHENTICATED
            await _abort(context, code, admission.reason)
        return admission

    def _left(self, stream: _Stream) -> None:
        del self._streams[stream.number]
        self._metrics.subscribers.set(len(self._streams))
        self._replicas.left(stream.replica, stream=stream.number)
        _log.info("the stream of %s ended: %s", stream.replica, stream.end.reason if stream.end else "connection lost")
        self._changed()

    async def _read(self, stream: _Stream, first: ReplicaReport, requests: AsyncIterator[pb.Report]) -> None:
        """Take reports until there are no more of them."""
        self._hear(stream, first)
        async for message in requests:
            report = parse_report(message)
            if isinstance(report, str) or report.name != stream.replica:
                stream.finish(grpc.StatusCode.INVALID_ARGUMENT, "a report that does not fit the first one")
                return
            self._hear(stream, report)
        stream.finish(grpc.StatusCode.OK, "the replica ended it")

    def _hear(self, stream: _Stream, report: ReplicaReport) -> None:
        now = time.monotonic()
        heard = self._replicas.heard(report, stream=stream.number, now=now)
        if heard.replaced is not None and (replaced := self._streams.get(heard.replaced)) is not None:
            replaced.finish(grpc.StatusCode.ABORTED, f"a newer stream of {report.name} replaces this one")
        if self._publication is not None and report.in_force == self._publication.hash != stream.in_force:
            self._metrics.push_seconds.observe(now - self._published_at)
        stream.in_force = report.in_force
        stream.refused = report.refused.hash if report.refused is not None else ""
        stream.wake.set()
        if heard.news:
            self._changed()

    async def _write(self, stream: _Stream, context: Context) -> None:
        """Send each publication once, the next one after the answer to the last: who is slow gets only the newest."""
        sent: Publication | None = None
        while stream.end is None:
            publication = self._publication
            answered = sent is None or sent.hash in {stream.in_force, stream.refused}
            if publication is not None and publication is not sent and answered:
                has_it = stream.in_force == publication.hash
                await context.write(publication.unchanged if has_it else publication.push)
                sent = publication
                continue
            stream.wake.clear()
            await stream.wake.wait()


def _certificate_names(context: Context) -> list[bytes]:
    return list(context.auth_context().get("x509_subject_alternative_name", ()))


async def _first_report(requests: AsyncIterator[pb.Report], context: Context) -> ReplicaReport:
    try:
        async with asyncio.timeout(FIRST_REPORT_SECONDS):
            first = await anext(requests, None)
    except TimeoutError:
        await _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, "the first report did not come")
    report = parse_report(first) if first is not None else "no report came"
    if isinstance(report, str):
        await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, report)
    return report


async def _abort(context: Context, code: grpc.StatusCode, reason: str) -> NoReturn:
    await context.abort(code, reason)
    raise AssertionError("gRPC's abort always raises")
