"""What is published: one snapshot at a time, under a version that only grows."""

from dataclasses import dataclass

from stepguard.policy.v1 import policy_pb2 as pb


@dataclass(frozen=True, slots=True)
class Publication:
    """A snapshot with its version, encoded once for everybody who gets it."""

    epoch: int
    sequence: int
    hash: str
    push: bytes

    @property
    def unchanged(self) -> bytes:
        """The message for a replica that has this content already."""
        version = pb.Version(epoch=self.epoch, sequence=self.sequence)
        return pb.Push(unchanged=pb.Unchanged(version=version)).SerializeToString()


def publish(snapshot: pb.PolicySnapshot, epoch: int, before: Publication | None) -> Publication:
    """The next publication of the leader of this epoch; the one before where nothing is different."""
    if before is not None and (before.epoch, before.hash) == (epoch, snapshot.hash):
        return before
    sequence = before.sequence + 1 if before is not None and before.epoch == epoch else 1
    versioned = pb.PolicySnapshot()
    versioned.CopyFrom(snapshot)
    versioned.version.epoch, versioned.version.sequence = epoch, sequence
    return Publication(epoch, sequence, snapshot.hash, pb.Push(snapshot=versioned).SerializeToString())
