"""The handler on grpcio's completion queue, one thread, micro-batches: `--transport fast`.

The wrappers around gRPC's core, not the core, are what is slow in Python; this does without them. The loop takes all
that is ready, at most `BATCH` requests, decides them together, makes one round trip to the replay store for all of
them, and sends. At low load a batch is one request and adds no delay; under load OpenSSL's tables stay in the
processor's cache from one verification to the next.

It uses private parts of grpcio: `transport.self_check` runs it once before it is trusted with traffic.

What is slow leaves the thread. Claims at a store outside the process go to a thread of their own, keys and
introspection to `SlowWork`. Both come back through `_Inbox`, which wakes the loop out of gRPC's own waiting.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc._cython import cygrpc

from stepguard_service.core.slow import Waited
from stepguard_service.stores.replay import Claimed
from stepguard_service.transport import health
from stepguard_service.transport.handler import CheckHandler, Claiming, NotARequest, Progress, Waiting
from stepguard_service.transport.server import METHOD, OPTIONS, SERVICE, ListenError

BATCH: Final = 32
"""Requests decided together: beyond it the first one would wait longer than the locality gains."""

_PENDING_ACCEPTS: Final = 64
"""Calls that gRPC may hand over before the loop asks for more."""

_HEARTBEAT: Final = 1.0
"""Seconds that the loop waits for an event at the most."""

_MUTE_PATIENCE: Final = 0.001
"""The same while a result is out that cannot wake the loop."""

_NO_FLAGS: Final = 0
_NO_XDS: Final = False
_AT_ONCE: Final = 0.0
"""A deadline in the past: what is ready, without waiting."""

_log = logging.getLogger(__name__)


class _Tag:
    """A tag of events that belong to no one call."""

    __slots__ = ()


_NOTHING: Final = cygrpc.CompletionType.queue_timeout

_ACCEPTED, _SENT, _WOKEN, _SHUT_DOWN = _Tag(), _Tag(), _Tag(), _Tag()

_CHECK = f"/{SERVICE}/{METHOD}".encode()
_HEALTH_CHECK = f"/{health.SERVICE}/{health.METHOD}".encode()
_METHODS = frozenset((_CHECK, _HEALTH_CHECK))


class _Rpc:
    """One call, from its method to its answer; also the tag of the event that brings its message."""

    __slots__ = ("call", "deadline", "is_health", "metadata_sent")

    def __init__(self, call: Any, deadline: float, *, is_health: bool) -> None:
        self.call = call
        self.deadline = deadline
        """time.monotonic(); infinity for none."""
        self.is_health = is_health
        self.metadata_sent = False


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What the replay store said about one batch."""

    batch: Sequence[tuple[_Rpc, Claiming]]
    results: Sequence[Claimed | None]


@dataclass(frozen=True, slots=True)
class _Waited:
    """What one call waited for."""

    rpc: _Rpc
    waiting: Waiting
    waited: Waited


class _Inbox:
    """Results from other threads; putting one in makes an event on the completion queue, so that the loop looks here.

    gRPC's core has alarms for that, but grpcio does not show them. Sending the initial metadata of a call that the
    result is for makes an event too, and has to be done anyway. It can be done once a call: a call that waits a second
    time cannot wake the loop again, so the loop must look by itself while one of those is out (`patience`).
    """

    def __init__(self) -> None:
        self._results: list[_Claimed | _Waited] = []
        self._mute = 0
        self._closed = False
        # The event must not come before the result is there, nor the result be used before the metadata is under way.
        self._lock = threading.Lock()

    def expect(self, rpc: _Rpc) -> None:
        """A result for `rpc` will come. Called by the loop, before the work is handed over."""
        with self._lock:
            self._mute += rpc.metadata_sent

    def put(self, result: _Claimed | _Waited, rpc: _Rpc) -> None:
        """Called by any thread, once for each `expect`, with the same call."""
        with self._lock:
            if self._closed:
                return
            if rpc.metadata_sent:
                self._mute -= 1
            else:
                rpc.metadata_sent = True
                rpc.call.start_server_batch((_initial_metadata(),), _WOKEN)
            self._results.append(result)

    def take_all(self) -> list[_Claimed | _Waited]:
        """All that is there. Called by the loop."""
        with self._lock:
            taken, self._results = self._results, []
        return taken

    def close(self) -> None:
        """Nobody looks here any more, and the calls are about to go: what still comes is dropped."""
        with self._lock:
            self._closed = True

    @property
    def patience(self) -> float:
        """Seconds for which the loop may sleep without looking here."""
        return _MUTE_PATIENCE if self._mute else _HEARTBEAT


class CompletionQueueTransport:
    """Serves Check and health on one port. `start` and `stop` are called once each, by another thread."""

    name = "fast"

    def __init__(self, handler: CheckHandler, state: health.Health, observe_batch: Callable[[int], None]) -> None:
        self._handler = handler
        self._state = state
        self._observe_batch = observe_batch
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple((name.encode(), value) for name, value in OPTIONS), _NO_XDS)
        self._server.register_completion_queue(self._queue)
        self._inbox = _Inbox()
        self._claims: queue.SimpleQueue[list[tuple[_Rpc, Claiming]] | None] = queue.SimpleQueue()
        self._loop = threading.Thread(target=self._serve, name="stepguard-fast", daemon=True)
        self._claimer = threading.Thread(target=self._claim_elsewhere, name="stepguard-claims", daemon=True)
        self._accepting = True
        self._down = False
        self.last_beat = time.monotonic()
        """When the loop last turned, in time.monotonic()."""

    def start(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """Open the port and answer on it; returns its number (`address` may have asked for 0).

        Raises:
            ListenError: the address cannot be listened on.
        """
        private = None if credentials is None else credentials._credentials  # noqa: SLF001 - as grpc.server does
        port = self._server.add_http2_port(address.encode(), *(() if private is None else (private,)))
        if port == 0:
            raise ListenError(f"{address}: cannot listen there")
        self._server.start()
        for _ in range(_PENDING_ACCEPTS):
            self._accept()
        self._claimer.start()
        self._loop.start()
        return int(port)

    def stop(self, grace: float) -> None:
        """Take no new calls, finish those under way for at most `grace` seconds, close the port, end the threads."""
        self._accepting = False
        self._server.shutdown(self._queue, _SHUT_DOWN)
        self._loop.join(grace)
        if self._loop.is_alive():
            self._server.cancel_all_calls()
            self._loop.join()
        self._claims.put(None)
        self._claimer.join()
        self._inbox.close()
        self._server.destroy()
        self._queue.shutdown()

    def _accept(self) -> None:
        self._server.request_call(self._queue, self._queue, _ACCEPTED)

    def _serve(self) -> None:
        """The serving thread."""
        while not self._down:
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - a fault in one turn must not end the service; the handler guards each call
                _log.exception("a turn of the serving loop failed")

    def _turn(self) -> None:
        """Take what is ready, decide it, send."""
        self.last_beat = time.monotonic()
        arrived = self._drain()
        claiming: list[tuple[_Rpc, Claiming]] = []
        answers: list[tuple[_Rpc, bytes]] = []
        if arrived:
            self._observe_batch(len(arrived))
        for rpc, payload in arrived:
            self._begin(rpc, payload, answers, claiming)
        for result in self._inbox.take_all():
            match result:
                case _Claimed(batch, results):
                    answers += self._finished(batch, results)
                case _Waited(rpc, waiting, waited):
                    self._progress(rpc, self._handler.resume(waiting, waited), answers, claiming)
        if claiming:
            self._claim(claiming, answers)
        for rpc, response in answers:
            _send(rpc, response)

    def _drain(self) -> list[tuple[_Rpc, bytes | None]]:
        """Wait for something, then take all that is ready, at most one batch of messages."""
        arrived: list[tuple[_Rpc, bytes | None]] = []
        poll = self._queue.poll
        event = poll(time.time() + self._inbox.patience)
        while event.completion_type != _NOTHING:
            tag = event.tag
            if isinstance(tag, _Rpc):
                arrived.append((tag, event.batch_operations[0].message()))
                if len(arrived) == BATCH:
                    break
            elif tag is _ACCEPTED:
                self._accepted(event)
            elif tag is _SHUT_DOWN:
                self._down = True
                break
            event = poll(_AT_ONCE)
        return arrived

    def _accepted(self, event: Any) -> None:
        if not event.success:
            return
        if self._accepting:
            self._accept()
        details = event.call_details
        if details.method not in _METHODS:
            _refuse(event.call, grpc.StatusCode.UNIMPLEMENTED, "no such method")
            return
        deadline = details.deadline - time.time() + time.monotonic()
        rpc = _Rpc(event.call, deadline, is_health=details.method == _HEALTH_CHECK)
        event.call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), rpc)

    def _begin(
        self,
        rpc: _Rpc,
        payload: bytes | None,
        answers: list[tuple[_Rpc, bytes]],
        claiming: list[tuple[_Rpc, Claiming]],
    ) -> None:
        if payload is None:
            _refuse(rpc.call, grpc.StatusCode.INVALID_ARGUMENT, "no message")
        elif rpc.is_health:
            self._answer_health(rpc, payload)
        elif rpc.deadline <= time.monotonic():
            _refuse(rpc.call, grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        else:
            progress = self._handler.begin(payload, rpc.deadline)
            if isinstance(progress, NotARequest):
                _refuse(rpc.call, grpc.StatusCode.INVALID_ARGUMENT, progress.value)
            else:
                self._progress(rpc, progress, answers, claiming)

    def _progress(
        self,
        rpc: _Rpc,
        progress: Progress,
        answers: list[tuple[_Rpc, bytes]],
        claiming: list[tuple[_Rpc, Claiming]],
    ) -> None:
        match progress:
            case bytes():
                answers.append((rpc, progress))
            case Claiming():
                claiming.append((rpc, progress))
            case Waiting():
                self._wait(rpc, progress)

    def _wait(self, rpc: _Rpc, waiting: Waiting) -> None:
        def done(future: Future[Waited]) -> None:
            self._inbox.put(_Waited(rpc, waiting, future.result()), rpc)

        self._inbox.expect(rpc)
        self._handler.wait_for(waiting).add_done_callback(done)

    def _claim(self, claiming: list[tuple[_Rpc, Claiming]], answers: list[tuple[_Rpc, bytes]]) -> None:
        if self._handler.claim_blocks:
            self._inbox.expect(claiming[0][0])
            self._claims.put(claiming)
        else:
            answers += self._finished(claiming, self._handler.claim([one for _, one in claiming]))

    def _finished(
        self, batch: Sequence[tuple[_Rpc, Claiming]], results: Sequence[Claimed | None]
    ) -> list[tuple[_Rpc, bytes]]:
        finish = self._handler.finish
        return [(rpc, finish(claiming, result)) for (rpc, claiming), result in zip(batch, results, strict=True)]

    def _claim_elsewhere(self) -> None:
        """The claims thread: one round trip a batch. The store's own timeout bounds it."""
        while (batch := self._claims.get()) is not None:
            results = self._handler.claim([claiming for _, claiming in batch])
            self._inbox.put(_Claimed(batch, results), batch[0][0])

    def _answer_health(self, rpc: _Rpc, payload: bytes) -> None:
        answer = self._state.check(payload)
        if isinstance(answer, bytes):
            _send(rpc, answer)
        else:
            _refuse(rpc.call, answer, "")


def _initial_metadata() -> Any:
    return cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)


def _status(code: grpc.StatusCode, details: str) -> Any:
    return cygrpc.SendStatusFromServerOperation(None, code.value[0], details.encode(), _NO_FLAGS)


_OK = _status(grpc.StatusCode.OK, "")


def _send(rpc: _Rpc, response: bytes) -> None:
    message = cygrpc.SendMessageOperation(response, _NO_FLAGS)
    rest = (message, _OK, cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS))
    rpc.call.start_server_batch(rest if rpc.metadata_sent else (_initial_metadata(), *rest), _SENT)


def _refuse(call: Any, code: grpc.StatusCode, details: str) -> None:
    """End a call whose metadata was not sent yet with an error of gRPC's own."""
    close = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)
    call.start_server_batch((_initial_metadata(), _status(code, details), close), _SENT)
