"""kubectl apply, and a real Envoy enforces it on every replica."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.clock import clock_now
from tests.support.envoy import Envoy, Listener, envoy
from tests.support.http_clients import http1
from tests.support.http_server import HttpServer, echo
from tests.support.installation import Installation, Object, Program, issuer, policy
from tests.support.processes import wait_until
from tests.support.tokens import AUDIENCE, Signer, jwk_set

HOST = "pay.example.com"


def rules(require: Object) -> list[Object]:
    """One rule for everything, with this requirement."""
    return [{"name": "all", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "require": require}]


@dataclass(frozen=True)
class Front:
    """Two replicas, an Envoy listener before each, and who signs tokens."""

    system: Installation
    operator: Program
    envoy: Envoy
    signer: Signer

    def apply(self, require: Object) -> None:
        """The policy of the host asks for this."""
        self.system.plane.apply(policy("payments", HOST, rules=rules(require)))

    def statuses(self) -> set[int]:
        """What a bearer token without any scope gets at each replica."""
        token = self.signer.access_token(clock_now())
        headers = (("Authorization", f"Bearer {token}"),)
        return {http1(port, "/", host=HOST, headers=headers).status for port in self.envoy.ports.values()}

    def wait_for(self, status: int, what: str) -> None:
        """Both replicas answer like this."""
        wait_until(lambda: self.statuses() == {status}, what, report=lambda: str(self.statuses()))


@pytest.fixture
def front(system: Installation, tmp_path: Path) -> Iterator[Front]:
    """An operator, two replicas, one Envoy and one application."""
    signer = Signer()
    keys = json.loads(jwk_set(signer))["keys"]
    system.plane.apply(issuer(issuer=signer.issuer, audiences=[AUDIENCE], jwks={"keys": keys}))
    operator = system.operator("--lease", "none")
    replicas = {name: system.replica(name, operator).port for name in ("pod-1", "pod-2")}
    with ExitStack() as stack:
        application = stack.enter_context(HttpServer(echo))
        listeners = {name: Listener(cluster=name) for name in replicas}
        started = stack.enter_context(envoy(tmp_path, listeners, replicas, application=application.port))
        yield Front(system, operator, started, signer)


def test_a_policy_and_its_changes_are_enforced_through_envoy_by_every_replica(front: Front) -> None:
    assert front.statuses() == {403}
    front.apply({})
    front.wait_for(200, "the new policy lets the token through")
    front.apply({"scopes": ["payments:write"]})
    front.wait_for(403, "the changed policy asks for a scope")
    front.apply({"dpop": "Required"})
    front.wait_for(401, "the changed policy asks for a proof")
    front.system.plane.kubectl("delete", "stepuppolicy", "payments")
    front.wait_for(403, "without a policy the host is nobody's")


def test_tokens_of_a_deleted_issuer_are_refused_at_once(front: Front) -> None:
    front.apply({})
    front.wait_for(200, "the token is good")
    front.system.plane.kubectl("delete", "tokenissuer", "main")
    front.wait_for(401, "the token of a deleted issuer is refused")


def test_a_bad_change_leaves_what_is_enforced(front: Front) -> None:
    front.apply({"scopes": ["payments:write"]})
    front.wait_for(403, "a scope is asked for")
    bad = policy("payments", HOST, rules=[{**rules({})[0], "when": "request.nothing"}])
    front.system.plane.apply(bad)
    front.system.wait_for("payments", Accepted="False InvalidExpression")
    assert front.statuses() == {403}


def test_what_is_enforced_outlives_the_operator(front: Front) -> None:
    front.apply({})
    front.wait_for(200, "the token is good")
    front.operator.process.kill()
    wait_until(lambda: front.system.programs[1].metric("stepguard_operator_connected") == 0, "the operator is missed")
    assert front.statuses() == {200}
