"""What Envoy answers while Stepguard is slow, dead or coming back: 503, and nothing passes unchecked."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Final, Self

import grpc
import pytest

from tests.support.envoy import Listener, envoy
from tests.support.gateway import HOST, Gateway, running_gateway, write_policies
from tests.support.grpc_application import GrpcApplication
from tests.support.http_clients import http1
from tests.support.http_server import HttpServer, echo
from tests.support.processes import wait_until
from tests.support.service import service
from tests.support.tokens import Signer

CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that a test may break."""
    with running_gateway(tmp_path) as started:
        yield started


def test_a_service_that_does_not_answer_in_time_means_503(own_gateway: Gateway) -> None:
    """A stopped process accepts connections and answers nothing; when it goes on, so does traffic."""
    own_gateway.service.process.send(SIGSTOP)
    try:
        assert own_gateway.good().status == 503
        assert own_gateway.get("/public").status == 503
    finally:
        own_gateway.service.process.send(SIGCONT)
    wait_until(lambda: own_gateway.good().status == 200, "traffic goes on")
    assert [request.path for request in own_gateway.application.received].count("/public") == 0


def test_a_service_that_was_never_there_means_503(tmp_path: Path) -> None:
    """Nothing passes, public paths included."""
    with (
        HttpServer(echo) as application,
        envoy(tmp_path, {"raw": Listener()}, {"stepguard": 1}, application=application.port) as front,
    ):
        assert http1(front.port(), "/public", host=HOST).status == 503
        assert application.received == []


class Traffic:
    """Requests of one kind, over and over in a thread; counts the statuses of the answers."""

    def __init__(self, send: Callable[[], int]) -> None:
        self.statuses: Counter[int] = Counter()
        self._send = send
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.statuses[self._send()] += 1

    def wait_for(self, status: int, more: int = 20) -> None:
        """Until this many more answers had the status."""
        wanted = self.statuses[status] + more
        wait_until(lambda: self.statuses[status] >= wanted, f"{more} more answers {status}")


def test_nothing_passes_while_the_service_is_killed_and_started_again(own_gateway: Gateway, tmp_path: Path) -> None:
    """Good requests get 200 or 503, others 401 or 503; only good ones reach the application."""
    policies = tmp_path / "policies"
    bad = Traffic(lambda: own_gateway.get("/accounts/bad").status)
    good = Traffic(lambda: own_gateway.good("/accounts/good").status)
    with bad, good:
        good.wait_for(200)
        own_gateway.service.process.kill()
        good.wait_for(503)
        bad.wait_for(503)
        with service(policies, tmp_path, port=own_gateway.service.port):
            good.wait_for(200)
            bad.wait_for(401)
    assert set(good.statuses) == {200, 503}
    assert set(bad.statuses) == {401, 503}
    passed = Counter(request.path for request in own_gateway.application.received)
    assert passed == {"/accounts/good": good.statuses[200]}


class LossyRelay:
    """Passes Checks on to the service, and loses the service's first answer to each request: Envoy asks again."""

    def __init__(self, target: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{target}")
        self._check = self._channel.unary_unary(CHECK)
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        handler = grpc.unary_unary_rpc_method_handler(self._relay)
        service_name, method = CHECK.strip("/").split("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service_name, {method: handler}),))
        self.port: Final[int] = self._server.add_insecure_port("127.0.0.1:0")
        self.asked: Final[list[bytes]] = []

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop(0).wait()
        self._channel.close()

    def _relay(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.asked.append(request)
        answer: bytes = self._check(request, timeout=5)
        if len(self.asked) % 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        return answer


def test_a_check_that_envoy_repeats_is_no_replay(tmp_path: Path) -> None:
    """The answer was lost, not the claim: the same request passes; another with the same proof does not."""
    signer = Signer()
    with (
        HttpServer(echo) as application,
        GrpcApplication() as grpc_application,
        service(write_policies(tmp_path / "policies", signer), tmp_path) as stepguard,
        LossyRelay(stepguard.port) as relay,
        envoy(tmp_path, {"raw": Listener()}, {"stepguard": relay.port}, application=application.port) as front,
    ):
        gateway = Gateway(front, stepguard, application, grpc_application, signer)
        credentials = gateway.credentials("GET", "/accounts")
        assert gateway.get("/accounts", *credentials).status == 200
        assert len(relay.asked) == 2
        assert gateway.get("/accounts", *credentials).status == 401
        assert len(relay.asked) == 4
