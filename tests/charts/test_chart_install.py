"""A release from its first installation to its end, with the real Helm engine on a real API server."""

import json
from base64 import b64encode

import pytest
from helm_python import HelmError

from tests.support.chart import (
    CHART,
    EXISTING,
    GRANTS,
    MODES,
    NAMESPACE,
    OF_OTHERS,
    RELEASE,
    SHARED_STORE,
    Values,
    helm,
    put,
    render,
)
from tests.support.installation import issuer, policy
from tests.support.kubernetes import ControlPlane


@pytest.fixture(scope="module", autouse=True)
def nothing_left(plane: ControlPlane) -> None:
    """The first installation finds an empty cluster, whichever module ran before."""
    with helm(plane) as config:
        config.uninstall(RELEASE, ignore_not_found=True)
    plane.kubectl("delete", "crd", "--all")
    for name in (NAMESPACE, "bank"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        plane.apply(namespace)


def deployed(plane: ControlPlane) -> tuple[int, str]:
    """Revision and state of the release."""
    with helm(plane) as config:
        status = config.status(RELEASE)
    return int(status["revision"]), str(status["status"])


def test_a_release_lives_its_whole_life_and_a_second_one_follows(plane: ControlPlane) -> None:
    """Install without values, upgrade, roll back, uninstall; CRDs and policies stay for the next one."""
    with helm(plane) as config:
        config.install(CHART, RELEASE)
        plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "stepuppolicies.stepguard.dev")
        plane.apply(issuer(), policy("payments", "pay.example.com"))
        before = plane.get("stepuppolicy", "payments")

        config.upgrade(CHART, RELEASE, {**SHARED_STORE, "hostGrants": GRANTS})
        assert plane.get("deployment", RELEASE, namespace=NAMESPACE)["spec"]["replicas"] == 3
        assert plane.get("configmap", "stepguard-operator-host-grants", namespace=NAMESPACE)["data"]

        config.rollback(RELEASE)
        assert plane.get("deployment", RELEASE, namespace=NAMESPACE)["spec"]["replicas"] == 1
        gone = plane.kubectl(
            "get", "configmap", "stepguard-operator-host-grants", "-n", NAMESPACE, "--ignore-not-found"
        )
        assert gone.stdout == ""
        assert deployed(plane) == (3, "deployed")

        config.uninstall(RELEASE)
        left = plane.kubectl("get", "all,secrets,configmaps,leases", "-n", NAMESPACE, "-l", "app.kubernetes.io/name")
        assert left.stdout == ""
        assert plane.get("stepuppolicy", "payments")["spec"] == before["spec"]

        config.install(CHART, RELEASE)
        after = plane.get("stepuppolicy", "payments")
        assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
        assert deployed(plane) == (1, "deployed")
    plane.kubectl("delete", "stepuppolicies,tokenissuers", "--all", "--all-namespaces")


def test_rendering_again_leaves_alone_what_the_operator_wrote(plane: ControlPlane) -> None:
    """Upgrade, rollback and server-side apply by a GitOps tool keep the data of Secrets."""
    put(plane)
    written = {"data": {"nonce-keys": b64encode(b"secret").decode()}}
    secret = ("secret", "stepguard-nonce-keys", "--namespace", NAMESPACE)
    plane.kubectl("patch", *secret, "--type=merge", "--field-manager=stepguard-operator", "-p", json.dumps(written))

    put(plane, {"operator": {"replicas": 3}})
    with helm(plane) as config:
        config.rollback(RELEASE)
    again = json.dumps({"apiVersion": "v1", "kind": "List", "items": [m for m in render() if m["kind"] == "Secret"]})
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "-n", NAMESPACE, "-f", "-")
    plane.kubectl(*apply, given=again)

    assert plane.get("secret", "stepguard-nonce-keys", namespace=NAMESPACE)["data"] == written["data"]


def test_a_second_release_in_the_cluster_is_refused(plane: ControlPlane) -> None:
    """Two operators would fight over the status of the same objects."""
    put(plane)
    with helm(plane) as config, pytest.raises(HelmError, match=r"invalid ownership metadata|cannot be imported"):
        config.install(CHART, "another")


def test_a_release_changes_from_one_mode_to_another_and_back(plane: ControlPlane) -> None:
    """The self-managed objects go when they are not needed any more, and come again empty."""
    for values, managed in (({}, True), (EXISTING, False), (SHARED_STORE, True)):
        put(plane, values)
        found = plane.kubectl("get", "secrets", "-n", NAMESPACE, "-o", "name").stdout
        assert ("secret/stepguard-operator-tls" in found) == managed


@pytest.mark.parametrize("values", MODES.values(), ids=MODES)
def test_every_object_is_accepted_by_the_api_server(plane: ControlPlane, values: Values) -> None:
    """Strictly validated, no field unknown. Kinds of other projects are looked at in test_chart_rendering."""
    with helm(plane) as config:
        config.uninstall(RELEASE, ignore_not_found=True)
    objects = [manifest for manifest in render(values) if manifest["kind"] not in OF_OTHERS]
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    command = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")
    answered = plane.kubectl(*command, given=given)
    assert len(answered.stdout.splitlines()) == len(objects)
    assert "warning" not in answered.stderr.lower()
