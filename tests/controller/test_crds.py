"""The CRDs: generated from the models, and what a real API server makes of them."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from stepguard_policy.documents import parse_object
from stepguard_policy.resources import API_VERSION
from stepguard_policy.resources.crds import DEFINITIONS, main, render

from tests.support.kubernetes import ControlPlane, control_plane
from tests.support.resource_cases import GOOD, Case, accepted, bounds, changed, examples, refused

COMMITTED: Final = Path(__file__).parents[2] / "charts" / "stepguard" / "files" / "crds"
NOW: Final = "2025-01-01T00:00:00Z"


def schemas() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema below spec and status, with its path."""
    for definition in DEFINITIONS:
        whole = definition.to_object()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in ("spec", "status"):
            yield from below(f"{definition.kind}.{part}", whole["properties"][part])


def below(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from below(f"{path}.{name}", inner)
    if "items" in schema:
        yield from below(f"{path}[]", schema["items"])


def test_the_committed_crds_are_what_the_models_say(tmp_path: Path) -> None:
    """Otherwise: make crds."""
    main([str(tmp_path)])
    generated = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert generated == {file.name: file.read_text(encoding="utf-8") for file in COMMITTED.glob("*.yaml")}


def test_no_two_runs_differ() -> None:
    assert [render(definition.to_object()) for definition in DEFINITIONS] == [
        render(definition.to_object()) for definition in DEFINITIONS
    ]


def test_every_text_and_list_is_bounded() -> None:
    open_ended = [
        path
        for path, schema in schemas()
        if (schema["type"] == "string" and not {"maxLength", "enum"} & set(schema))
        or (schema["type"] == "array" and not {"maxItems", "x-kubernetes-list-type"} <= set(schema))
        or (schema["type"] == "integer" and not {"minimum"} <= set(schema))
    ]
    assert open_ended == []


def test_every_field_has_a_description() -> None:
    assert [path for path, schema in schemas() if not path.endswith("[]") and not schema.get("description")] == []


def test_no_word_of_an_enum_is_a_boolean_to_yaml() -> None:
    words = [word for path, schema in schemas() if ".status" not in path for word in schema.get("enum", ())]
    assert [word for word in words if yaml.safe_load(word) != word] == []


def test_every_rule_in_cel_has_a_case() -> None:
    messages = {rule["message"] for _, schema in schemas() for rule in schema.get("x-kubernetes-validations", ())}
    said = [case.says for case in refused() if case.says]
    without = {message for message in messages if not any(words in message for words in said)}
    assert without == {"issuer is immutable"}, "test_the_issuer_of_a_token_issuer_never_changes is its case"


# --- on a real API server ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        running.apply_crds(COMMITTED)
        yield running


def object_of(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


class Answers:
    """What kubectl said about many objects that were applied in one go, by the name of the object."""

    def __init__(self, plane: ControlPlane, cases: tuple[Case, ...]) -> None:
        self.names = {case.name: f"case-{number}" for number, case in enumerate(cases)}
        objects = [object_of(case.kind, self.names[case.name], case.spec) for case in cases]
        given = "\n---\n".join(json.dumps(value) for value in objects)
        result = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=given, check=False)
        self.taken = set(re.findall(r"/(case-\d+) created \(server dry run\)", result.stdout))
        pieces = re.split(
            r'(?m)^(?:The \S+ "(case-\d+)" is invalid: |Error from server .*?"(case-\d+)")', result.stderr
        )
        self.refusals = {pieces[at] or pieces[at + 1]: pieces[at + 2] for at in range(1, len(pieces), 3)}
        self.rest = pieces[0]

    def __call__(self, case: Case) -> str:
        """The refusal; empty where the object was taken."""
        name = self.names[case.name]
        assert (name in self.taken) != (name in self.refusals), f"{case.name}: {self.rest}"
        return self.refusals.get(name, "")


@pytest.fixture(scope="module")
def answers(plane: ControlPlane) -> Answers:
    return Answers(plane, (*accepted(), *refused(), *bounds()))


@pytest.mark.parametrize("case", accepted(), ids=lambda case: case.name)
def test_the_api_server_takes_a_good_spec(answers: Answers, case: Case) -> None:
    assert answers(case) == ""


@pytest.mark.parametrize("case", refused(), ids=lambda case: case.name)
def test_the_api_server_refuses_nonsense_with_its_field_and_a_sentence(answers: Answers, case: Case) -> None:
    said = answers(case)
    lines = [line for line in said.splitlines() if f"spec.{case.where}" in line]
    assert any(case.says in line for line in lines), said
    assert "no such overload" not in said
    assert "evaluation error" not in said


@pytest.mark.parametrize("case", list(bounds()), ids=lambda case: case.name)
def test_the_api_server_keeps_each_bound(answers: Answers, case: Case) -> None:
    assert f"spec.{case.where}" in answers(case)


def test_the_examples_of_the_documentation_are_taken(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "bank")
    for example in map(yaml.safe_load, examples()):
        plane.apply({**example, "metadata": {**example["metadata"], "name": "example"}, "status": None})


def test_an_unknown_field_is_refused_under_strict_validation(plane: ControlPlane) -> None:
    policy = object_of("StepUpPolicy", "typo", changed(GOOD["StepUpPolicy"], {"isuerRefs": []}))
    result = plane.apply(policy, check=False)
    assert result.returncode == 1
    assert 'unknown field "isuerRefs"' in result.stderr or 'unknown field "spec.isuerRefs"' in result.stderr


def test_a_private_key_has_no_place_in_an_issuer(plane: ControlPlane) -> None:
    key = {"kty": "OKP", "crv": "Ed25519", "x": "AQAB", "d": "AQAB"}
    result = plane.apply(
        object_of("TokenIssuer", "leak", changed(GOOD["TokenIssuer"], {"jwks.keys": [key]})), check=False
    )
    assert result.returncode == 1
    assert "unknown field" in result.stderr


@pytest.mark.parametrize("kind", GOOD)
def test_the_api_server_fills_in_the_defaults_of_the_models(plane: ControlPlane, kind: str) -> None:
    given = object_of(kind, "defaults", GOOD[kind])
    plane.apply(given)
    resource = parse_object(given)
    assert not isinstance(resource, tuple)
    assert resource.spec is not None
    assert plane.get(kind, "defaults")["spec"] == resource.spec.to_object()


def test_the_issuer_of_a_token_issuer_never_changes(plane: ControlPlane) -> None:
    plane.apply(object_of("TokenIssuer", "fixed", GOOD["TokenIssuer"]))
    other = changed(GOOD["TokenIssuer"], {"issuer": "https://other.example"})
    result = plane.apply(object_of("TokenIssuer", "fixed", other), check=False)
    assert "spec.issuer: Invalid value" in result.stderr
    assert "issuer is immutable" in result.stderr


def test_two_teams_share_a_policy_rule_by_rule(plane: ControlPlane) -> None:
    """`rules` is a map by name to server-side apply."""
    for team, name in (("one", "a"), ("two", "b")):
        spec = changed(GOOD["StepUpPolicy"], {"rules[0].name": name, "rules[0].matches[0].path.value": f"/{name}"})
        plane.kubectl(
            *("apply", "--server-side", "--force-conflicts", f"--field-manager={team}", "-f", "-"),
            given=json.dumps(object_of("StepUpPolicy", "shared", spec)),
        )
    assert [rule["name"] for rule in plane.get("sup", "shared")["spec"]["rules"]] == ["a", "b"]


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "said so",
        "lastTransitionTime": NOW,
        "observedGeneration": 1,
    }


STATUS: Final = {
    "observedGeneration": 1,
    "conditions": [
        condition("Accepted", "True", "Accepted"),
        condition("Programmed", "False", "Pending"),
        condition("Ready", "False", "Pending"),
    ],
    "replicas": {"desired": 3, "programmed": 2, "summary": "2/3"},
    "rules": 1,
    "accepted": {"generation": 1, "spec": {"hosts": ["a.example"], "fieldOfTomorrow": {"a": 1}}},
}


def test_status_is_written_apart_from_spec_and_shown_in_columns(plane: ControlPlane) -> None:
    plane.apply(
        object_of("StepUpPolicy", "shown", changed(GOOD["StepUpPolicy"], {"hosts": ["a.example", "b.example"]}))
    )
    plane.kubectl("patch", "sup", "shown", "--subresource=status", "--type=merge", "-p", json.dumps({"status": STATUS}))
    policy = plane.get("sup", "shown")
    assert policy["status"] == STATUS
    assert policy["metadata"]["generation"] == 1
    header, row = plane.kubectl("get", "sup", "shown", "-o", "wide").stdout.splitlines()
    assert header.split() == ["NAME", "MODE", "HOSTS", "ACCEPTED", "PROGRAMMED", "REPLICAS", "RULES", "AGE", "REASON"]
    assert row.split()[:7] == ["shown", "Enforce", '["a.example","b.example"]', "True", "False", "2/3", "1"]
    assert row.split()[-1] == "Pending"


def test_a_status_that_is_none_of_ours_is_refused(plane: ControlPlane) -> None:
    plane.apply(object_of("StepUpPolicy", "wrong", GOOD["StepUpPolicy"]))
    wrong = json.dumps({"status": {"conditions": [condition("Ready", "Maybe", "Because")]}})
    result = plane.kubectl("patch", "sup", "wrong", "--subresource=status", "--type=merge", "-p", wrong, check=False)
    assert 'Unsupported value: "Maybe"' in result.stderr


def test_kubectl_waits_for_ready(plane: ControlPlane) -> None:
    plane.apply(object_of("TokenIssuer", "ready", GOOD["TokenIssuer"]))
    status = {"conditions": [condition("Ready", "True", "Ready")], "keys": 2, "lastFetchTime": NOW}
    plane.kubectl("patch", "ti", "ready", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    plane.kubectl("wait", "--for=condition=Ready", "--timeout=10s", "tokenissuer/ready")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("stepuppolicies.spec.dpop.proofMaxAge", "5s to 300s. Default 60s."),
        ("stepuppolicies.spec.rules.require.maxAge", "RFC 9470"),
        ("sup.spec.rules.when", "CEL"),
        ("ti.spec.issuer", "RFC 8414"),
        ("ti.spec.introspection.cacheTTL", "never beyond the token's exp"),
        ("sup.status.accepted", "serves while a newer one is not"),
    ],
)
def test_kubectl_explains_a_field(plane: ControlPlane, field: str, words: str) -> None:
    assert words in " ".join(plane.kubectl("explain", field).stdout.split())


def test_both_kinds_are_in_one_category(plane: ControlPlane) -> None:
    listed = plane.kubectl("get", "stepguard", "--all-namespaces", "-o", "name").stdout
    assert "stepuppolicy.stepguard.dev/defaults" in listed
    assert "tokenissuer.stepguard.dev/defaults" in listed
