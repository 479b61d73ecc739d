"""The handler on grpcio's completion queue, one thread, micro-batches: `--transport fast`.

The wrappers around gRPC's core, not the core, are what is slow in Python; this does without them. The loop takes all
that is ready, at most `BATCH` requests, decides them together, makes one round trip to the replay store for all of
them, and sends. At low load a batch is one request and adds no delay; under load OpenSSL's tables stay in the
processor's cache from one verification to the next.

It uses private parts of grpcio: `transport.self_check` runs it once before it is trusted with traffic.

What is slow leaves the thread. Claims at a store outside the process go to a thread of their own, keys and
introspection to `SlowWork`. Both come back through `Inbox`, which wakes the loop out of gRPC's own waiting.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final

import grpc
from grpc._cython import cygrpc

from stepguard_service import limits
from stepguard_service.core.slow import Waited
from stepguard_service.stores.replay import Claimed
from stepguard_service.transport import health
from stepguard_service.transport.fast_call import NO_FLAGS, Rpc, Tag, refuse, send
from stepguard_service.transport.fast_inbox import Batch, ClaimsMade, Inbox, WaitEnded
from stepguard_service.transport.handler import CheckHandler, Claiming, NotARequest, Progress, Verifying, Waiting
from stepguard_service.transport.server import METHOD, OPTIONS, SERVICE, ListenError, Options

BATCH: Final = 32
"""Requests decided together: beyond it the first one would wait longer than the locality gains."""

_EVENTS: Final = 16 * BATCH
"""Events of any kind in one turn: calls that never bring a message must not keep the others from being answered."""

_PENDING_ACCEPTS: Final = 64
"""Calls that gRPC may hand over before the loop asks for more."""

_NO_XDS: Final = False
_AT_ONCE: Final = 0.0
"""A deadline in the past: what is ready, without waiting."""

_log = logging.getLogger(__name__)


_NOTHING: Final = cygrpc.CompletionType.queue_timeout

_ACCEPTED, _SHUT_DOWN = Tag(), Tag()

_CHECK = f"/{SERVICE}/{METHOD}".encode()
_HEALTH_CHECK = f"/{health.SERVICE}/{health.METHOD}".encode()
_METHODS = frozenset((_CHECK, _HEALTH_CHECK))


class _Turn:
    """What the calls of one turn have come to."""

    __slots__ = ("answers", "claiming", "verifying")

    def __init__(self) -> None:
        self.answers: list[tuple[Rpc, bytes]] = []
        self.claiming: list[tuple[Rpc, Claiming]] = []
        self.verifying: list[tuple[Rpc, Verifying]] = []


class CompletionQueueTransport:
    """Serves Check and health on one port. `start` and `stop` are called once each, by another thread."""

    name = "fast"

    def __init__(
        self,
        handler: CheckHandler,
        state: health.Health,
        observe_batch: Callable[[int], None],
        *,
        options: Options = OPTIONS,
    ) -> None:
        self._handler = handler
        self._state = state
        self._observe_batch = observe_batch
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple((name.encode(), value) for name, value in options), _NO_XDS)
        self._server.register_completion_queue(self._queue)
        self._inbox = Inbox()
        self._claims: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._left_over: Batch | None = None
        """Taken from the queue by the claims thread, for its next round trip."""
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
        turn = _Turn()
        if arrived:
            self._observe_batch(len(arrived))
        for rpc, payload in arrived:
            self._begin(rpc, payload, turn)
        for result in self._inbox.take_all():
            match result:
                case ClaimsMade(batch, results):
                    turn.answers += self._finished(batch, results)
                case WaitEnded(rpc, waiting, waited):
                    self._progress(rpc, self._handler.resume(waiting, waited), turn)
        while turn.verifying:
            verifying, turn.verifying = turn.verifying, []
            verified = self._handler.verify([one for _, one in verifying])
            for (rpc, _), progress in zip(verifying, verified, strict=True):
                self._progress(rpc, progress, turn)
        if turn.claiming:
            self._claim(turn)
        for rpc, response in turn.answers:
            send(rpc, response)

    def _drain(self) -> list[tuple[Rpc, bytes | None]]:
        """Wait for something, then take all that is ready, at most one batch of messages."""
        arrived: list[tuple[Rpc, bytes | None]] = []
        poll = self._queue.poll
        event = poll(time.time() + self._inbox.patience)
        for more in range(_EVENTS - 1, -1, -1):
            if event.completion_type == _NOTHING:
                break
            tag = event.tag
            if isinstance(tag, Rpc):
                arrived.append((tag, event.batch_operations[0].message()))
                if len(arrived) == BATCH:
                    break
            elif tag is _ACCEPTED:
                self._accepted(event)
            elif tag is _SHUT_DOWN:
                self._down = True
                break
            if more:  # an event that is taken must be looked at
                event = poll(_AT_ONCE)
        return arrived

    def _accepted(self, event: Any) -> None:
        if not event.success:
            return
        if self._accepting:
            self._accept()
        details = event.call_details
        if details.method not in _METHODS:
            refuse(event.call, grpc.StatusCode.UNIMPLEMENTED, "no such method")
            return
        deadline = details.deadline - time.time() + time.monotonic()
        rpc = Rpc(event.call, deadline, is_health=details.method == _HEALTH_CHECK)
        event.call.start_server_batch((cygrpc.ReceiveMessageOperation(NO_FLAGS),), rpc)

    def _begin(self, rpc: Rpc, payload: bytes | None, turn: _Turn) -> None:
        if payload is None:
            refuse(rpc.call, grpc.StatusCode.INVALID_ARGUMENT, "no message")
        elif rpc.is_health:
            self._answer_health(rpc, payload)
        elif rpc.deadline <= time.monotonic():
            refuse(rpc.call, grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        else:
            progress = self._handler.begin(payload, rpc.deadline)
            if isinstance(progress, NotARequest):
                refuse(rpc.call, grpc.StatusCode.INVALID_ARGUMENT, progress.value)
            else:
                self._progress(rpc, progress, turn)

    def _progress(self, rpc: Rpc, progress: Progress, turn: _Turn) -> None:
        match progress:
            case bytes():
                turn.answers.append((rpc, progress))
            case Claiming():
                turn.claiming.append((rpc, progress))
            case Verifying():
                turn.verifying.append((rpc, progress))
            case Waiting():
                self._wait(rpc, progress)

    def _wait(self, rpc: Rpc, waiting: Waiting) -> None:
        def done(future: Future[Waited]) -> None:
            self._inbox.put(WaitEnded(rpc, waiting, future.result()), rpc)

        self._inbox.expect(rpc)
        self._handler.wait_for(waiting).add_done_callback(done)

    def _claim(self, turn: _Turn) -> None:
        claiming = turn.claiming
        if self._handler.claim_blocks:
            for start in range(0, len(claiming), limits.CLAIMS_IN_A_BATCH):
                batch = claiming[start : start + limits.CLAIMS_IN_A_BATCH]
                self._inbox.expect(batch[0][0])
                self._claims.put(batch)
        else:
            turn.answers += self._finished(claiming, self._handler.claim([one for _, one in claiming]))

    def _finished(
        self, batch: Sequence[tuple[Rpc, Claiming]], results: Sequence[Claimed | None]
    ) -> list[tuple[Rpc, bytes]]:
        finish = self._handler.finish
        return [(rpc, finish(claiming, result)) for (rpc, claiming), result in zip(batch, results, strict=True)]

    def _claim_elsewhere(self) -> None:
        """The claims thread: one round trip for what has gathered. The store's own timeout bounds it."""
        while gathered := self._gather():
            results = iter(self._handler.claim([claiming for batch in gathered for _, claiming in batch]))
            for batch in gathered:
                self._inbox.put(ClaimsMade(batch, list(islice(results, len(batch)))), batch[0][0])

    def _gather(self) -> list[Batch]:
        """Wait for a batch, and take those behind it that fit into the same round trip; none at the end."""
        batch, self._left_over = self._left_over or self._claims.get(), None
        gathered, room = list[Batch](), limits.CLAIMS_IN_A_BATCH
        while batch is not None and len(batch) <= room:
            gathered.append(batch)
            room -= len(batch)
            if self._claims.empty():
                return gathered
            batch = self._claims.get()
        # What does not fit any more, or the end, which comes once: it is found again by the next call.
        if batch is None:
            self._claims.put(None)
        self._left_over = batch
        return gathered

    def _answer_health(self, rpc: Rpc, payload: bytes) -> None:
        answer = self._state.check(payload)
        if isinstance(answer, bytes):
            send(rpc, answer)
        else:
            refuse(rpc.call, answer, "")
