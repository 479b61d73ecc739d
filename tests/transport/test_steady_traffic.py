"""500 requests a second, good and bad: every one is answered, none wrongly. SECONDS=60 for the long run."""

import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import grpc
import pytest

from tests.support.bank import HOST, Bank, policy_document
from tests.support.checks import Caller, check_request, read_response
from tests.support.clock import clock_now
from tests.support.processes import wait_until
from tests.support.service import service
from tests.support.tokens import ClientKey

RATE = 500
SECONDS = int(os.environ.get("SECONDS", "4"))

Expected = str
"""The reason in the answer's metadata, or the name of a gRPC error."""


LASTING: Final = {"proofMaxAge": "300s"}
"""Everything is signed before the first request is sent, so that signing does not slow the traffic down."""


def mixed(bank: Bank) -> Iterator[tuple[bytes, Expected]]:
    """Requests for ever, one kind after the other, each with what must come of it."""
    thief, number = ClientKey(name="thief"), 0
    while True:
        number += 1
        once = bank.proven(request_id=f"{number}a")
        yield once, "ok"
        yield bank.bearer(), "ok"
        yield bank.stepped_up(), "ok"
        yield bank.proven("/transfers"), "insufficient_acr"
        yield once.replace(f"{number}a".encode(), f"{number}b".encode(), 1), "replayed"
        token = bank.token()
        stolen = thief.proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=token)
        yield (
            check_request(path="/accounts", headers={"authorization": f"DPoP {token}", "dpop": stolen}),
            "proof_key_mismatch",
        )
        yield bank.proven(exp=int(clock_now()) - 60), "token_expired"
        yield check_request(path="/accounts"), "no_credentials"
        yield check_request(path="/public"), "anonymous"
        yield check_request(path="/public/../../x"), "no_rule"
        yield check_request(host="other.example"), "unknown_host"
        yield b"\xff\xff", "INVALID_ARGUMENT"


def outcome(call: grpc.Future) -> str:
    """What came of a call, in the words of `Expected`."""
    if call.code() is grpc.StatusCode.OK:
        return read_response(call.result()).metadata["reason"]
    return str(call.code().name)


@pytest.mark.parametrize("transport", ["aio", "fast"])
def test_every_request_is_answered_and_none_wrongly(tmp_path: Path, transport: str) -> None:
    """At a steady rate, in whatever order they finish."""
    bank = Bank(tmp_path / "policies")
    bank.write("policy.yaml", policy_document(dpop=LASTING))
    with service(bank.folder, tmp_path, "--transport", transport) as started:
        traffic = list(islice(mixed(bank), RATE * SECONDS))
        caller, wrong = Caller(started.port), Counter[tuple[Expected, str]]()
        pending: deque[tuple[Expected, grpc.Future]] = deque()
        begin = time.monotonic()
        for number, (payload, expected) in enumerate(traffic):
            if expected == "replayed":
                wait_until(pending[-4][1].done, "the first use of the proof was answered")
            time.sleep(max(0, begin + number / RATE - time.monotonic()))
            pending.append((expected, caller.submit(payload, timeout=10)))
            if len(pending) > RATE:
                wrong.update(surprise(*pending.popleft()))
        for expected, call in pending:
            wrong.update(surprise(expected, call))
        assert dict(wrong) == {}
        caller.close()


def surprise(expected: Expected, call: grpc.Future) -> list[tuple[Expected, str]]:
    """What was expected and what came, where they differ."""
    came = outcome(call)
    return [] if came == expected else [(expected, came)]
