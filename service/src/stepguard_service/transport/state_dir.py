"""The last snapshot on disk, so that a restarted container serves before it reaches an operator."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_service import limits
from stepguard_service.transport.pace import Pace

FILE_NAME: Final = "snapshot"
_MAGIC: Final = b"stepguard-snapshot-1\n"
_DIGEST_LENGTH: Final = 32
_TABLES_IN_A_PART: Final = 256


@dataclass(frozen=True, slots=True)
class Damaged:
    """The file is there and cannot be used."""

    reason: str


class StateDir:
    """One file in a folder that exists: a line that names the format, SHA-256 of the rest, a PolicySnapshot."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME

    def load(self) -> pb.PolicySnapshot | Damaged | None:
        """What was saved last; None where nothing was."""
        try:
            with self.path.open("rb") as file:
                content = file.read(len(_MAGIC) + _DIGEST_LENGTH + limits.SNAPSHOT_LENGTH + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Damaged(f"{self.path}: {(error.strerror or str(error)).lower()}")
        return _decode(content) or Damaged(f"{self.path}: not a snapshot, cut short, or changed by somebody else")

    def save(self, snapshot: pb.PolicySnapshot) -> None:
        """Replace what was saved, at once or not at all.

        Raises:
            OSError: the folder cannot be written; what was saved before is still there.
        """
        digest, temporary = sha256(), self.path.with_name(f".{FILE_NAME}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  (a descriptor, to have the mode from the start)
            file.write(_MAGIC + digest.digest())
            for part in Pace().over(_parts(snapshot)):
                digest.update(part)
                file.write(part)
            file.seek(len(_MAGIC))
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


def _parts(snapshot: pb.PolicySnapshot) -> Iterator[bytes]:
    """Messages that follow one another are one message. In one go this would hold every thread up for milliseconds."""
    rest = pb.PolicySnapshot()
    rest.CopyFrom(snapshot)
    del rest.host_tables[:]
    yield rest.SerializeToString()
    tables = iter(snapshot.host_tables)
    while some := list(islice(tables, _TABLES_IN_A_PART)):
        yield pb.PolicySnapshot(host_tables=some).SerializeToString()


def _decode(content: bytes) -> pb.PolicySnapshot | None:
    head = len(_MAGIC) + _DIGEST_LENGTH
    payload = content[head:]
    if content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : head] != sha256(payload).digest():
        return None
    if len(payload) > limits.SNAPSHOT_LENGTH:
        return None
    try:
        return pb.PolicySnapshot.FromString(payload)
    except DecodeError:
        return None
