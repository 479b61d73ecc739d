"""A replica that subscribes to operators: what it puts in force, what it refuses, and how it finds the active one."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_service.transport.operator_channel import OperatorAccess
from stepguard_service.transport.policy_stream import PolicyStream
from stepguard_service.transport.state_dir import StateDir

from tests.support.certificates import Authority
from tests.support.policy_source import PolicySource, snapshot, standby, unchanged
from tests.support.processes import free_port, wait_until


class Replica:
    """What would enforce: it keeps the hashes it was given, and refuses those that a test names."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.refuse: dict[str, str] = {}
        self.faults: set[str] = set()

    def apply(self, offered: pb.PolicySnapshot) -> str | None:
        """Keep it, refuse it, or fail as a bug would."""
        if offered.hash in self.faults:
            raise RuntimeError("a bug")
        if offered.hash in self.refuse:
            return self.refuse[offered.hash]
        self.applied.append(offered.hash)
        return None

    def describe(self) -> pb.Report:
        """Show that what it says reaches the operator."""
        return pb.Report(schema_version=1, nonce_key_ids=self.applied[-1:])


class World:
    """Operators on loopback, one replica, and an end to all of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.pair = self.authority.issue("operator.test")
        self.replica = Replica()
        self.token = directory / "token"
        self.token.write_text("first\n")
        self._stops: list[PolicySource | PolicyStream] = []

    def operator(self, greeting: pb.Push | None) -> PolicySource:
        """One more operator, with a port of its own."""
        source = PolicySource(self.pair, greeting)
        self._stops.append(source)
        return source

    def subscribe(self, *ports: int, state: StateDir | None = None, ca: Path | None = None) -> PolicyStream:
        """Start a replica that knows these operators."""
        access = OperatorAccess(
            addresses=tuple(f"127.0.0.1:{port}" for port in ports),
            ca=ca or self.authority.ca,
            server_name="operator.test",
            token_file=self.token,
        )
        stream = PolicyStream(access, self.replica, node_name="pod-1", state=state)
        stream.start()
        self._stops.append(stream)
        return stream

    def stop(self) -> None:
        """End everything, replicas first."""
        for part in reversed(self._stops):
            part.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.stop()


def test_the_first_snapshot_comes_in_force_and_is_reported_with_who_we_are(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    stream = world.subscribe(operator.port)
    report = operator.wait_for_report("a is in force", hash="a")
    assert (report.replica, report.schema_version, report.in_force.version.sequence) == ("pod-1", 1, 1)
    assert len(report.boot_id) == 32
    assert stream.connected


def test_every_process_has_its_own_boot_id(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port)
    world.subscribe(operator.port)
    wait_until(lambda: len({report.boot_id for report in operator.reports}) == 2, "two boot ids")


def test_a_newer_snapshot_replaces_the_one_in_force(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    operator.push(pb.Push(snapshot=snapshot("b", 2)))
    operator.wait_for_report("b is in force", hash="b")
    assert world.replica.applied == ["a", "b"]


@pytest.mark.parametrize(
    "older",
    [
        pytest.param(snapshot("old", 9, epoch=4), id="a smaller epoch with a larger sequence is older"),
        pytest.param(snapshot("old", 1, epoch=5), id="a smaller sequence of the same epoch is older"),
        pytest.param(snapshot("old", 2, epoch=5), id="other content under the same pair is not newer"),
    ],
)
def test_nothing_older_than_what_is_in_force_is_applied(world: World, older: pb.PolicySnapshot) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 2, epoch=5)))
    world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    operator.push(pb.Push(snapshot=older))
    report = operator.wait_for_report("old is refused", rejected="old")
    assert report.rejected.reason == "it is older than the snapshot in force"
    assert (report.in_force.hash, world.replica.applied) == ("a", ["a"])


def test_a_refused_snapshot_leaves_the_old_one_in_force_until_a_good_one_comes(world: World) -> None:
    world.replica.refuse["b"] = "schema version 9 is too new"
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    operator.push(pb.Push(snapshot=snapshot("b", 2)))
    report = operator.wait_for_report("b is refused", rejected="b")
    assert (report.in_force.hash, report.rejected.reason) == ("a", "schema version 9 is too new")
    operator.push(pb.Push(snapshot=snapshot("c", 3)))
    assert not operator.wait_for_report("c is in force", hash="c").HasField("rejected")


def test_a_fault_while_applying_is_a_refusal_and_the_stream_goes_on(world: World) -> None:
    world.replica.faults.add("b")
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    operator.push(pb.Push(snapshot=snapshot("b", 2)))
    assert "internal error" in operator.wait_for_report("b is refused", rejected="b").rejected.reason
    operator.push(pb.Push(snapshot=snapshot("c", 3)))
    operator.wait_for_report("c is in force", hash="c")


def test_a_standby_is_left_for_the_next_address_at_once(world: World) -> None:
    passive, active = world.operator(standby()), world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(passive.port, active.port)
    active.wait_for_report("a is in force", hash="a")
    assert passive.subscriptions == 1


def test_when_a_subscription_ends_the_next_address_is_tried_first(world: World) -> None:
    first, second = (world.operator(pb.Push(snapshot=snapshot("a", 1))) for _ in range(2))
    world.subscribe(first.port, second.port)
    first.wait_for_report("a is in force", hash="a")
    first.end_streams()
    second.wait_for_report("the second has us", hash="a")
    assert first.subscriptions == 1


def test_an_address_where_nobody_listens_does_not_hide_the_next_one(world: World) -> None:
    active = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(free_port(), active.port)
    active.wait_for_report("a is in force", hash="a")


def test_a_lost_operator_is_found_again(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    stream = world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    operator.end_streams()
    wait_until(lambda: operator.subscriptions == 2, "a second subscription")
    wait_until(lambda: stream.connected, "connected again")
    assert world.replica.applied == ["a"]


def test_the_same_content_under_a_newer_version_is_not_applied_again(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    operator.push(pb.Push(snapshot=snapshot("a", 1, epoch=2)))
    wait_until(lambda: operator.reports[-1].in_force.version.epoch == 2, "the newer version is reported")
    assert world.replica.applied == ["a"]


def test_unchanged_moves_the_version_so_that_an_older_leader_cannot_come_back(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    operator.push(unchanged(1, epoch=3))
    operator.push(pb.Push(snapshot=snapshot("b", 7, epoch=2)))
    operator.wait_for_report("b is refused", rejected="b")
    assert world.replica.applied == ["a"]


def test_the_token_file_is_read_again_for_each_subscription(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    world.token.write_text("second\n")
    operator.end_streams()
    wait_until(lambda: operator.subscriptions == 2, "a second subscription")
    assert [given["authorization"] for given in operator.metadata] == ["Bearer first", "Bearer second"]


def test_an_operator_that_our_ca_did_not_sign_is_not_subscribed_to(world: World, tmp_path: Path) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    (tmp_path / "other").mkdir()
    stream = world.subscribe(free_port(), operator.port, ca=Authority(tmp_path / "other").ca)
    with pytest.raises(AssertionError, match="waited"):
        wait_until(lambda: operator.subscriptions, "a subscription", timeout=1.5)
    assert not stream.connected


def test_a_restarted_replica_serves_what_it_saved_before_it_reaches_an_operator(world: World, tmp_path: Path) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    world.subscribe(operator.port, state=StateDir(tmp_path))
    operator.wait_for_report("a is in force", hash="a")
    wait_until(StateDir(tmp_path).load, "a is saved")
    world.replica.applied.clear()
    world.subscribe(free_port(), state=StateDir(tmp_path))
    wait_until(lambda: world.replica.applied == ["a"], "a is in force from disk")


def test_what_was_saved_is_not_rolled_back_by_an_older_leader(world: World, tmp_path: Path) -> None:
    StateDir(tmp_path).save(snapshot("a", 1, epoch=5))
    operator = world.operator(pb.Push(snapshot=snapshot("b", 1, epoch=4)))
    world.subscribe(operator.port, state=StateDir(tmp_path))
    operator.wait_for_report("b is refused", hash="a", rejected="b")


def test_the_version_that_unchanged_brings_is_saved_too(world: World, tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.save(snapshot("a", 1, epoch=5))
    operator = world.operator(unchanged(3, epoch=6))
    world.subscribe(operator.port, state=state)

    def saved_epoch() -> int:
        saved = state.load()
        return saved.version.epoch if isinstance(saved, pb.PolicySnapshot) else 0

    wait_until(lambda: saved_epoch() == 6, "the newer version is on disk")


def test_a_change_that_has_nothing_to_do_with_snapshots_is_reported_at_once(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    stream = world.subscribe(operator.port)
    operator.wait_for_report("a is in force", hash="a")
    world.replica.applied.append("another-key")
    stream.report_soon()
    wait_until(lambda: operator.reports[-1].nonce_key_ids == ["another-key"], "the change is reported")


def test_stopping_ends_the_thread_while_subscribed_and_while_nobody_is_there(world: World) -> None:
    operator = world.operator(pb.Push(snapshot=snapshot("a", 1)))
    subscribed, lonely = world.subscribe(operator.port), world.subscribe(free_port())
    operator.wait_for_report("a is in force", hash="a")
    for stream in (subscribed, lonely):
        stopper = threading.Thread(target=stream.stop)
        stopper.start()
        stopper.join(15)
        assert not stopper.is_alive()
