"""What every transport promises, whichever drives gRPC: one contract, run over all of them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import NoReturn

import grpc
import pytest
from stepguard_service import limits
from stepguard_service.authorize import ClaimStep, Step, WaitStep
from stepguard_service.core.model import Answer, InlineKeys, Issuer, Request
from stepguard_service.core.slow import KeysLooked, Need, NeedKeys, Unavailable, Waited
from stepguard_service.stores.replay import Claim, Claimed
from typing_extensions import override

from tests.support.checks import HEALTH, check_request, read_response
from tests.support.processes import wait_until
from tests.support.served import ALLOWED, DENIED, Served, Slow, Store, served

KINDS = ("aio", "fast")
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"

Serve = Callable[..., Served]

ISSUER = Issuer(
    name="main",
    hash="h",
    issuer="https://as.example",
    audiences=frozenset(),
    keys=InlineKeys("{}"),
    algorithms=frozenset(),
    token_types=frozenset(),
    clock_skew=0,
    required_claims=(),
)


@pytest.fixture(params=KINDS)
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Starts servers of one kind of transport, which end with the test."""
    open_servers = []

    def start(decide: Callable[[Request], Step] = lambda _: ALLOWED, **parts: object) -> Served:
        context = served(request.param, decide, **parts)  # type: ignore[arg-type]  # the keywords of `served`
        open_servers.append(context)
        return context.__enter__()

    yield start
    for context in open_servers:
        context.__exit__(None, None, None)


def claiming(finish: Callable[[Claimed], Answer] = lambda _: ALLOWED) -> ClaimStep:
    """A step that needs a claim."""
    return ClaimStep(Claim(b"key", "jkt", "1", 2**40), finish)


def waiting(then: Callable[[Waited], Step] = lambda _: ALLOWED) -> WaitStep:
    """A step that needs the keys of an issuer."""
    return WaitStep(NeedKeys(ISSUER, None), lambda waited, _: then(waited))


def test_an_answer_comes_back(serve: Serve) -> None:
    """One request, one decision, one count."""
    server = serve(lambda _: DENIED)
    assert server.caller.check(check_request("POST", "/a")).status == 403
    assert [asked.method for asked in server.decision.asked] == ["POST"]
    assert [answer for _, answer in server.records.answers] == [DENIED]


def test_bytes_that_are_no_request_are_invalid(serve: Serve) -> None:
    """A gRPC error, since nobody knows what was asked; the service goes on."""
    server = serve()
    assert server.caller.error(b"\xff\xff") is grpc.StatusCode.INVALID_ARGUMENT
    assert server.caller.check(check_request()).allowed


def test_unknown_methods_are_unimplemented(serve: Serve) -> None:
    """Of this and of any other service."""
    server = serve()
    for method in ("/envoy.service.auth.v3.Authorization/Other", "/a.B/Check", "/grpc.health.v1.Health/Watch"):
        assert server.caller.error(check_request(), method=method) is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_over_the_limit_is_refused(serve: Serve) -> None:
    """Before it is decoded."""
    server = serve()
    payload = check_request(headers={"x": "a" * limits.CHECK_REQUEST_LENGTH})
    assert server.caller.error(payload) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.decision.asked == []


def test_64_kib_of_headers_are_decided(serve: Serve) -> None:
    """More than Envoy lets through by default."""
    server = serve()
    assert server.caller.check(check_request(headers={f"x-{i}": "a" * 1024 for i in range(64)})).allowed


def bug(error: type[Exception] = ZeroDivisionError) -> NoReturn:
    """What no code of ours should do."""
    raise error("secret")


def waiting_for_ever(_: object = None) -> WaitStep:
    """A decision that always wants something more."""
    return waiting(waiting_for_ever)


UNENCODABLE = Answer(DENIED.response, DENIED.outcome, DENIED.reason, metadata={"sub": 1})  # type: ignore[dict-item]  # the fault

FAULTS: dict[str, Callable[[Request], Step]] = {
    "in the decision": lambda _: bug(),
    "by exhausted recursion": lambda _: bug(RecursionError),
    "by exhausted memory": lambda _: bug(MemoryError),
    "after a claim": lambda _: claiming(lambda _: bug()),
    "after a wait": lambda _: waiting(lambda _: bug()),
    "in the form of the answer": lambda _: UNENCODABLE,
    "by waiting for ever": waiting_for_ever,
}


@pytest.mark.parametrize("decide", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_of_ours_is_a_counted_503(serve: Serve, decide: Callable[[Request], Step]) -> None:
    """Row F1: never an allow, never a 403, never a bare gRPC error."""
    server = serve(decide)
    verdict = server.caller.check(check_request())
    assert (verdict.code, verdict.status, verdict.metadata["reason"]) == (14, 503, "internal_error")
    assert len(server.records.faults) == 1
    assert [answer.reason for _, answer in server.records.answers] == ["internal_error"]


def test_a_fault_of_the_store_is_no_outage_that_may_be_allowed(serve: Serve) -> None:
    """Whatever --replay-on-outage says, an exception in a store is row F1."""

    class Broken(Store):
        @override
        def claim(self, claims: object, now: float) -> list[Claimed]:
            bug()

    server = serve(lambda _: claiming(), store=Broken())
    assert server.caller.check(check_request()).metadata["reason"] == "internal_error"


def test_a_deadline_that_passes_is_the_callers(serve: Serve) -> None:
    """Row F3: DEADLINE_EXCEEDED; what it waited for is not waited for any longer."""
    slow = Slow(at_once=None)
    server = serve(lambda _: waiting(), slow=slow)
    assert server.caller.error(check_request(), timeout=0.2) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.caller.health() == NOT_SERVING


def test_slow_work_is_bounded_by_the_callers_deadline(serve: Serve) -> None:
    """And by a second where the caller has more time."""
    slow = Slow()
    server = serve(lambda _: waiting(), slow=slow)
    for timeout in (0.5, 30):
        assert server.caller.check(check_request(), timeout=timeout).allowed
    remaining = [deadline - time.monotonic() for _, deadline, _ in slow.asked]
    assert remaining[0] <= 0.5
    assert 0.5 < remaining[1] <= limits.WAIT_FOR_SLOW_WORK


def test_a_call_that_waits_holds_nobody_up(serve: Serve) -> None:
    """Others are answered meanwhile, and it goes on when its wait ends."""
    slow = Slow(at_once=None)
    server = serve(lambda request: waiting() if request.target == "/slow" else DENIED, slow=slow)
    pending = server.caller.submit(check_request(path="/slow"))
    wait_until(lambda: slow.asked, "the slow work was asked for")
    assert server.caller.check(check_request()).status == 403
    slow.asked[0][2].set_result(KeysLooked())
    assert read_response(pending.result(timeout=5)).allowed


def test_what_is_there_already_is_not_waited_for(serve: Serve) -> None:
    """However often a decision asks: keys, then the token's issuer, each answered at once."""
    server = serve(lambda _: waiting(lambda _: waiting(lambda _: waiting())))
    begun = time.monotonic()
    for _ in range(10):
        assert server.caller.check(check_request()).allowed
    assert time.monotonic() - begun < 2


def test_a_caller_that_goes_away_disturbs_nobody_who_waits_for_the_same(serve: Serve) -> None:
    """The work is shared; only the wait is given up."""
    slow = Slow(at_once=None)
    server = serve(lambda _: waiting(), slow=slow)
    leaving, staying = server.caller.submit(check_request()), server.caller.submit(check_request())
    wait_until(lambda: len(slow.asked) == 2, "both wait")
    leaving.cancel()
    for _, _, future in slow.asked:
        if future.set_running_or_notify_cancel():
            future.set_result(KeysLooked())
    assert read_response(staying.result(timeout=5)).allowed


def test_what_the_wait_brought_is_handed_on(serve: Serve) -> None:
    """An outage is for the decision to judge (row 12)."""
    down = Unavailable("down")
    server = serve(lambda _: waiting(lambda waited: DENIED if waited is down else ALLOWED), slow=Slow(down))
    assert server.caller.check(check_request()).status == 403


def test_slow_work_that_breaks_is_an_outage(serve: Serve) -> None:
    """A fault in a fetch, or a fetch that cannot even be started: counted, and for the decision to judge (row 12)."""

    class Broken(Slow):
        @override
        def start(self, need: Need, deadline: float) -> Future[Waited]:
            if self.asked:
                bug()
            self.asked.append((need, deadline, Future()))
            self.asked[0][2].set_exception(ZeroDivisionError())
            return self.asked[0][2]

    server = serve(
        lambda _: waiting(lambda waited: DENIED if isinstance(waited, Unavailable) else ALLOWED), slow=Broken()
    )
    assert [server.caller.check(check_request()).status for _ in range(2)] == [403, 403]
    assert len(server.records.faults) == 2


def test_a_store_that_blocks_holds_nobody_up(serve: Serve) -> None:
    """Claims go off the loop; requests without one are answered while the store is silent."""
    store = Store(blocking=True, delay=0.5)
    server = serve(lambda request: claiming() if request.target == "/claim" else DENIED, store=store)
    pending = server.caller.submit(check_request(path="/claim"))
    wait_until(lambda: store.batches, "the store was asked")
    started = time.monotonic()
    assert server.caller.check(check_request()).status == 403
    assert not pending.done() or time.monotonic() - started > 0.4
    assert read_response(pending.result(timeout=5)).allowed


def test_many_claims_of_a_store_that_blocks_are_made_once_each(serve: Serve) -> None:
    """However they are put into round trips."""
    store = Store(blocking=True, delay=0.02)
    server = serve(lambda _: claiming(), store=store)
    pending = [server.caller.submit(check_request()) for _ in range(40)]
    assert all(read_response(call.result(timeout=20)).allowed for call in pending)
    assert sum(store.batches) == 40
    assert max(store.batches) <= limits.CLAIMS_IN_A_BATCH


def test_nothing_is_claimed_for_a_caller_who_has_given_up(serve: Serve) -> None:
    """Row F3: a deadline that passes while other claims are made."""
    store = Store(blocking=True, delay=0.5)
    server = serve(lambda _: claiming(), store=store)
    first = server.caller.submit(check_request())
    wait_until(lambda: store.batches, "the first round trip is under way")
    assert server.caller.error(check_request(), timeout=0.1) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert read_response(first.result(timeout=5)).allowed
    assert server.caller.check(check_request()).allowed
    assert sum(store.batches) == 2


def test_claims_share_round_trips(serve: Serve) -> None:
    """While one is under way, the others gather."""
    store = Store(blocking=True, delay=0.1)
    server = serve(lambda _: claiming(), store=store)
    pending = [server.caller.submit(check_request()) for _ in range(40)]
    assert all(read_response(call.result(timeout=20)).allowed for call in pending)
    assert len(store.batches) <= 8


def test_a_claims_result_reaches_its_own_call(serve: Serve) -> None:
    """A replay is told to the one who replays."""
    server = serve(lambda _: claiming(lambda claimed: DENIED if claimed is Claimed.REPLAYED else ALLOWED))
    server.store.result = Claimed.REPLAYED
    assert server.caller.check(check_request()).status == 403


def test_health_follows_the_state(serve: Serve) -> None:
    """Not serving before the first snapshot and while draining; checks are answered throughout."""
    server = serve()
    states = [server.caller.health()]
    server.health.ready()
    states.append(server.caller.health(b"\x0a\x23envoy.service.auth.v3.Authorization"))
    server.health.drain()
    states.append(server.caller.health())
    assert states == [NOT_SERVING, SERVING, NOT_SERVING]
    assert server.caller.check(check_request()).allowed


HEALTH_ERRORS = {
    "a service that is not here": (b"\x0a\x01x", grpc.StatusCode.NOT_FOUND),
    "bytes that are no request": (b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
}


@pytest.mark.parametrize(("payload", "code"), HEALTH_ERRORS.values(), ids=HEALTH_ERRORS.keys())
def test_health_says_what_it_does_not_know(serve: Serve, payload: bytes, code: grpc.StatusCode) -> None:
    """As grpc.health.v1 asks."""
    assert serve().caller.error(payload, method=HEALTH) is code


def test_stopping_finishes_what_is_under_way(serve: Serve) -> None:
    """A call that was taken is answered."""
    slow = Slow(at_once=None)
    server = serve(lambda _: waiting(), slow=slow)
    pending = server.caller.submit(check_request())
    wait_until(lambda: slow.asked, "the call is under way")
    stopping = threading.Thread(target=server.stop, args=(5.0,))
    stopping.start()
    slow.asked[0][2].set_result(KeysLooked())
    assert read_response(pending.result(timeout=5)).allowed
    stopping.join()
