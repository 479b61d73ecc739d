"""`stepguard-service --operator` as a process: policies come over the stream, and stay through a restart."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import CompileOptions, Compiler
from stepguard_policy.documents import load_paths

from tests.support.authorization_server import AuthorizationServer
from tests.support.bank import Bank, issuer_document
from tests.support.certificates import Authority
from tests.support.checks import Caller
from tests.support.policy_source import PolicySource
from tests.support.processes import free_port, program, running
from tests.support.service import Service


def snapshot_of(bank: Bank, sequence: int = 1) -> pb.PolicySnapshot:
    """What the operator makes of a bank's policies."""
    snapshot = Compiler().compile(load_paths([bank.folder]).resources, CompileOptions(file_mode=True)).snapshot
    snapshot.version.epoch, snapshot.version.sequence = 1, sequence
    return snapshot


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Policies that the operator knows."""
    return Bank(tmp_path / "policies")


@pytest.fixture
def operator(tmp_path: Path, bank: Bank) -> Iterator[PolicySource]:
    """An operator that greets with the bank's policies."""
    pair = Authority(tmp_path).issue("localhost")
    source = PolicySource(pair, pb.Push(snapshot=snapshot_of(bank)))
    yield source
    source.stop()


@contextlib.contextmanager
def replica(tmp_path: Path, operator_port: int) -> Iterator[tuple[Service, Caller]]:
    """A service that subscribes to an operator, and a client of it."""
    port, admin = free_port(), free_port()
    (tmp_path / "state").mkdir(exist_ok=True)
    flags = (
        *("--operator", f"localhost:{operator_port}", "--operator-ca", tmp_path / "ca.crt", "--node-name", "pod-1"),
        *("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--drain-seconds", "0"),
        *("--state-dir", tmp_path / "state"),
    )
    with running([program("stepguard-service"), *flags], tmp_path) as process:
        started = Service(process, port, admin, tmp_path)
        process.wait_for(started.ready, "the service is ready")
        caller = Caller(port)
        yield started, caller
        caller.close()


def gauge(started: Service, name: str) -> float:
    """The value of a metric without labels."""
    found = re.search(rf"^{name} (\S+)$", started.get("/metrics")[1], re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_what_the_operator_pushes_is_enforced_and_reported(tmp_path: Path, bank: Bank, operator: PolicySource) -> None:
    """Each policy with its hash, the issuer with its keys, the store that is not shared."""
    with replica(tmp_path, operator.port) as (started, caller):
        assert caller.check(bank.proven()).allowed
        snapshot = snapshot_of(bank)
        report = operator.wait_for_report("the snapshot is in force", hash=snapshot.hash)
        assert [(one.name, one.hash, one.error) for one in report.policies] == [
            ("bank/payments", snapshot.policies[0].hash, "")
        ]
        assert [(one.name, one.keys) for one in report.issuers] == [("main", 1)]
        assert (report.replica, report.replay_store.kind, report.replay_store.shared) == ("pod-1", "memory", False)
        assert gauge(started, "stepguard_operator_connected") == 1


def test_a_refused_snapshot_changes_nothing_and_says_why(tmp_path: Path, bank: Bank, operator: PolicySource) -> None:
    """A schema of later."""
    with replica(tmp_path, operator.port) as (_, caller):
        later = snapshot_of(bank, sequence=2)
        later.min_schema_version, later.hash = 99, "later"
        operator.push(pb.Push(snapshot=later))
        report = operator.wait_for_report("the snapshot is refused", rejected="later")
        assert "schema version 99" in report.rejected.reason
        assert caller.check(bank.proven()).allowed


def test_a_restarted_replica_serves_without_an_operator(tmp_path: Path, bank: Bank, operator: PolicySource) -> None:
    """From --state-dir; the metric says that nobody is there."""
    with replica(tmp_path, operator.port):
        operator.wait_for_report("the snapshot is in force", hash=snapshot_of(bank).hash)
    with replica(tmp_path, free_port()) as (started, caller):
        assert caller.check(bank.proven()).allowed
        assert gauge(started, "stepguard_operator_connected") == 0


def test_a_policy_that_needs_nonces_answers_503_without_keys(
    tmp_path: Path, bank: Bank, operator: PolicySource
) -> None:
    """Row 18a: replicas do not make up their own in push mode."""
    text = (bank.folder / "policy.yaml").read_text()
    bank.write("policy.yaml", text.replace("spec:", "spec:\n  dpop: {nonce: Required}", 1))
    operator.greeting = pb.Push(snapshot=snapshot_of(bank))
    with replica(tmp_path, operator.port) as (_, caller):
        verdict = caller.check(bank.proven())
        assert (verdict.status, verdict.metadata["reason"]) == (503, "nonce_keys_missing")


def test_fetched_keys_are_reported_soon(tmp_path: Path, bank: Bank, operator: PolicySource) -> None:
    """Not only with the next report that is due anyway."""
    with AuthorizationServer(bank.signer) as server:
        issuer = issuer_document()
        issuer["spec"]["jwks"] = {"uri": server.jwks_uri}
        bank.write("issuer.yaml", issuer)
        operator.greeting = pb.Push(snapshot=snapshot_of(bank))
        with replica(tmp_path, operator.port) as (started, _):
            started.process.wait_for(
                lambda: any(one.keys == 1 for report in list(operator.reports) for one in report.issuers),
                "the key is reported",
                timeout=8,
            )
