"""The policy stream from the operator's side, over real TLS, with the service's own subscription at the other end."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_operator.distribute import SERVICE, Distribution
from stepguard_operator.flags import Address
from stepguard_operator.metrics import Metrics
from stepguard_operator.publication import publish
from stepguard_operator.replicas import Fleet, Replicas
from stepguard_operator.server_tls import read
from stepguard_operator.settings import TlsSettings
from stepguard_operator.stream_server import StreamServer
from stepguard_operator.subscribers import Admission, Admitted, Anybody, Certificates, Gate, NotAdmitted

from tests.support.certificates import Authority, KeyPair
from tests.support.processes import wait_until
from tests.support.scripted_replica import ScriptedReplica

T = TypeVar("T")
NAME = "operator.test"


class Switch:
    """A gate that a test opens and shuts."""

    def __init__(self) -> None:
        self.answer: Callable[[float], Admission] = lambda _: Admitted("somebody")
        self.asked = 0

    async def admit(self, metadata: Mapping[str, str], certificate: Sequence[str], now: float) -> Admission:
        """See Gate."""
        self.asked += 1
        return self.answer(now)


class Running:
    """A Distribution on a port of its own, in a thread of its own."""

    def __init__(self, authority: Authority, pair: KeyPair, gate: Gate, *, client_ca: Path | None = None) -> None:
        self.authority = authority
        self.loop = asyncio.new_event_loop()
        self.metrics = Metrics()
        self.changes = 0
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._replicas: list[ScriptedReplica] = []
        self._client_ca = client_ca
        self.call(lambda: self._start(gate))
        self.show(pair)

    def _start(self, gate: Gate) -> None:
        self.registry = Replicas(0.0)
        self.distribution = Distribution(gate, self.registry, self.metrics, changed=self._changed)
        self.server = StreamServer(Address("127.0.0.1", 0), self.distribution.handler())

    def _changed(self) -> None:
        self.changes += 1

    def show(self, pair: KeyPair) -> None:
        """Serve with this certificate."""
        identity = read(TlsSettings(pair.cert, pair.key, self._client_ca))
        asyncio.run_coroutine_threadsafe(self.server.show(identity), self.loop).result(10)

    def call(self, function: Callable[[], T]) -> T:
        """Run it in the server's loop."""

        async def wrapped() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(wrapped(), self.loop).result(10)

    @property
    def port(self) -> int:
        """Where replicas dial."""
        assert self.server.port is not None
        return self.server.port

    def publish(self, content: str, epoch: int = 1) -> None:
        """Become active where that is not so yet, and publish a snapshot whose hash is its name."""

        def do() -> None:
            self.distribution.activate()
            snapshot = pb.PolicySnapshot(hash=content)
            self.distribution.publish(publish(snapshot, epoch, self.distribution.publication))

        self.call(do)

    def fleet(self) -> Fleet:
        """Who counts now."""
        return self.call(lambda: self.registry.fleet(self.loop.time()))

    def in_force(self) -> dict[str, str]:
        """Replica → hash, as reported."""
        return {name: report.in_force for name, report in self.fleet().heard.items()}

    def subscribe(self, name: str, *more: int, pair: KeyPair | None = None) -> ScriptedReplica:
        """A replica that knows this operator and those on `more` ports."""
        replica = ScriptedReplica(
            name,
            self.port,
            *more,
            ca=self.authority.ca,
            server_name=NAME,
            client_cert=pair.cert if pair else None,
            client_key=pair.key if pair else None,
        )
        self._replicas.append(replica)
        return replica

    def stop(self) -> None:
        """End replicas, streams, server and loop."""
        for replica in self._replicas:
            replica.stop()
        asyncio.run_coroutine_threadsafe(self.server.stop(0.1), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs what operators show."""
    return Authority(tmp_path)


@pytest.fixture
def gate() -> Switch:
    """Open."""
    return Switch()


@pytest.fixture
def operator(authority: Authority, gate: Switch) -> Iterator[Running]:
    """A standby with an open gate."""
    running = Running(authority, authority.issue(NAME), gate)
    yield running
    running.stop()


def raw_stream(operator: Running, *reports: pb.Report) -> grpc.Call:
    """A subscription without our client: these reports, then silence."""
    credentials = grpc.ssl_channel_credentials(operator.authority.ca.read_bytes())
    options = [("grpc.ssl_target_name_override", NAME)]
    channel = grpc.secure_channel(f"127.0.0.1:{operator.port}", credentials, options=options)
    subscribe = channel.stream_stream(
        f"/{SERVICE}/Subscribe",
        request_serializer=pb.Report.SerializeToString,
        response_deserializer=pb.Push.FromString,
    )

    def requests() -> Iterator[pb.Report]:
        yield from reports
        threading.Event().wait(10)

    return subscribe(requests(), timeout=10)


def error_of(call: Any) -> tuple[str, str]:
    """Code and text with which a stream ends."""
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    return caught.value.code().name, caught.value.details()


def test_every_replica_gets_what_is_published_and_what_follows(operator: Running) -> None:
    operator.publish("a")
    for name in ("pod-1", "pod-2"):
        operator.subscribe(name)
    wait_until(lambda: operator.in_force() == {"pod-1": "a", "pod-2": "a"}, "a is in force on both")
    operator.publish("b")
    wait_until(lambda: operator.in_force() == {"pod-1": "b", "pod-2": "b"}, "b is in force on both")


def test_an_active_operator_without_a_publication_keeps_replicas_until_there_is_one(
    operator: Running,
) -> None:
    operator.call(operator.distribution.activate)
    replica = operator.subscribe("pod-1")
    wait_until(lambda: "pod-1" in operator.in_force(), "pod-1 has subscribed")
    operator.publish("a")
    wait_until(lambda: replica.applied == ["a"], "a is in force")


def test_a_replica_that_was_busy_gets_only_the_newest(operator: Running) -> None:
    operator.publish("a")
    replica = operator.subscribe("pod-1")
    replica.delay = 0.3
    wait_until(lambda: replica.applied == ["a"], "a is in force")
    for content in ("b", "c", "d", "e"):
        operator.publish(content)
    wait_until(lambda: operator.in_force() == {"pod-1": "e"}, "e is in force")
    assert replica.applied[:1] + replica.applied[-1:] == ["a", "e"]
    assert len(replica.applied) == 3


def test_a_refusal_is_an_answer_too(operator: Running) -> None:
    operator.publish("a")
    replica = operator.subscribe("pod-1")
    replica.refuse = lambda snapshot: "no" if snapshot.hash == "b" else None
    wait_until(lambda: replica.applied == ["a"], "a is in force")
    operator.publish("b")
    wait_until(lambda: operator.fleet().heard["pod-1"].refused is not None, "b is refused")
    operator.publish("c")
    wait_until(lambda: replica.applied == ["a", "c"], "c is in force")


def test_who_has_the_content_already_is_told_the_version_alone(operator: Running) -> None:
    operator.publish("a", epoch=5)
    report = pb.Report(replica="pod-1", boot_id="b", in_force=pb.InForce(hash="a"))
    push = next(iter(raw_stream(operator, report)))
    assert (push.WhichOneof("kind"), push.unchanged.version.epoch) == ("unchanged", 5)


def test_a_standby_says_so_at_once(operator: Running) -> None:
    kinds = [push.WhichOneof("kind") for push in raw_stream(operator, pb.Report(replica="a", boot_id="b"))]
    assert kinds == ["standby"]


def test_an_operator_that_stands_down_sends_its_replicas_to_the_next_one(
    operator: Running, authority: Authority
) -> None:
    other = Running(authority, authority.issue(NAME), Anybody())
    try:
        operator.publish("a", epoch=1)
        replica = operator.subscribe("pod-1", other.port)
        wait_until(lambda: replica.applied == ["a"], "a is in force")
        operator.call(operator.distribution.stand_by)
        other.publish("b", epoch=2)
        wait_until(lambda: other.in_force() == {"pod-1": "b"}, "the other one has it")
    finally:
        replica.stop()
        other.stop()


def test_who_is_not_admitted_gets_nothing(operator: Running, gate: Switch) -> None:
    gate.answer = lambda _: NotAdmitted("this ServiceAccount may not subscribe")
    operator.publish("a")
    call = raw_stream(operator, pb.Report(replica="a", boot_id="b"))
    assert error_of(call) == ("UNAUTHENTICATED", "this ServiceAccount may not subscribe")
    assert operator.in_force() == {}


def test_who_cannot_be_judged_now_may_try_again(operator: Running, gate: Switch) -> None:
    gate.answer = lambda _: NotAdmitted("the token cannot be reviewed now", try_again=True)
    assert error_of(raw_stream(operator, pb.Report(replica="a", boot_id="b")))[0] == "UNAVAILABLE"


def test_the_stream_ends_when_the_token_does_and_the_replica_comes_back(operator: Running, gate: Switch) -> None:
    gate.answer = lambda now: Admitted("somebody", now + 0.5)
    operator.publish("a")
    replica = operator.subscribe("pod-1")
    wait_until(lambda: gate.asked >= 3, "subscribed three times")
    assert replica.applied == ["a"]


def test_a_replica_that_started_again_replaces_its_old_stream(operator: Running) -> None:
    operator.publish("a")
    old = raw_stream(operator, pb.Report(replica="pod-1", boot_id="first"))
    next(iter(old))
    wait_until(lambda: "pod-1" in operator.in_force(), "the first stream")
    operator.subscribe("pod-1")
    assert error_of(old) == ("ABORTED", "a newer stream of pod-1 replaces this one")
    wait_until(lambda: operator.in_force() == {"pod-1": "a"}, "the new stream counts")


@pytest.mark.parametrize(
    "reports",
    [
        pytest.param([pb.Report(boot_id="b")], id="a report without a name"),
        pytest.param(
            [pb.Report(replica="a", boot_id="b"), pb.Report(replica="c", boot_id="b")],
            id="a stream that changes its name",
        ),
    ],
)
def test_a_stream_that_makes_no_sense_is_ended(operator: Running, reports: list[pb.Report]) -> None:
    operator.publish("a")
    assert error_of(raw_stream(operator, *reports))[0] == "INVALID_ARGUMENT"


def test_when_a_replica_leaves_somebody_is_told(operator: Running) -> None:
    operator.publish("a")
    replica = operator.subscribe("pod-1")
    wait_until(lambda: operator.in_force() == {"pod-1": "a"}, "a is in force")
    before = operator.changes
    replica.stream.stop()
    wait_until(lambda: operator.changes > before, "the operator knows")


def test_the_time_from_publishing_to_in_force_is_measured(operator: Running) -> None:
    operator.publish("a")
    operator.subscribe("pod-1")
    wait_until(lambda: operator.in_force() == {"pod-1": "a"}, "a is in force")
    assert operator.metrics.registry.get_sample_value("stepguard_snapshot_push_seconds_count") == 1
    assert operator.metrics.registry.get_sample_value("stepguard_subscribers") == 1


def test_a_renewed_certificate_is_shown_to_new_connections_and_ends_no_stream(
    operator: Running, authority: Authority, tmp_path: Path
) -> None:
    operator.publish("a")
    operator.subscribe("pod-1")
    wait_until(lambda: operator.in_force() == {"pod-1": "a"}, "a is in force")
    (tmp_path / "new").mkdir()
    new = Authority(tmp_path / "new")
    operator.show(new.issue(NAME))
    second = ScriptedReplica("pod-2", operator.port, ca=new.ca, server_name=NAME)
    try:
        wait_until(lambda: operator.in_force().get("pod-2") == "a", "who trusts the new one is served")
        operator.publish("b")
        wait_until(lambda: operator.in_force() == {"pod-1": "b", "pod-2": "b"}, "the old stream goes on")
    finally:
        second.stop()


def test_with_mtls_the_name_in_the_client_certificate_decides(authority: Authority) -> None:
    operator = Running(authority, authority.issue(NAME), Certificates(["service.test"]), client_ca=authority.ca)
    try:
        operator.publish("a")
        operator.subscribe("known", pair=authority.issue("service.test"))
        operator.subscribe("unknown", pair=authority.issue("another.test"))
        operator.subscribe("without")
        wait_until(lambda: operator.in_force() == {"known": "a"}, "the named one is served")
        with pytest.raises(AssertionError, match="waited"):
            wait_until(lambda: len(operator.in_force()) > 1, "anybody else", timeout=1.5)
    finally:
        operator.stop()
