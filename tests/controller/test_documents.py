"""Policies in files: strict, every problem with its line, all at once, and never an exception."""

import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from stepguard_policy.documents import FILE_LENGTH, Loaded, Problem, Severity, load_paths, parse_documents, parse_object
from stepguard_policy.resources import API_VERSION, IssuerResource, PolicyResource
from stepguard_policy.yaml_reader import read_yaml

from tests.support.resource_cases import DATA, GOOD, examples

POLICY = """\
apiVersion: stepguard.dev/v1alpha1
kind: StepUpPolicy
metadata: {name: payments}
spec:
  hosts: [api.example.com]
  issuerRefs: [{name: main}]
  rules:
  - name: all
    matches: [{path: {type: PathPrefix, value: /}}]
"""

ISSUER = """\
apiVersion: stepguard.dev/v1alpha1
kind: TokenIssuer
metadata: {name: main}
spec: {issuer: https://as.example, audiences: [https://api.example.com]}
"""


def said(text: str | bytes) -> list[str]:
    """Every problem of a file, as people see it."""
    return [
        str(problem)
        for problem in parse_documents("f.yaml", text if isinstance(text, bytes) else text.encode()).problems
    ]


def test_documents_of_one_file_are_read_in_order() -> None:
    loaded = parse_documents("f.yaml", f"# first\n---\n{POLICY}---\n---\n{ISSUER}".encode())
    assert loaded.problems == ()
    assert [(type(found), found.name, found.position) for found in loaded.resources] == [
        (PolicyResource, "payments", ("f.yaml", 0)),
        (IssuerResource, "main", ("f.yaml", 1)),
    ]


def test_a_policy_belongs_to_the_default_namespace_and_an_issuer_to_none() -> None:
    loaded = parse_documents("f.yaml", f"{POLICY}---\n{ISSUER}".encode())
    assert [found.namespace for found in loaded.resources] == ["default", ""]


def test_what_kubectl_get_writes_is_read_and_only_its_creation_counts() -> None:
    exported = {
        "apiVersion": API_VERSION,
        "kind": "StepUpPolicy",
        "metadata": {
            "name": "payments",
            "namespace": "bank",
            "creationTimestamp": "2025-01-31T10:00:00Z",
            "generation": 7,
            "uid": "3f1c",
            "resourceVersion": "12",
            "labels": {"a": "b"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [
                {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:rules": {'k:{"name":"all"}': {".": {}}}}}}
            ],
        },
        "spec": GOOD["StepUpPolicy"],
        "status": {"accepted": {"generation": 6, "spec": GOOD["StepUpPolicy"]}},
    }
    (found,) = parse_documents("f.yaml", yaml.safe_dump(exported).encode()).resources
    assert (found.namespace, found.created, found.generation, found.uid, found.accepted) == (
        "bank",
        1738317600.0,
        0,
        "",
        None,
    )


@pytest.mark.parametrize("kind", ["List", "StepUpPolicyList"])
def test_a_list_of_objects_is_read_item_by_item(kind: str) -> None:
    version = "v1" if kind == "List" else API_VERSION
    item = POLICY.replace("\n", "\n  ").rstrip()
    other = item.replace("payments", "other").replace("[api.", "[x:")
    text = f"apiVersion: {version}\nkind: {kind}\nitems:\n- {item}\n- {other}\n"
    loaded = parse_documents("f.yaml", text.encode())
    assert [found.name for found in loaded.resources] == ["payments", "other"]
    assert [(problem.line, problem.field) for problem in loaded.problems] == [(17, "spec.hosts[0]")]


def test_the_examples_of_the_documentation_are_good() -> None:
    loaded = [parse_documents("resources.md", example.encode()) for example in examples()]
    assert [(found.problems, len(found.resources)) for found in loaded] == [((), 1), ((), 1)]


def test_a_resource_knows_the_line_of_each_field() -> None:
    (found,) = parse_documents("f.yaml", f"\n{POLICY}".encode()).resources
    assert found.source is not None
    assert found.source.line_of("spec.rules[0].matches[0].path") == 10
    assert found.source.line_of("spec.rules[0].when") == 9, "a field that is not there is where its parent is"
    assert found.source.line_of("spec.dpop.nonce") == 5
    assert found.source.line_of("nothing") == 2


def broken_documents() -> dict[str, tuple[str, list[str]]]:
    """Case → its text, and how each of its problems begins."""
    entries = yaml.safe_load((DATA / "broken_documents.yaml").read_text(encoding="utf-8"))
    return {entry["case"]: (entry["text"], entry["says"]) for entry in entries}


CASES: Final[dict[str, tuple[str | bytes, list[str]]]] = {
    **broken_documents(),
    "bytes that are not UTF-8": (b"a: b\nc: \xff\n", ["2: is not UTF-8 text"]),
    "a control character": (b"a: b\nc: \x07\n", ["2: is not YAML: "]),
    "nesting that the parser of YAML refuses": ("[" * 1_000_000, ["1: is "]),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_a_problem_is_told_with_file_line_and_field(text: str | bytes, expected: list[str]) -> None:
    found = said(text)
    assert len(found) == len(expected), found
    assert all(line.startswith(f"f.yaml:{start}") for line, start in zip(found, expected, strict=True)), found


HOST = 'must be a host name, an IPv4 address, an [IPv6] address, "*.suffix" or "*", without scheme, port and path'


def test_all_problems_of_all_documents_come_at_once() -> None:
    broken = POLICY.replace("api.", "x:").replace("all", "ALL").replace("PathPrefix", "Prefix")
    assert said(f"{broken}---\nkind: Pod\n---\n{broken.replace('metadata', 'meta')}") == [
        f"f.yaml:5: spec.hosts[0]: {HOST}",
        "f.yaml:8: spec.rules[0].name: must be lower-case letters, digits and dashes (RFC 1123 label)",
        "f.yaml:9: spec.rules[0].matches[0].path.type: must be Exact, PathPrefix or Template",
        "f.yaml:11: kind: 'Pod' is none of ours: expected StepUpPolicy or TokenIssuer",
        "f.yaml:13: metadata: is required: a map with name",
    ]


def test_a_document_with_an_invalid_spec_is_still_known_by_name() -> None:
    (found,) = parse_documents("f.yaml", ISSUER.replace("https://as", "http://as").encode()).resources
    assert (found.name, found.spec) == ("main", None)
    assert [problem.field for problem in found.spec_problems] == ["spec.issuer"]


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "~",
        "''",
        "",
        "true",
        "1",
        "-1",
        "0",
        "1.5",
        "10.0.0.1",
        "1.2.3",
        "yes please",
        "'on'",
        '"012"',
        "|\n  a",
    ],
)
def test_a_value_on_which_all_readers_agree_is_taken(value: str) -> None:
    text = f"v: {value}\n"
    documents, problems = read_yaml("f.yaml", text.encode())
    assert problems == ()
    assert [document.value for document in documents] == [yaml.safe_load(text)]


def test_a_key_that_kubectl_reads_as_a_boolean_is_a_warning() -> None:
    key = "{kty: EC, crv: P-256, x: AQAB, y: AQAB}"
    (problem,) = parse_documents(
        "f.yaml", ISSUER.replace("spec: {", f"spec: {{jwks: {{keys: [{key}]}}, ").encode()
    ).problems
    assert problem.severity is Severity.WARNING
    assert str(problem) == 'f.yaml:4: spec.jwks.keys[0].y: kubectl reads y as a boolean: write "y"'


# --- folders ----------------------------------------------------------------------------------------------------------


def load(*paths: Path) -> Loaded:
    return load_paths(paths)


def test_a_folder_is_read_by_the_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(POLICY)
    (tmp_path / "a.yaml").write_text(ISSUER)
    (tmp_path / "README.md").write_text("not YAML: [")
    loaded = load(tmp_path)
    assert loaded.problems == ()
    assert [found.position for found in loaded.resources] == [
        (str(tmp_path / "a.yaml"), 0),
        (str(tmp_path / "b.yaml"), 0),
    ]


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    version = tmp_path / "..2025_01_31_10_00_00.1"
    version.mkdir()
    (version / "a.yaml").write_text(POLICY)
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "a.yaml").symlink_to(Path("..data") / "a.yaml")
    loaded = load(tmp_path)
    assert loaded.problems == ()
    assert [found.name for found in loaded.resources] == ["payments"]


def test_files_and_folders_may_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.yaml").write_text(POLICY)
    (tmp_path / "issuer.yml").write_text(ISSUER)
    loaded = load(tmp_path / "folder", tmp_path / "issuer.yml")
    assert [found.name for found in loaded.resources] == ["payments", "main"]


def test_one_object_in_two_files_is_a_problem_that_names_both(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY)
    (tmp_path / "b.yaml").write_text(f"# again\n{POLICY}")
    (problem,) = load(tmp_path).problems
    assert str(problem) == (
        f"{tmp_path}/b.yaml:4: metadata.name: StepUpPolicy default/payments was already given in {tmp_path}/a.yaml:3"
    )


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    assert [str(problem) for problem in load(tmp_path / "nowhere").problems] == [f"{tmp_path}/nowhere: does not exist"]


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    assert [str(problem) for problem in load(tmp_path).problems] == [f"{tmp_path}: has no file named *.yaml"]


def test_a_file_with_another_ending_is_not_read_silently(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY)
    (tmp_path / "b.yml").write_text(ISSUER)
    (problem,) = load(tmp_path).problems
    assert (problem.severity, problem.message) == (Severity.WARNING, "is not read: only files named *.yaml are")


def test_a_file_without_documents_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# later\n---\n")
    loaded = load(tmp_path)
    assert [problem.message for problem in loaded.problems] == ["has no documents"]
    assert loaded.errors == ()


def test_a_huge_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"#" * (FILE_LENGTH + 1))
    assert [problem.message for problem in load(tmp_path).problems] == [f"is longer than {FILE_LENGTH} bytes"]


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom file permissions bind: root reads everything")
def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY)
    (tmp_path / "a.yaml").chmod(0)
    assert [problem.message for problem in load(tmp_path).problems] == ["cannot be read: Permission denied"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link", "link to itself"])
def test_what_is_no_file_is_a_problem(tmp_path: Path, kind: str) -> None:
    """A pipe would wait for ever."""
    entry = tmp_path / "a.yaml"
    match kind:
        case "folder":
            entry.mkdir()
        case "pipe":
            os.mkfifo(entry)
        case "dangling link":
            entry.symlink_to("nowhere")
        case _:
            entry.symlink_to(entry.name)
    (problem,) = load(tmp_path).problems
    assert (problem.file, problem.severity) == (str(entry), Severity.ERROR)


# --- objects of the Kubernetes API ------------------------------------------------------------------------------------


def from_api(**changes: object) -> dict[str, Any]:
    metadata = {
        "name": "payments",
        "namespace": "bank",
        "generation": 3,
        "uid": "u1",
        "creationTimestamp": "2025-01-31T10:00:00Z",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "StepUpPolicy",
        "metadata": metadata,
        "spec": GOOD["StepUpPolicy"],
        **changes,
    }


def resource(value: dict[str, Any]) -> PolicyResource:
    found = parse_object(value)
    assert isinstance(found, PolicyResource), found
    return found


def test_an_object_of_the_api_has_its_generation_and_its_last_accepted_spec() -> None:
    found = resource(from_api(status={"accepted": {"generation": 2, "spec": GOOD["StepUpPolicy"]}, "rules": 1}))
    assert (found.namespace, found.generation, found.uid, found.created) == ("bank", 3, "u1", 1738317600.0)
    assert found.accepted is not None
    assert (found.accepted.generation, found.accepted.spec) == (2, found.spec)


def test_an_object_with_an_invalid_spec_keeps_its_last_accepted_one() -> None:
    found = resource(
        from_api(spec={"fieldOfTomorrow": 1}, status={"accepted": {"generation": 2, "spec": GOOD["StepUpPolicy"]}})
    )
    assert found.spec is None
    assert {problem.field for problem in found.spec_problems} >= {"spec.fieldOfTomorrow", "spec.hosts"}
    assert found.accepted is not None


@pytest.mark.parametrize(
    "status",
    [
        None,
        [],
        {"accepted": None},
        {"accepted": {"generation": 1}},
        {"accepted": {"generation": 1, "spec": {"hosts": []}}},
    ],
)
def test_an_accepted_spec_that_is_not_valid_counts_as_none(status: object) -> None:
    assert resource(from_api(status=status)).accepted is None


def test_an_object_of_another_kind_is_only_problems() -> None:
    found = parse_object({"apiVersion": "v1", "kind": "Pod"})
    assert isinstance(found, tuple)
    assert [problem.field for problem in found] == ["kind"]


# --- fuzz -------------------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.sampled_from(f"{POLICY}---\n{ISSUER}- a\n  \n? b\n&a x\n*a\n\t\n{{\n]".splitlines()), max_size=15
).map("\n".join)
TEXTS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    LINES.map(str.encode),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    [*GOOD["StepUpPolicy"], *GOOD["TokenIssuer"], "dpop", "origin", "jwks", "defaults", "cors", "upstream"]
)


@settings(deadline=None)
@given(TEXTS)
def test_any_bytes_give_resources_or_problems(data: bytes) -> None:
    loaded = parse_documents("f.yaml", data)
    assert all(isinstance(problem, Problem) and "\n" not in str(problem) for problem in loaded.problems)
    assert all(found.spec is not None or found.spec_problems for found in loaded.resources)
    assert loaded.resources or loaded.problems


@settings(deadline=None)
@given(
    kind=st.sampled_from(["StepUpPolicy", "TokenIssuer"]),
    spec=st.dictionaries(FIELDS, JSON),
    status=JSON,
    metadata=JSON,
)
def test_any_object_gives_a_resource_or_problems(
    kind: str, spec: dict[str, Any], status: object, metadata: object
) -> None:
    value = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": {**GOOD[kind], **spec},
        "status": status,
    }
    assert not isinstance(parse_object(value), tuple)
    assert parse_object({**value, "metadata": metadata})
    assert parse_object({**value, "spec": status})
