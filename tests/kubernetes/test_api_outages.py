"""The API server stops, starts, forgets connections and takes rights away: what was published goes on."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.installation import RBAC, SERVER_NAME, Installation, Program, issuer, policy, with_path
from tests.support.processes import wait_until
from tests.support.scripted_replica import ScriptedReplica
from tests.support.tcp_proxy import TcpProxy

PAYMENTS = policy("payments", "pay.example.com")
READY = {"Programmed": "True Programmed", "Ready": "True Ready"}


@pytest.fixture
def proxy(system: Installation) -> Iterator[TcpProxy]:
    """The operator's way to the API server."""
    made = TcpProxy(system.plane.port)
    yield made
    made.close()


def failed_lists(operator: Program) -> float:
    """How often a list of its own has failed."""
    return operator.metric("stepguard_operator_lists_total", result="failed")


def test_while_the_api_server_is_gone_replicas_are_served_and_afterwards_changes_arrive_again(
    system: Installation,
) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    operator = system.operator("--resync", "2s")
    subscribe = partial(
        ScriptedReplica, ca=system.authority.ca, server_name=SERVER_NAME, token_file=system.token_file("stepguard")
    )
    first = subscribe("pod-1", operator.port)
    late = None
    try:
        system.wait_for("payments", **READY)
        system.plane.stop_api_server()
        wait_until(lambda: failed_lists(operator) > 0, "lists fail")
        late = subscribe("pod-2", operator.port)
        wait_until(lambda: late.policies == ["default/payments"], "a replica that comes now is served too")
        assert first.policies == ["default/payments"]
        assert operator.get("/healthz")[0] == 200
        system.plane.start_api_server()
        system.plane.apply(with_path(PAYMENTS, "/v2"))
        system.wait_for("payments", **READY)
        wait_until(lambda: first.applied[-1] == late.applied[-1], "both have the change")
        assert system.status("stepuppolicy", "payments")["observedGeneration"] == 2
    finally:
        if system.plane.api_server is None:
            system.plane.start_api_server()
        first.stop()
        if late is not None:
            late.stop()


def test_a_dropped_watch_is_taken_up_again(system: Installation, proxy: TcpProxy) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    operator = system.operator("--lease", "none", api=proxy.port)
    replica = system.replica("pod-1", operator)
    system.wait_for("payments", **READY)
    proxy.cut()
    system.plane.apply(with_path(PAYMENTS, "/v2"), policy("new", "new.example.com"))
    system.plane.kubectl("delete", "stepuppolicy", "payments")
    proxy.restore()
    system.wait_for("new", **READY)
    assert replica.ready()
    proxy.drop()
    system.plane.apply(policy("newer", "newer.example.com"))
    system.wait_for("newer", **READY)


def test_rights_that_are_taken_away_do_not_empty_anything(system: Installation) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    operator = system.operator("--lease", "none", "--resync", "2s")
    replica = system.replica("pod-1", operator)
    system.wait_for("payments", **READY)
    try:
        system.plane.kubectl("delete", "clusterrolebinding", "stepguard-operator")
        wait_until(lambda: failed_lists(operator) > 0, "lists fail")
        assert operator.metric("stepguard_policies", accepted="true") == 1
        assert replica.metric("stepguard_operator_connected") == 1
    finally:
        system.plane.kubectl("apply", "-f", RBAC)
    system.plane.apply(with_path(PAYMENTS, "/v2"))
    wait_until(lambda: system.status("stepuppolicy", "payments")["observedGeneration"] == 2, "generation 2 is seen")
    system.wait_for("payments", **READY)


def test_an_operator_that_cannot_list_for_long_is_not_healthy(system: Installation, proxy: TcpProxy) -> None:
    operator = system.operator("--lease", "none", "--resync", "1s", api=proxy.port)
    assert operator.get("/healthz")[0] == 200
    proxy.cut()
    wait_until(lambda: operator.get("/healthz")[0] == 503, "it says so")
    assert "policies were last listed" in operator.get("/healthz")[1]
    proxy.restore()
    wait_until(lambda: operator.get("/healthz")[0] == 200, "it is well again")


def test_an_operator_without_an_api_server_waits_for_it_and_is_not_ready(system: Installation, proxy: TcpProxy) -> None:
    proxy.cut()
    operator = system.operator("--lease", "none", api=proxy.port, wait=False)
    wait_until(lambda: operator.get("/healthz")[0] == 200, "it runs")
    assert operator.get("/readyz") == (503, "policies were not listed yet\n")
    proxy.restore()
    wait_until(operator.ready, "it is ready")
