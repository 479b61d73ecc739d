"""Bytes and hashes of what is compiled: equal content has equal bytes, whoever compiled it."""

import hashlib

from google.protobuf.message import Message
from stepguard.policy.v1 import policy_pb2 as pb

SCHEMA_VERSION = 1
"""Of what this compiler emits: a replica whose own is smaller must refuse it."""


def encode(message: Message) -> bytes:
    """Serialise deterministically."""
    return message.SerializeToString(deterministic=True)


def digest(*parts: bytes) -> str:
    """SHA-256 (hex) over parts, each with its length, so that no two lists of parts are confused."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.hexdigest()


def table_hash(table: bytes) -> str:
    """What HostTableEntry.hash holds: SHA-256 (hex) of the serialised table."""
    return hashlib.sha256(table).hexdigest()


def snapshot_hash(snapshot: pb.PolicySnapshot) -> str:
    """What PolicySnapshot.hash holds: SHA-256 (hex) over everything but `version` and `hash` themselves."""
    content = pb.PolicySnapshot()
    content.CopyFrom(snapshot)
    content.ClearField("version")
    content.ClearField("hash")
    return hashlib.sha256(encode(content)).hexdigest()
