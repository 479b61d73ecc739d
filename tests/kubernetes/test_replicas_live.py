"""Replicas of the service beside a real API server: joining, leaving, silent, refusing; and strangers."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stepguard.policy.v1 import policy_pb2 as pb

from tests.support.certificates import Authority
from tests.support.installation import NAMESPACE, SERVER_NAME, Installation, Program, issuer, policy, with_path
from tests.support.policy_source import PolicySource
from tests.support.processes import wait_until
from tests.support.scripted_replica import ScriptedReplica

READY = {"Programmed": "True Programmed", "Ready": "True Ready"}


@pytest.fixture
def operator(system: Installation) -> Program:
    """A single operator, one issuer and one policy."""
    started = system.operator("--lease", "none", "--service", f"{NAMESPACE}/stepguard")
    system.plane.apply(issuer(), policy("payments", "pay.example.com"))
    return started


@contextmanager
def scripted(system: Installation, name: str, operator: Program) -> Iterator[ScriptedReplica]:
    """A replica that does what the test says."""
    replica = ScriptedReplica(
        name,
        operator.port,
        ca=system.authority.ca,
        server_name=SERVER_NAME,
        token_file=system.token_file("stepguard"),
    )
    try:
        yield replica
    finally:
        replica.stop()


def ready_pods(system: Installation, *names: str) -> None:
    """Write the EndpointSlice of the service: these pods are ready."""
    endpoints = [
        {
            "addresses": [f"10.0.0.{number}"],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": name, "namespace": NAMESPACE},
        }
        for number, name in enumerate(names, start=1)
    ]
    labels = {"kubernetes.io/service-name": "stepguard"}
    system.plane.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "stepguard-1", "namespace": NAMESPACE, "labels": labels},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "grpc", "port": 9191, "protocol": "TCP"}],
        }
    )


def summary(system: Installation) -> str:
    """Of `payments`: programmed/desired."""
    found: str = system.status("stepuppolicy", "payments").get("replicas", {}).get("summary", "")
    return found


def never(condition: Callable[[], Any], what: str, *, seconds: float = 2.0) -> None:
    """It does not become true in this time."""
    with pytest.raises(AssertionError, match="waited"):
        wait_until(condition, what, timeout=seconds)


def test_without_replicas_nobody_knows(system: Installation, operator: Program) -> None:
    system.wait_for("payments", Accepted="True Accepted", Programmed="Unknown NoReplicas", Ready="Unknown NoReplicas")


@pytest.mark.slow
def test_replicas_that_join_and_leave_are_counted(system: Installation, operator: Program) -> None:
    with scripted(system, "pod-1", operator):
        system.wait_for("payments", **READY)
        with scripted(system, "pod-2", operator):
            wait_until(lambda: summary(system) == "2/2", "two replicas")
        wait_until(lambda: summary(system) == "1/1", "one is left: no ready EndpointSlice names the other", timeout=60)


def test_a_ready_pod_that_does_not_subscribe_is_waited_for(system: Installation, operator: Program) -> None:
    with scripted(system, "pod-1", operator):
        system.wait_for("payments", **READY)
        ready_pods(system, "pod-1", "pod-2")
        system.wait_for("payments", Programmed="False Pending")
        assert summary(system) == "1/2"
        ready_pods(system, "pod-1")
        system.wait_for("payments", **READY)


@pytest.mark.slow
def test_a_real_replica_that_falls_silent_is_named_and_counts_again_when_it_is_back(
    system: Installation, operator: Program
) -> None:
    replica = system.replica("pod-1", operator)
    ready_pods(system, "pod-1")
    system.wait_for("payments", **READY)
    replica.process.send(signal.SIGSTOP)
    system.wait_for("payments", Programmed="False ReplicaUnreachable", Ready="False ReplicaUnreachable")
    replica.process.send(signal.SIGCONT)
    system.wait_for("payments", **READY)


def test_a_replica_that_refuses_a_snapshot_keeps_its_old_one_and_status_says_so(
    system: Installation, operator: Program
) -> None:
    with scripted(system, "pod-1", operator) as replica:
        system.wait_for("payments", **READY)
        before = list(replica.applied)
        replica.refuse = lambda _: "schema version 2 is too new"
        system.plane.apply(with_path(policy("payments", "pay.example.com"), "/v2"))
        system.wait_for("payments", Programmed="False ReplicaRejected")
        shown = system.status("stepuppolicy", "payments")["conditions"]
        assert next(one for one in shown if one["type"] == "Programmed")["message"].endswith("version 2 is too new")
        assert replica.applied == before


def test_a_rule_that_one_replica_cannot_use_shows_in_the_status_of_its_policy_alone(
    system: Installation, operator: Program
) -> None:
    system.plane.apply(policy("other", "other.example.com"))
    with scripted(system, "pod-1", operator) as replica:
        system.wait_for("other", **READY)
        replica.errors["default/payments"] = "rule all: unknown field 9"
        replica.stream.report_soon()
        system.wait_for("payments", Programmed="False ReplicaRejected")
        system.wait_for("other", **READY)


def test_two_replicas_without_a_shared_replay_store_are_called_unsafe(system: Installation, operator: Program) -> None:
    for name in ("pod-1", "pod-2"):
        system.replica(name, operator)
    system.wait_for("payments", Programmed="False UnsafeReplicas", Ready="False UnsafeReplicas")


def test_a_policy_that_requires_nonces_is_unsafe_on_a_replica_without_keys(
    system: Installation, operator: Program
) -> None:
    system.plane.apply(policy("nonces", "nonce.example.com", dpop={"nonce": "Required"}))
    system.replica("pod-1", operator)
    system.wait_for("nonces", Programmed="False UnsafeReplicas")
    system.wait_for("payments", **READY)


def test_the_same_replica_after_a_restart_replaces_the_old_one(system: Installation, operator: Program) -> None:
    replica = system.replica("pod-1", operator)
    system.wait_for("payments", **READY)
    replica.process.kill()
    system.replica("pod-1", operator)
    system.wait_for("payments", **READY)
    assert summary(system) == "1/1"


STRANGERS = {
    "another ServiceAccount": ("stranger", "stepguard"),
    "a token for another audience": ("stepguard", "https://kubernetes.default.svc"),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_stranger_gets_nothing(system: Installation, operator: Program, stranger: tuple[str, str]) -> None:
    account, audience = stranger
    token = system.token_file(account, audience=audience)
    replica = ScriptedReplica("pod-1", operator.port, ca=system.authority.ca, server_name=SERVER_NAME, token_file=token)
    try:
        wait_until(lambda: "refused a subscriber" in operator.process.stderr, "it is refused")
        never(lambda: replica.applied, "a snapshot for a stranger")
        assert operator.metric("stepguard_subscribers") == 0
    finally:
        replica.stop()


def test_no_token_and_a_made_up_one_get_nothing(system: Installation, operator: Program, tmp_path: Path) -> None:
    made_up = tmp_path / "made-up"
    made_up.write_text("eyJhbGciOiJub25lIn0.e30.")
    ca, port = system.authority.ca, operator.port
    strangers = [
        ScriptedReplica("pod-1", port, ca=ca, server_name=SERVER_NAME, token_file=file) for file in (None, made_up)
    ]
    try:
        wait_until(lambda: operator.process.stderr.count("refused a subscriber") >= 2, "both are refused")
        assert not any(stranger.applied for stranger in strangers)
    finally:
        for stranger in strangers:
            stranger.stop()


def test_a_deleted_accounts_token_is_worth_nothing(system: Installation, operator: Program) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gone", "namespace": NAMESPACE}}
    system.plane.apply(account)
    second = system.operator("--lease", "none", "--subscriber", f"{NAMESPACE}/gone")
    token = system.token_file("gone")
    system.plane.kubectl("delete", "serviceaccount", "gone", "--namespace", NAMESPACE)
    replica = ScriptedReplica("pod-1", second.port, ca=system.authority.ca, server_name=SERVER_NAME, token_file=token)
    try:
        wait_until(lambda: "refused a subscriber" in second.process.stderr, "it is refused")
        assert not replica.applied
    finally:
        replica.stop()


def test_a_replica_serves_what_it_saved_when_no_operator_is_there(system: Installation, operator: Program) -> None:
    state = system.directory / "state"
    state.mkdir()
    replica = system.replica("pod-1", operator, flags=("--state-dir", str(state)))
    system.wait_for("payments", **READY)
    wait_until((state / "snapshot").exists, "the snapshot is saved")
    replica.process.kill()
    operator.stop()
    system.replica("pod-1", operator.port, flags=("--state-dir", str(state)))


def test_a_replica_is_not_ready_before_it_has_a_snapshot(system: Installation) -> None:
    replica = system.replica("pod-1", 1, wait=False)
    wait_until(lambda: replica.get("/healthz")[0] == 200, "it runs")
    assert replica.get("/readyz")[0] == 503


@pytest.fixture
def newer(system: Installation) -> Iterator[PolicySource]:
    """An operator of the future, whose first snapshot is one that every replica understands."""
    snapshot = pb.PolicySnapshot(hash="first", min_schema_version=1)
    snapshot.version.epoch = snapshot.version.sequence = 1
    source = PolicySource(system.pair, pb.Push(snapshot=snapshot))
    yield source
    source.stop()


def test_an_older_replica_refuses_a_schema_that_it_does_not_know(system: Installation, newer: PolicySource) -> None:
    replica = system.replica("pod-1", newer.port)
    snapshot = pb.PolicySnapshot(hash="second", min_schema_version=2)
    snapshot.version.epoch, snapshot.version.sequence = 1, 2
    newer.push(pb.Push(snapshot=snapshot))
    report = newer.wait_for_report("the second is refused", rejected="second")
    assert report.in_force.hash == "first"
    assert replica.ready()


def test_an_older_replica_refuses_a_field_outside_the_tables_that_it_does_not_know(
    system: Installation, newer: PolicySource
) -> None:
    system.replica("pod-1", newer.port)
    known = pb.PolicySnapshot(hash="second", min_schema_version=1)
    known.version.epoch, known.version.sequence = 1, 2
    unknown_field_100 = b"\xa0\x06\x01"
    newer.push(pb.Push(snapshot=pb.PolicySnapshot.FromString(known.SerializeToString() + unknown_field_100)))
    assert newer.wait_for_report("the second is refused", rejected="second").in_force.hash == "first"


def test_a_certificate_of_somebody_else_ends_the_conversation(
    system: Installation, operator: Program, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path, "foreign")
    replica = ScriptedReplica(
        "pod-1", operator.port, ca=foreign.ca, server_name=SERVER_NAME, token_file=system.token_file("stepguard")
    )
    stopper = threading.Timer(2.0, replica.stop)
    stopper.start()
    stopper.join()
    assert not replica.applied
    assert operator.metric("stepguard_subscribers") == 0
