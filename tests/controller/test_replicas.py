"""Who counts as a replica: connected, silent, awaited, forgotten."""

import contextlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_operator.replicas import Fleet, ReplicaReport, Replicas, parse_report


def report(name: str, boot_id: str = "b1") -> ReplicaReport:
    """A report with nothing in it but who sent it."""
    return ReplicaReport(name=name, boot_id=boot_id)


def started(*names: str, at: float = 0.0) -> Replicas:
    """An operator that took over at 0 and heard of these replicas at `at`, on streams counted from 1."""
    replicas = Replicas(0.0)
    for stream, name in enumerate(names, start=1):
        replicas.heard(report(name), stream=stream, now=at)
    return replicas


def test_who_reports_counts() -> None:
    assert list(started("a", "b").fleet(1.0).heard) == ["a", "b"]


def test_a_replica_is_silent_after_30_seconds_without_a_report() -> None:
    replicas = started("a")
    assert replicas.fleet(30.0).silent == ()
    assert replicas.fleet(30.1).silent == ("a",)


def test_a_replica_whose_stream_ended_counts_until_it_is_silent() -> None:
    replicas = started("a")
    replicas.left("a", stream=1)
    assert list(replicas.fleet(29.0).heard) == ["a"]
    assert replicas.fleet(31.0).silent == ("a",)


def test_without_endpoint_slices_a_silent_replica_is_forgotten_after_5_minutes() -> None:
    replicas = started("a")
    assert replicas.fleet(300.0).silent == ("a",)
    assert replicas.fleet(300.1).desired == 0


def test_a_replica_that_left_is_forgotten_at_once_where_no_ready_slice_names_its_pod() -> None:
    replicas = started("a", "b")
    replicas.ready(frozenset({"b"}), 1.0)
    assert list(replicas.fleet(1.0).heard) == ["a", "b"]
    replicas.left("a", stream=1)
    assert list(replicas.fleet(2.0).heard) == ["b"]


def test_a_silent_replica_is_forgotten_where_no_ready_slice_names_its_pod() -> None:
    replicas = started("a")
    replicas.ready(frozenset({"a"}), 1.0)
    assert replicas.fleet(400.0).silent == ("a",)
    replicas.ready(frozenset(), 400.0)
    assert replicas.fleet(400.0).desired == 0


def test_a_connected_replica_counts_before_its_pod_is_ready() -> None:
    replicas = started("new")
    replicas.ready(frozenset(), 1.0)
    assert list(replicas.fleet(1.0).heard) == ["new"]


def test_a_ready_pod_that_never_reports_is_awaited_for_30_seconds_and_silent_then() -> None:
    replicas = Replicas(0.0)
    replicas.ready(frozenset({"a"}), 100.0)
    replicas.ready(frozenset({"a"}), 120.0)
    assert replicas.fleet(130.0).awaited == ("a",)
    assert replicas.fleet(130.1).silent == ("a",)


def test_a_take_over_gives_everybody_30_seconds_to_come_back() -> None:
    replicas = Replicas(0.0)
    replicas.ready(frozenset({"a"}), 0.0)
    replicas.took_over(100.0)
    assert replicas.fleet(129.0) == Fleet(awaited=("a",), settled=False)
    assert replicas.fleet(131.0) == Fleet(silent=("a",), settled=True)


def test_a_new_stream_of_the_same_replica_replaces_the_old_one() -> None:
    replicas = started("a")
    assert replicas.heard(report("a", "b2"), stream=7, now=1.0).replaced == 1
    assert replicas.heard(report("a", "b2"), stream=7, now=2.0).replaced is None


def test_a_report_that_repeats_the_last_one_is_no_news() -> None:
    replicas = started("a")
    assert not replicas.heard(report("a"), stream=1, now=10.0).news
    assert replicas.heard(report("a", "b2"), stream=1, now=20.0).news


def test_the_return_of_a_silent_replica_is_news() -> None:
    assert started("a").heard(report("a"), stream=1, now=31.0).news


def test_the_end_of_a_replaced_stream_changes_nothing() -> None:
    replicas = started("a")
    replicas.ready(frozenset(), 0.0)
    replicas.heard(report("a", "b2"), stream=7, now=1.0)
    replicas.left("a", stream=1)
    assert list(replicas.fleet(2.0).heard) == ["a"]


def test_it_is_known_when_silence_will_change_something() -> None:
    replicas = started("a", at=100.0)
    assert replicas.next_change(100.0) == pytest.approx(130.0, abs=0.1)
    assert replicas.next_change(131.0) == pytest.approx(300.0, abs=0.1)
    assert replicas.next_change(401.0) is None


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(pb.Report(boot_id="b"), id="a report without a replica"),
        pytest.param(pb.Report(replica="a"), id="a report without a boot_id"),
        pytest.param(pb.Report(replica="a" * 254, boot_id="b"), id="a name that is too long for a pod"),
        pytest.param(pb.Report(replica="a\nb", boot_id="b"), id="a name with a line break"),
    ],
)
def test_this_is_no_report(message: pb.Report) -> None:
    assert isinstance(parse_report(message), str)


def test_texts_become_one_short_line() -> None:
    message = pb.Report(replica="a", boot_id="b", rejected=pb.Rejected(hash="h", reason="x\n" * 500))
    parsed = parse_report(message)
    assert isinstance(parsed, ReplicaReport)
    assert parsed.refused is not None
    assert parsed.refused.reason == "x " * 128


@given(st.binary(max_size=400))
def test_any_bytes_that_are_a_message_give_a_report_or_a_refusal(content: bytes) -> None:
    message = pb.Report()
    with contextlib.suppress(DecodeError):  # what was decoded until then is still a message
        message.ParseFromString(content)
    assert isinstance(parse_report(message), ReplicaReport | str)
