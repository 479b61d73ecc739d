"""One Check call, from bytes to bytes, without waiting: what every transport drives in its own way.

A transport calls `begin`. What it gets back is either the answer, or what the call is waiting for:

- `Claiming`: put it into one `claim` round trip with whatever else is claiming, then `finish` each;
- `Verifying`: give it to `verify` with whatever else is verifying, so that signatures are verified in a row;
- `Waiting`: `wait_for` starts the slow work off the serving loop; `resume` goes on when it is done.

Nothing here raises because of a request or a fault of ours: any exception becomes a 503 denial (docs/decisions.md, row
F1), logged with its stack and counted. Times are `time.monotonic()` where they bound waiting, Unix seconds elsewhere.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import Final, NamedTuple, Protocol

from stepguard_service import limits
from stepguard_service.authorize import ClaimStep, SignatureStep, Step, WaitStep
from stepguard_service.core.model import Answer, Request
from stepguard_service.core.slow import Need, Unavailable, Waited
from stepguard_service.stores.replay import Claimed, ReplayStore
from stepguard_service.transport import codec


class Authorize(Protocol):
    """What decides: `authorize.Authorizer`."""

    def begin(self, request: Request, now: int) -> Step:
        """The answer, or the first thing that is missing for it."""


class SlowWork(Protocol):
    """What fetches keys and asks about tokens, in its own thread."""

    def start(self, need: Need, deadline: float) -> Future[Waited]:
        """Start it, or join one that runs. Done at `deadline` (time.monotonic()) at the latest; never an exception."""


class Record(Protocol):
    """What keeps count: `telemetry.Telemetry`."""

    def answered(self, request: Request | None, answer: Answer, seconds: float) -> None:
        """One call was answered. `request` is None where a fault came before it was known."""

    def fault(self, error: Exception) -> None:
        """An exception nobody expected."""


class Call(NamedTuple):
    """One call that is under way. `started` and `deadline` are time.monotonic(); infinity: the caller set none."""

    request: Request
    started: float
    deadline: float


class Claiming(NamedTuple):
    """This call has passed everything but the replay check."""

    call: Call
    step: ClaimStep


class Waiting(NamedTuple):
    """This call needs something slow."""

    call: Call
    step: WaitStep
    waits: int = 1


class Verifying(NamedTuple):
    """This call has passed everything that comes before its proof's signature."""

    call: Call
    step: SignatureStep
    waits: int


class NotARequest(Enum):
    """The bytes are no CheckRequest: the transport answers INVALID_ARGUMENT."""

    NOT_A_REQUEST = "not a CheckRequest"


NOT_A_REQUEST: Final = NotARequest.NOT_A_REQUEST

Progress = bytes | Claiming | Waiting | Verifying

_MOST_WAITS = 4
"""Keys, keys again for an unknown kid, introspection: no decision waits more often."""


class CheckHandler:
    """Decodes, drives the steps of a decision, encodes, and keeps count. Used by one thread."""

    def __init__(
        self,
        authorizer: Authorize,
        replay: ReplayStore,
        *,
        slow: SlowWork,
        record: Record,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authorizer = authorizer
        self._replay = replay
        self._slow = slow
        self._record = record
        self._clock = clock

    @property
    def claim_blocks(self) -> bool:
        """Whether `claim` may wait for something outside the process, so that it belongs off the serving loop."""
        return self._replay.blocking

    def begin(self, payload: bytes, deadline: float) -> Progress | NotARequest:
        """Take a call as far as it gets at once. `deadline` is time.monotonic(), infinity for none."""
        started = time.monotonic()
        request = None
        try:
            request = codec.decode(payload)
            if request is None:
                return NOT_A_REQUEST
            call = Call(request, started, deadline)
            return self._next(call, self._authorizer.begin(request, int(self._clock())), waits=0)
        except Exception as error:  # noqa: BLE001 - row F1: whatever it is, the answer is a denial
            return self._fault(error, request, started)

    def verify(self, batch: Sequence[Verifying]) -> list[Progress]:
        """Verify the signatures of a batch one after the other, then take each call on; results in the same order."""
        faults = [self._verify(verifying) for verifying in batch]
        return [self._verified(verifying, fault) for verifying, fault in zip(batch, faults, strict=True)]

    def _verify(self, verifying: Verifying) -> Exception | None:
        try:
            verifying.step.verify()
        except Exception as error:  # noqa: BLE001 - row F1, when its turn comes
            return error
        return None

    def _verified(self, verifying: Verifying, fault: Exception | None) -> Progress:
        call = verifying.call
        if fault is not None:
            return self._fault(fault, call.request, call.started)
        try:
            return self._next(call, verifying.step.resume(), waits=verifying.waits)
        except Exception as error:  # noqa: BLE001 - row F1
            return self._fault(error, call.request, call.started)

    def claim(self, batch: Sequence[Claiming]) -> Sequence[Claimed | None]:
        """One round trip to the replay store for all of them; results in the same order.

        None: nothing was claimed, because the caller has given up (row F3) or by a fault of ours. Only the store itself
        may call itself unavailable, since that is what `--replay-on-outage` may let through.
        """
        now = time.monotonic()
        results: list[Claimed | None] = [None] * len(batch)
        wanted = [place for place, claiming in enumerate(batch) if claiming.call.deadline > now]
        try:
            made = self._replay.claim([batch[place].step.claim for place in wanted], self._clock()) if wanted else ()
            for place, claimed in zip(wanted, made, strict=True):
                results[place] = claimed
        except Exception as error:  # noqa: BLE001 - row F1
            self._record.fault(error)
            return [None] * len(batch)
        return results

    def finish(self, claiming: Claiming, claimed: Claimed | None) -> bytes:
        """The answer of a call whose claim came back."""
        call = claiming.call
        if claimed is None:
            return self._not_claimed(call)
        try:
            return self._answer(call, claiming.step.finish(claimed))
        except Exception as error:  # noqa: BLE001 - row F1
            return self._fault(error, call.request, call.started)

    def _not_claimed(self, call: Call) -> bytes:
        if call.deadline <= time.monotonic():
            return codec.INTERNAL_ERROR_BYTES  # nobody gets it, so it is no answer to count
        return self._unavailable(call.request, call.started)

    def wait_for(self, waiting: Waiting) -> Future[Waited]:
        """Start what the call waits for. The future is the caller's own and never ends in an exception.

        It is done after `limits.WAIT_FOR_SLOW_WORK`, or at the call's own deadline where that is earlier.
        """
        mine: Future[Waited] = Future()

        def settle(work: Future[Waited]) -> None:
            if mine.set_running_or_notify_cancel():
                mine.set_result(self._outcome(work))

        bound = min(waiting.call.deadline, time.monotonic() + limits.WAIT_FOR_SLOW_WORK)
        try:
            self._slow.start(waiting.step.need, bound).add_done_callback(settle)
        except Exception as error:  # noqa: BLE001 - row 12: what cannot be started is unavailable
            self._record.fault(error)
            mine.set_result(Unavailable("slow work could not be started"))
        return mine

    def _outcome(self, work: Future[Waited]) -> Waited:
        """What slow work brought; a fault of ours in it is an outage to who waits."""
        if work.cancelled():
            return Unavailable("slow work was given up")
        if isinstance(error := work.exception(), Exception):
            self._record.fault(error)
            return Unavailable("slow work failed")
        return work.result()

    def abandon(self, waiting: Claiming | Waiting | Verifying, error: Exception) -> bytes:
        """The answer of a call that a fault of the transport keeps from going on."""
        return self._fault(error, waiting.call.request, waiting.call.started)

    def resume(self, waiting: Waiting, waited: Waited) -> Progress:
        """Go on with a call after its wait."""
        call = waiting.call
        try:
            return self._next(call, waiting.step.resume(waited, int(self._clock())), waits=waiting.waits)
        except Exception as error:  # noqa: BLE001 - row F1
            return self._fault(error, call.request, call.started)

    def _next(self, call: Call, step: Step, *, waits: int) -> Progress:
        match step:
            case Answer():
                return self._answer(call, step)
            case ClaimStep():
                return Claiming(call, step)
            case SignatureStep():
                return Verifying(call, step, waits)
            case WaitStep():
                if waits == _MOST_WAITS:
                    raise RuntimeError("a decision that never stops waiting")
                return Waiting(call, step, waits + 1)

    def _answer(self, call: Call, answer: Answer) -> bytes:
        response = codec.encode(answer)
        self._count(call.request, answer, call.started)
        return response

    def _fault(self, error: Exception, request: Request | None, started: float) -> bytes:
        self._record.fault(error)
        return self._unavailable(request, started)

    def _unavailable(self, request: Request | None, started: float) -> bytes:
        self._count(request, codec.INTERNAL_ERROR, started)
        return codec.INTERNAL_ERROR_BYTES

    def _count(self, request: Request | None, answer: Answer, started: float) -> None:
        try:
            self._record.answered(request, answer, time.monotonic() - started)
        except Exception as error:  # noqa: BLE001 - the answer stands whether or not it can be counted
            self._record.fault(error)
