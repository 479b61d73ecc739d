"""`--self-managed`: certificate, CA and nonce keys in the operator's own namespace, made with rights on three names."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepguard_operator.certificates import dns_names, parse_bundle
from stepguard_policy.nonce_keys import key_id, parse_nonce_keys

from tests.support.installation import NAMESPACE, RBAC, Installation, Program, issuer, policy
from tests.support.processes import wait_until
from tests.support.scripted_replica import ScriptedReplica

SERVER_NAME = "stepguard-operator.stepguard-system.svc"
OBJECTS = ("secret/stepguard-operator-tls", "secret/stepguard-nonce-keys", "configmap/stepguard-operator-ca")
READY = {"Programmed": "True Programmed", "Ready": "True Ready"}


@pytest.fixture
def empty(system: Installation) -> Iterator[Installation]:
    """The three objects as a chart renders them: without data."""
    yield system
    system.plane.kubectl("delete", *OBJECTS, "--namespace", NAMESPACE, "--ignore-not-found")
    system.plane.kubectl("apply", "-f", RBAC)


def data(system: Installation, kind: str, name: str) -> dict[str, str]:
    """Decoded data of a Secret or ConfigMap."""
    found = system.plane.get(kind, name, namespace=NAMESPACE).get("data", {})
    return {key: b64decode(value).decode() if kind == "secret" else value for key, value in found.items()}


def authority(system: Installation) -> Path:
    """A file with what services are told to trust."""
    wait_until(lambda: data(system, "configmap", "stepguard-operator-ca"), "the CA is published")
    path = system.directory / "published-ca.crt"
    path.write_text(data(system, "configmap", "stepguard-operator-ca")["ca.crt"])
    return path


def replica_of(system: Installation, operator: Program, name: str) -> ScriptedReplica:
    """A replica that trusts the published CA."""
    token = system.token_file("stepguard")
    return ScriptedReplica(name, operator.port, ca=authority(system), server_name=SERVER_NAME, token_file=token)


def test_replicas_that_trust_the_published_ca_are_served(empty: Installation) -> None:
    empty.plane.apply(issuer(), policy("payments", "pay.example.com"))
    operator = empty.operator("--self-managed", tls=False)
    replica = replica_of(empty, operator, "pod-1")
    try:
        empty.wait_for("payments", **READY)
    finally:
        replica.stop()
    secret = data(empty, "secret", "stepguard-operator-tls")
    assert SERVER_NAME in dns_names(parse_bundle(secret["tls.crt"].encode())[0])
    assert "PRIVATE KEY" not in json.dumps(data(empty, "configmap", "stepguard-operator-ca"))


def test_a_standby_shows_the_same_certificate_and_a_restart_keeps_it(empty: Installation) -> None:
    first = empty.operator("--self-managed", tls=False)
    shown = data(empty, "secret", "stepguard-operator-tls")
    second = empty.operator("--self-managed", tls=False)
    first.stop()
    wait_until(lambda: second.metric("stepguard_operator_active") == 1, "the second is active")
    replica = replica_of(empty, second, "pod-1")
    try:
        wait_until(lambda: replica.applied, "the second serves")
    finally:
        replica.stop()
    assert data(empty, "secret", "stepguard-operator-tls") == shown


def test_rendering_the_chart_again_takes_nothing_away(empty: Installation) -> None:
    empty.operator("--self-managed", tls=False)
    wait_until(lambda: data(empty, "secret", "stepguard-nonce-keys"), "the nonce keys are there")
    before = [data(empty, *name.split("/")) for name in OBJECTS]
    empty.plane.kubectl("apply", "-f", RBAC)
    assert [data(empty, *name.split("/")) for name in OBJECTS] == before


def test_the_nonce_keys_are_a_file_that_the_service_takes_and_reports_by_its_ids(empty: Installation) -> None:
    empty.plane.apply(issuer(), policy("payments", "pay.example.com", dpop={"nonce": "Required"}))
    operator = empty.operator("--self-managed", tls=False)
    wait_until(lambda: data(empty, "secret", "stepguard-nonce-keys"), "the nonce keys are there")
    file = empty.directory / "nonce-keys"
    file.write_text(data(empty, "secret", "stepguard-nonce-keys")["nonce-keys"])
    keys = parse_nonce_keys(file.read_text())
    assert isinstance(keys, tuple)
    flags = ("--nonce-keys", str(file))
    empty.replica("pod-1", operator, flags=flags, ca=authority(empty), server_name=SERVER_NAME)
    empty.wait_for("payments", **READY)
    assert len(key_id(keys[0])) == 16


def test_objects_that_are_missing_are_complained_about_and_made_where_that_is_allowed(empty: Installation) -> None:
    empty.plane.kubectl("delete", *OBJECTS, "--namespace", NAMESPACE)
    operator = empty.operator("--self-managed", tls=False, wait=False)
    wait_until(lambda: "cannot create resource" in operator.process.stderr, "the complaint")
    assert operator.get("/readyz")[0] == 503
    rules = [{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["create"]}]
    metadata = {"name": "stepguard-operator-create", "namespace": NAMESPACE}
    empty.plane.apply(
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": "stepguard-operator", "namespace": NAMESPACE}],
        },
    )
    try:
        wait_until(operator.ready, "it is ready", timeout=40)
    finally:
        empty.plane.kubectl("delete", "role,rolebinding", metadata["name"], "--namespace", NAMESPACE)


NOT_ALLOWED = [
    ("get", "secret/another"),
    ("list", "secrets"),
    ("create", "secrets"),
    ("delete", "secret/stepguard-nonce-keys"),
    ("update", "stepuppolicies"),
    ("patch", "stepuppolicies"),
    ("delete", "stepuppolicies"),
    ("get", "configmap/another"),
    ("create", "pods"),
]


@pytest.mark.parametrize(("verb", "resource"), NOT_ALLOWED)
def test_the_operators_account_cannot(system: Installation, verb: str, resource: str) -> None:
    account = f"system:serviceaccount:{NAMESPACE}:stepguard-operator"
    question = ("auth", "can-i", verb, resource, "--namespace", NAMESPACE, "--as", account)
    assert system.plane.kubectl(*question, check=False).stdout.strip() == "no"
