"""Operators that start again, die, stand by, take over, and lead when they no longer should."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.installation import NAMESPACE, SERVER_NAME, Installation, Program, issuer, policy, with_path
from tests.support.processes import wait_until
from tests.support.scripted_replica import ScriptedReplica
from tests.support.tcp_proxy import TcpProxy

READY = {"Programmed": "True Programmed", "Ready": "True Ready"}
PAYMENTS = policy("payments", "pay.example.com")


@contextmanager
def scripted(system: Installation, *operators: Program, name: str = "pod-1") -> Iterator[ScriptedReplica]:
    """A replica that knows these operators."""
    replica = ScriptedReplica(
        name,
        *(one.port for one in operators),
        ca=system.authority.ca,
        server_name=SERVER_NAME,
        token_file=system.token_file("stepguard"),
    )
    try:
        yield replica
    finally:
        replica.stop()


def active(operator: Program) -> bool:
    """Whether it says that it holds the Lease."""
    return operator.metric("stepguard_operator_active") == 1


def programmed_generation(system: Installation) -> int:
    """The generation of `payments` that is in force everywhere, 0 for none."""
    conditions = system.status("stepuppolicy", "payments").get("conditions", ())
    return next(
        (one["observedGeneration"] for one in conditions if one["type"] == "Programmed" and one["status"] == "True"), 0
    )


def wait_for_generation(system: Installation, generation: int) -> None:
    """`payments` is in force everywhere in this generation."""
    wait_until(
        lambda: programmed_generation(system) == generation,
        f"generation {generation} is programmed",
        timeout=60,
        report=lambda: "\n".join(one.process.report() for one in system.programs),
    )


def epoch(replica: ScriptedReplica) -> int:
    """Of the version that the replica reports."""
    return replica.version[0]


def test_a_restarted_operator_goes_on_where_it_was_and_touches_no_status(system: Installation) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    operator = system.operator("--lease", "none")
    replica = system.replica("pod-1", operator)
    system.wait_for("payments", **READY)
    version = system.plane.get("stepuppolicy", "payments")["metadata"]["resourceVersion"]
    assert operator.stop() == 0
    assert replica.ready()
    again = system.operator("--lease", "none", port=operator.port)
    wait_until(lambda: again.metric("stepguard_subscribers") == 1, "the replica is back")
    assert system.plane.get("stepuppolicy", "payments")["metadata"]["resourceVersion"] == version
    system.plane.apply(with_path(PAYMENTS, "/v2"))
    wait_for_generation(system, 2)


def test_an_operator_that_is_killed_in_the_middle_of_a_push_leaves_whole_snapshots_behind(system: Installation) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    first = system.operator("--lease", "none")
    with scripted(system, first, name="quick") as quick, scripted(system, first, name="slow") as slow:
        system.wait_for("payments", **READY)
        slow.delay = 1.0
        before = quick.applied[-1]
        system.plane.apply(with_path(PAYMENTS, "/v2"))
        wait_until(lambda: quick.applied[-1] != before, "the quick one has the change")
        first.process.kill()
        system.operator("--lease", "none", port=first.port)
        wait_for_generation(system, 2)
        assert quick.applied[-1] == slow.applied[-1]


def test_one_of_two_operators_is_active_and_hands_over_when_it_is_stopped(system: Installation) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    first = system.operator()
    wait_until(lambda: active(first), "the first is active")
    second = system.operator()
    with scripted(system, first, second) as replica:
        system.wait_for("payments", **READY)
        assert not active(second)
        before = epoch(replica)
        assert first.stop() == 0
        wait_until(lambda: active(second), "the second is active", timeout=10)
        system.plane.apply(with_path(PAYMENTS, "/v2"))
        wait_for_generation(system, 2)
        assert epoch(replica) > before
    lease = system.plane.get("lease", "stepguard-operator", namespace=NAMESPACE)["spec"]
    assert (lease["leaseTransitions"], lease["leaseDurationSeconds"]) == (1, 15)


def test_a_released_lease_keeps_the_epoch_for_the_next_one(system: Installation) -> None:
    first = system.operator()
    wait_until(lambda: active(first), "the first is active")
    acquired = system.plane.get("lease", "stepguard-operator", namespace=NAMESPACE)["spec"]["acquireTime"]
    first.stop()
    lease = system.plane.get("lease", "stepguard-operator", namespace=NAMESPACE)["spec"]
    assert (lease["holderIdentity"], lease["acquireTime"]) == ("", acquired)


@pytest.mark.slow
def test_a_killed_operator_is_replaced_when_its_lease_ends(system: Installation) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    first = system.operator()
    wait_until(lambda: active(first), "the first is active")
    second = system.operator()
    with scripted(system, first, second):
        system.wait_for("payments", **READY)
        first.process.kill()
        wait_until(lambda: active(second), "the second is active", timeout=40)
        system.plane.apply(with_path(PAYMENTS, "/v2"))
        wait_for_generation(system, 2)


@pytest.mark.slow
def test_an_operator_that_slept_through_its_lease_steps_down_when_it_wakes(system: Installation) -> None:
    system.plane.apply(issuer(), PAYMENTS)
    first = system.operator()
    wait_until(lambda: active(first), "the first is active")
    second = system.operator()
    with scripted(system, first, second) as replica:
        system.wait_for("payments", **READY)
        first.process.send(signal.SIGSTOP)
        wait_until(lambda: active(second), "the second is active", timeout=40)
        system.plane.apply(with_path(PAYMENTS, "/v2"))
        wait_for_generation(system, 2)
        in_force = replica.applied[-1]
        first.process.send(signal.SIGCONT)
        wait_until(lambda: not active(first), "the first stands by")
        assert active(second)
        assert replica.applied[-1] == in_force


@pytest.mark.slow
def test_a_stale_leader_rolls_nobody_back(system: Installation) -> None:
    """The first operator is cut off from the API server, but not from the replica."""
    system.plane.apply(issuer(), PAYMENTS)
    proxy = TcpProxy(system.plane.port)
    first = system.operator(api=proxy.port)
    wait_until(lambda: active(first), "the first is active")
    second = system.operator()
    with scripted(system, first, second) as replica:
        system.wait_for("payments", **READY)
        proxy.cut()
        wait_until(lambda: active(second), "the second is active", timeout=40)
        system.plane.apply(with_path(PAYMENTS, "/v2"))
        wait_for_generation(system, 2)
        in_force, applied = replica.applied[-1], len(replica.applied)
        second.process.kill()
        wait_until(
            lambda: first.metric("stepguard_subscribers") == 1, "the replica is with the stale leader", timeout=40
        )
        wait_until(lambda: replica.refused == "it is older than the snapshot in force", "its snapshot is refused")
        assert (replica.applied[-1], len(replica.applied)) == (in_force, applied)
        proxy.restore()
        wait_until(lambda: epoch(replica) > 0 and replica.refused == "", "the first leads again", timeout=60)
        assert replica.policies == ["default/payments"]
    proxy.close()
