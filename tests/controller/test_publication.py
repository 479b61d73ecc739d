"""What is published, and under which version."""

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_operator.publication import publish

A, B = pb.PolicySnapshot(hash="a"), pb.PolicySnapshot(hash="b")


def test_the_first_publication_of_an_epoch_is_its_first() -> None:
    published = publish(A, 7, None)
    assert (published.epoch, published.sequence, published.hash) == (7, 1, "a")
    push = pb.Push.FromString(published.push)
    assert (push.snapshot.version.epoch, push.snapshot.version.sequence, push.snapshot.hash) == (7, 1, "a")


def test_other_content_counts_on_and_the_same_content_does_not() -> None:
    first = publish(A, 7, None)
    assert publish(A, 7, first) is first
    assert publish(B, 7, first).sequence == 2


def test_a_new_epoch_publishes_even_the_same_content() -> None:
    assert (publish(A, 8, publish(A, 7, None)).epoch, publish(A, 8, publish(A, 7, None)).sequence) == (8, 1)


def test_the_snapshot_that_was_compiled_stays_without_a_version() -> None:
    publish(A, 7, None)
    assert not A.HasField("version")


def test_who_has_it_is_told_the_version_alone() -> None:
    push = pb.Push.FromString(publish(A, 7, None).unchanged)
    assert push.WhichOneof("kind") == "unchanged"
    assert (push.unchanged.version.epoch, push.unchanged.version.sequence) == (7, 1)
