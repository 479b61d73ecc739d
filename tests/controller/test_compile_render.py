"""Snapshots for people, and verdicts as problems of files."""

import json

import pytest
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import render_snapshot

from tests.support.resources import HOST, compiled, match, policy, policy_spec, rule


def test_a_rendered_snapshot_is_json_with_its_tables_decoded() -> None:
    """Candidates name their policy and rule, and the RFC 9728 document is readable."""
    spec = policy_spec(rule("read", match("/a", "GET")), protectedResourceMetadata={"resource": f"https://{HOST}"})
    rendered = render_snapshot(compiled(policy("a/p", spec)).snapshot)
    assert json.loads(json.dumps(rendered)) == rendered
    (entry,) = rendered["hostTables"]
    assert entry["table"]["candidates"] == [
        {"pathType": "PATH_TYPE_EXACT", "path": "/a", "method": "GET", "policy": "a/p", "rule": "read"}
    ]
    assert entry["table"]["policies"][0]["resourceMetadata"]["document"]["resource"] == f"https://{HOST}"
    assert rendered["issuers"][0]["name"] == "main"


def test_an_empty_snapshot_is_rendered_too() -> None:
    """A denied host has no candidates."""
    assert render_snapshot(pb.PolicySnapshot())["hostTables"] == []
    denied = render_snapshot(compiled(policy("a/p", policy_spec(rule(when="nosuch == 1")))).snapshot)
    assert denied["hostTables"][0]["table"]["candidates"] == []


BROKEN = {
    "bytes that are no table": b"\xff\xff",
    "a candidate without its policy": pb.HostTable(candidates=[pb.Candidate(path="/")]).SerializeToString(),
    "a document that is no JSON": pb.HostTable(
        policies=[pb.Policy(resource_metadata=pb.ResourceMetadata(document=b"{"))]
    ).SerializeToString(),
}


@pytest.mark.parametrize("table", BROKEN.values(), ids=BROKEN.keys())
def test_a_table_that_no_compiler_made_is_named(table: bytes) -> None:
    """By its host."""
    snapshot = pb.PolicySnapshot(host_tables=[pb.HostTableEntry(pattern=HOST, table=table)])
    with pytest.raises(ValueError, match=f"the host table of {HOST} cannot be read"):
        render_snapshot(snapshot)
