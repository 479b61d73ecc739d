"""The handler behind a real port, with a decision that the test writes: for what transports and codecs promise."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import grpc
from stepguard_service.authorize import Step
from stepguard_service.core.model import Allow, Answer, Outcome, Refuse, Request
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import KeysLooked, Need, Waited
from stepguard_service.stores.replay import Claim, Claimed
from stepguard_service.transport.aio import AioTransport
from stepguard_service.transport.completion_queue import CompletionQueueTransport
from stepguard_service.transport.handler import CheckHandler
from stepguard_service.transport.health import Health
from stepguard_service.transport.server import OPTIONS, SERVICE, Options, Transport

from tests.support.checks import Caller

ALLOWED = Answer(Allow(), Outcome.ALLOW, Reason.OK)
DENIED = Answer(Refuse(403, ()), Outcome.DENY, Reason.NO_RULE)


@dataclass
class Decision:
    """Decides as `decide` says; `asked` keeps the requests."""

    decide: Callable[[Request], Step] = lambda _: ALLOWED
    asked: list[Request] = field(default_factory=list)

    def begin(self, request: Request, now: int) -> Step:
        """The Authorizer's door."""
        del now
        self.asked.append(request)
        return self.decide(request)


@dataclass
class Store:
    """Answers every claim with `result` after `delay` seconds; keeps the batches it was asked."""

    result: Claimed = Claimed.CLAIMED
    delay: float = 0.0
    blocking: bool = False
    kind: str = "test"
    shared: bool = False
    batches: list[int] = field(default_factory=list)

    def claim(self, claims: Sequence[Claim], now: float) -> Sequence[Claimed]:
        """One round trip."""
        del now
        self.batches.append(len(claims))
        time.sleep(self.delay)
        return [self.result] * len(claims)

    def entries(self) -> int | None:
        """Not known."""
        return None

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Slow:
    """Keeps what was asked for; the test settles it, or it is settled at once with `at_once`."""

    at_once: Waited | None = field(default_factory=KeysLooked)
    asked: list[tuple[Need, float, "Future[Waited]"]] = field(default_factory=list)

    def start(self, need: Need, deadline: float) -> "Future[Waited]":
        """Start slow work."""
        future: Future[Waited] = Future()
        if self.at_once is not None:
            future.set_result(self.at_once)
        self.asked.append((need, deadline, future))
        return future


@dataclass
class Records:
    """What was counted."""

    answers: list[tuple[Request | None, Answer]] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def answered(self, request: Request | None, answer: Answer, seconds: float) -> None:
        """One answer."""
        assert seconds >= 0
        self.answers.append((request, answer))

    def fault(self, error: BaseException) -> None:
        """One exception."""
        self.faults.append(error)


@dataclass
class Served:
    """A port that is answered."""

    caller: Caller
    transport: Transport
    port: int
    health: Health
    decision: Decision
    store: Store
    slow: Slow
    records: Records
    stopped: bool = False

    def stop(self, grace: float) -> None:
        """Stop before the end of the block."""
        self.stopped = True
        self.transport.stop(grace)


@contextlib.contextmanager
def served(
    kind: str,
    decide: Callable[[Request], Step] = lambda _: ALLOWED,
    *,
    store: Store | None = None,
    slow: Slow | None = None,
    credentials: grpc.ServerCredentials | None = None,
    options: Options = OPTIONS,
) -> Iterator[Served]:
    """Serve on a free port of 127.0.0.1 with the transport `kind`, as long as the block runs."""
    decision, records, health = Decision(decide), Records(), Health(SERVICE)
    store, slow = store or Store(), slow or Slow()
    handler = CheckHandler(decision, store, slow=slow, record=records)
    transport: Transport = (
        AioTransport(handler, health, options=options)
        if kind == "aio"
        else CompletionQueueTransport(handler, health, observe_batch=lambda _: None, options=options)
    )
    port = transport.start("127.0.0.1:0", credentials)
    server = Served(Caller(port), transport, port, health, decision, store, slow, records)
    try:
        yield server
    finally:
        server.caller.close()
        if not server.stopped:
            server.stop(1.0)
