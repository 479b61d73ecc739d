"""Whether the fast transport works with the grpcio that is installed: it answers one call to itself before it serves.

The completion queue is private to grpcio and may change with any release. What is checked is the behaviour, not a list
of names: a Check that comes through a real connection, waits for a claim off the loop, and is answered.
"""

from collections.abc import Sequence
from concurrent.futures import Future

import grpc

from stepguard_service.authorize import ClaimStep, Step
from stepguard_service.core.model import Answer, Outcome, Refuse, Request
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import Need, Unavailable, Waited
from stepguard_service.stores.replay import Claim, Claimed
from stepguard_service.transport.handler import CheckHandler
from stepguard_service.transport.health import Health
from stepguard_service.transport.server import METHOD, SERVICE

_TIMEOUT = 5.0
_ANSWER = Answer(Refuse(403, ()), Outcome.DENY, Reason.NO_RULE)


def problem() -> str | None:
    """None where the fast transport works, else why it does not, in one line. Takes a few milliseconds."""
    try:
        # Imported here: a grpcio without these private names must not keep the service from starting.
        from stepguard_service.transport.completion_queue import CompletionQueueTransport

        handler = CheckHandler(_Deny(), _ElsewhereStore(), slow=_NothingSlow(), record=_NoRecord())
        transport = CompletionQueueTransport(handler, Health(), _ignore)
        port = transport.start("127.0.0.1:0", None)
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                answer = channel.unary_unary(f"/{SERVICE}/{METHOD}")(b"", timeout=_TIMEOUT)
        finally:
            transport.stop(0)
    except Exception as error:  # noqa: BLE001 - whatever private code does, the public transport is there
        said = f"it answered with {error.code().name}" if isinstance(error, grpc.Call) else str(error)
        return f"{type(error).__name__}: {said}".partition("\n")[0]
    return None if answer else "it answered with nothing"


class _Deny:
    def begin(self, request: Request, now: int) -> Step:
        claim = Claim(b"self-check", "", request.id, now + 1)
        return ClaimStep(claim, lambda _claimed: _ANSWER)


class _ElsewhereStore:
    """A store outside the process, so that the answer comes back through the loop's inbox."""

    kind = "self-check"
    shared = False
    blocking = True

    def claim(self, claims: Sequence[Claim], now: float) -> Sequence[Claimed]:
        del now
        return [Claimed.CLAIMED] * len(claims)

    def entries(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing to close."""


class _NothingSlow:
    def start(self, need: Need, deadline: float) -> Future[Waited]:
        del need, deadline
        done: Future[Waited] = Future()
        done.set_result(Unavailable())
        return done


class _NoRecord:
    def answered(self, request: Request | None, answer: Answer, seconds: float) -> None:
        """Nothing is counted."""

    def fault(self, error: Exception) -> None:
        raise error


def _ignore(_size: int) -> None:
    """Nothing is measured."""
