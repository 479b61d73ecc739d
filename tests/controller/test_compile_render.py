"""Snapshots for people, and verdicts as problems of files."""

import json

import pytest
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import problems_of, render_snapshot
from stepguard_policy.resources import Severity

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


def test_what_lost_and_what_is_missing_weigh_what_the_caller_says() -> None:
    """File mode only warns of them; a spec's own faults are errors, hints are warnings."""
    resources = [
        policy("a/old", policy_spec(rule("x", match("/a"), when='"X-A" in request.headers'), rule("z"))),
        policy("a/young", day=2),
        policy("a/broken", policy_spec(rule("y", match("/b//c")))),
        policy("a/alone", policy_spec(rule("w", match("/w")), issuers=["gone"])),
    ]
    result = compiled(*resources, file_mode=True)
    for losers, refs in ((Severity.WARNING, Severity.ERROR), (Severity.ERROR, Severity.WARNING)):
        found = problems_of(result, resources, losers=losers, unresolved_refs=refs)
        assert {problem.field: problem.severity for problem in found} == {
            "spec.rules[0].when": Severity.WARNING,
            "spec.rules[0].matches[0]": losers,
            "spec.rules[0].matches[0].path.value": Severity.ERROR,
            "spec.issuerRefs[0]": refs,
        }


def test_a_reference_that_refuses_a_policy_is_said_once() -> None:
    """It stands in both conditions."""
    resource = policy("a/p", policy_spec(issuers=["gone"]))
    found = problems_of(compiled(resource), [resource], losers=Severity.ERROR, unresolved_refs=Severity.WARNING)
    assert [(problem.field, problem.severity) for problem in found] == [("spec.issuerRefs[0]", Severity.ERROR)]


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
