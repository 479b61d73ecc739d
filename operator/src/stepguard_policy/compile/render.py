"""A snapshot as JSON for people: host tables decoded, documents readable, candidates by name."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from stepguard.policy.v1 import policy_pb2 as pb


def render_snapshot(snapshot: pb.PolicySnapshot) -> dict[str, Any]:
    """Everything in a snapshot, in protobuf's JSON names, each host table decoded in place of its bytes.

    Raises:
        ValueError: a host table is not one that a compiler made.
    """
    outline = pb.PolicySnapshot()
    outline.CopyFrom(snapshot)
    outline.ClearField("host_tables")
    rendered: dict[str, Any] = MessageToDict(outline)
    rendered["hostTables"] = [_entry(entry) for entry in snapshot.host_tables]
    return rendered


def _entry(entry: pb.HostTableEntry) -> dict[str, Any]:
    try:
        table = _table(pb.HostTable.FromString(entry.table))
    except (DecodeError, IndexError, ValueError) as problem:
        raise ValueError(f"the host table of {entry.pattern} cannot be read: {problem}") from problem
    return {"pattern": entry.pattern, "hash": entry.hash, "table": table}


def _table(table: pb.HostTable) -> dict[str, Any]:
    rendered: dict[str, Any] = MessageToDict(table)
    for policy, shown in zip(table.policies, rendered.get("policies", ()), strict=True):
        if policy.HasField("resource_metadata"):
            shown["resourceMetadata"]["document"] = json.loads(policy.resource_metadata.document)
    rendered["candidates"] = [_candidate(table, candidate) for candidate in table.candidates]
    return rendered


def _candidate(table: pb.HostTable, candidate: pb.Candidate) -> dict[str, Any]:
    policy = table.policies[candidate.policy]
    match: dict[str, Any] = MessageToDict(candidate)
    return match | {"policy": policy.name, "rule": policy.rules[candidate.rule].name}
