"""What stalls outside the service never stops its loop: other requests keep flowing, on every transport."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.authorization_server import INTROSPECTION_PATH, JWKS_PATH, AuthorizationServer
from tests.support.bank import Bank, policy_document, rule
from tests.support.checks import read_response
from tests.support.http_server import Reply
from tests.support.live_policies import bearer, introspecting, signed
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.tokens import Signer
from tests.support.whole import Whole, whole

HANGING = Reply(200, b"{}", delay=30)
SIGNER = Signer(kid="first")
STUCK, OTHERS = 100, 200
MOST_SECONDS = 0.5
"""What one of the others may take, of which none takes a hundredth on an idle machine; a stall is at least a second."""


@dataclass
class Stall:
    """A service of which something outside is about to stall."""

    service: Whole
    bank: Bank
    server: AuthorizationServer
    redis: RedisServer

    def keys(self) -> Iterator[bytes]:
        """The JWK Set of an issuer hangs."""
        self.server.faults[JWKS_PATH] = HANGING
        for number in range(STUCK):
            yield signed(self.server, Signer(kid=f"unknown-{number}"))

    def introspection(self) -> Iterator[bytes]:
        """So does the introspection endpoint."""
        self.server.faults[INTROSPECTION_PATH] = HANGING
        for number in range(STUCK):
            yield bearer(f"opaque-{number}")

    def store(self) -> Iterator[bytes]:
        """Redis is stopped in its tracks."""
        self.redis.pause()
        for number in range(STUCK):
            yield self.bank.proven(request_id=f"{number}")


STALLS: dict[str, Callable[[Stall], Iterator[bytes]]] = {
    "the endpoint of keys hangs": Stall.keys,
    "introspection hangs": Stall.introspection,
    "the replay store hangs": Stall.store,
}


@pytest.fixture(params=["aio", "fast"])
def stall(request: pytest.FixtureRequest, tmp_path: Path, secrets: Path) -> Iterator[Stall]:
    """Two issuers: one whose server is about to hang, and the bank's own with its keys in the policy folder."""
    bank = Bank(tmp_path / "policies")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(AuthorizationServer(SIGNER))
        redis = stack.enter_context(RedisServer(tmp_path))
        bank.write("hanging.yaml", introspecting(server) | {"metadata": {"name": "hanging"}})
        both = [{"name": "main"}, {"name": "hanging"}]
        bank.write("policy.yaml", policy_document(rule("/accounts"), issuerRefs=both))
        flags = ("--transport", request.param, "--replay-store", redis.url, "--replay-timeout", "1s")
        service = stack.enter_context(whole(bank, *flags, "--secrets-dir", str(secrets)))
        wait_until(lambda: service.caller.check(signed(server, SIGNER)).allowed, "the keys were fetched")
        yield Stall(service, bank, server, redis)


@pytest.mark.parametrize("begin", STALLS.values(), ids=STALLS.keys())
def test_other_requests_keep_flowing_while(stall: Stall, begin: Callable[[Stall], Iterator[bytes]]) -> None:
    """And those that hang get their 401 or 503 in the end."""
    caller = stall.service.caller
    stuck = [caller.submit(payload) for payload in begin(stall)]
    slowest = 0.0
    for _ in range(OTHERS):
        begun = time.monotonic()
        assert caller.check(stall.bank.bearer()).allowed
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < MOST_SECONDS
    assert {read_response(one.result()).status for one in stuck} <= {401, 503}
