"""What the chart renders, through the real Helm engine."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import helm_python
import pytest
import yaml

from tests.support.chart import (
    CHART,
    EVERYTHING,
    EXISTING,
    GRANTS,
    MODES,
    NAMESPACE,
    OF_OTHERS,
    Manifest,
    Values,
    of_kind,
    render,
)


def test_helm_lint_finds_nothing_but_the_missing_icon() -> None:
    """`helm lint` is what chart repositories run."""
    found = helm_python.lint(CHART)
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


REFUSED: dict[str, tuple[Values, str]] = {
    "several replicas with a store in memory": ({"service": {"replicas": 2}}, "service.replay.url"),
    "autoscaling with a store in memory": ({"autoscaling": {"enabled": True}}, "shared replay store"),
    "aggregation to edit without host grants": ({"rbac": {"aggregateToEdit": True}}, "needs hostGrants"),
    "cert-manager without an issuer": ({"tls": {"mode": "CertManager"}}, "tls.issuerRef.name"),
    "existing TLS without a Secret": ({"tls": {"mode": "Existing"}}, "tls.secretName"),
    "a value that does not exist": ({"serivce": {}}, "additional properties 'serivce'"),
    "a nested value that does not exist": ({"service": {"replay": {"uri": "x"}}}, "additional properties 'uri'"),
    "a TLS mode that does not exist": ({"tls": {"mode": "Off"}}, "/tls/mode"),
    "a grant without namespaces": ({"hostGrants": [{"hosts": ["a.example"]}]}, "namespaces"),
    "a digest that is none": ({"service": {"image": {"digest": "latest"}}}, "/service/image/digest"),
}


@pytest.mark.parametrize(("values", "said"), REFUSED.values(), ids=REFUSED)
def test_it_refuses(values: Values, said: str) -> None:
    """What cannot work is refused when it is rendered, naming the value to change."""
    with pytest.raises(helm_python.HelmError, match=said):
        render(values)


def test_every_value_has_a_place_in_the_schema_and_every_place_a_default() -> None:
    """values.yaml and values.schema.json name the same members; `global` is Helm's own."""

    def of_schema(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}{name}"
            yield from of_schema(inner, f"{path}{name}.")

    def of_values(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
        for name, inner in values.items():
            yield f"{path}{name}"
            if isinstance(inner, dict) and not name.endswith(("resources", "labels")):
                yield from of_values(inner, f"{path}{name}.")

    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(of_values(values)) == set(of_schema(schema)) - {"global"}


@pytest.mark.parametrize("values", MODES.values(), ids=MODES)
def test_every_pod_is_hardened(values: Values) -> None:
    """Not root, nothing writable but mounts, no capabilities, seccomp, bounded memory, probes."""
    for deployment in of_kind(render(values), "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_only_the_operator_gets_a_token_for_the_api_server() -> None:
    """The service knows nothing of Kubernetes: its token is for the operator alone."""
    mounts = {
        m["metadata"]["name"]: m["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for m in of_kind(render(), "Deployment")
    }
    assert mounts == {"stepguard": False, "stepguard-operator": True}


def test_people_cannot_write_status() -> None:
    """Status is the operator's word: neither role for people has it."""
    for role in ("stepguard-policy-editor", "stepguard-policy-viewer"):
        (found,) = of_kind(render(), "ClusterRole", role)
        assert [r for rule in found["rules"] for r in rule["resources"] if "/" in r] == []


def test_nobody_may_write_policies_unless_somebody_says_so() -> None:
    """No aggregation label by default; with grants and the switch, into edit."""
    (closed,) = of_kind(render(), "ClusterRole", "stepguard-policy-editor")
    (opened,) = of_kind(
        render({"rbac": {"aggregateToEdit": True}, "hostGrants": GRANTS}), "ClusterRole", "stepguard-policy-editor"
    )
    label = "rbac.authorization.k8s.io/aggregate-to-edit"
    assert label not in closed["metadata"]["labels"]
    assert opened["metadata"]["labels"][label] == "true"


def test_the_operator_may_touch_only_the_secrets_it_manages() -> None:
    """By name, and neither listed nor created nor deleted. None at all outside SelfManaged."""
    managed = [rule for role in of_kind(render(), "Role") for rule in role["rules"] if "secrets" in rule["resources"]]
    assert [rule["verbs"] for rule in managed] == [["get", "update"]]
    assert [rule["resourceNames"] for rule in managed] == [["stepguard-operator-tls", "stepguard-nonce-keys"]]
    existing = render(EXISTING)
    assert [m for m in of_kind(existing, "Role") for rule in m["rules"] if "secrets" in rule["resources"]] == []


def test_one_namespace_shrinks_the_rights() -> None:
    """With operator.namespace policies are read there and nowhere else."""
    (role,) = of_kind(render({"operator": {"namespace": "bank"}}), "ClusterRole", "stepguard-operator")
    assert "stepuppolicies" not in [r for rule in role["rules"] for r in rule["resources"]]


def test_services_have_the_names_and_ports_that_envoys_are_told() -> None:
    """A ClusterIP Service with a port named grpc for meshes, headless ones for plain Envoy and for the replicas."""
    services = {
        m["metadata"]["name"]: (m["spec"].get("clusterIP"), {p["name"]: p["port"] for p in m["spec"]["ports"]})
        for m in of_kind(render(), "Service")
    }
    assert services == {
        "stepguard": (None, {"grpc": 9191}),
        "stepguard-headless": ("None", {"grpc": 9191, "admin": 9192}),
        "stepguard-operator": ("None", {"policy": 9193, "admin": 9194}),
    }


def test_crds_can_be_left_out_and_stay_on_uninstall() -> None:
    """`crds.install` and the keep annotation: uninstalling must not delete everybody's policies."""
    crds = of_kind(render(), "CustomResourceDefinition")
    assert {crd["metadata"]["annotations"]["helm.sh/resource-policy"] for crd in crds} == {"keep"}
    assert len(crds) == 2
    assert of_kind(render({"crds": {"install": False}}), "CustomResourceDefinition") == []


def test_tags_and_digests_name_images() -> None:
    """A digest wins over a tag; without either the chart's own version is the tag."""
    digest = "sha256:" + "a" * 64
    manifests = render({"service": {"image": {"tag": "1.2.3"}}, "operator": {"image": {"digest": digest}}})
    images = [m["spec"]["template"]["spec"]["containers"][0]["image"] for m in of_kind(manifests, "Deployment")]
    assert sorted(images) == [f"stepguard/operator@{digest}", "stepguard/service:1.2.3"]


def test_objects_of_kinds_that_other_projects_define_have_what_those_need() -> None:
    """Their CRDs are not here, so this is what their documentation requires of a Certificate and a ServiceMonitor."""
    manifests = render({**EVERYTHING, "tls": {"mode": "CertManager", "issuerRef": {"name": "internal"}}})
    found: dict[str, list[Manifest]] = {kind: [m for m in manifests if m["kind"] == kind] for kind in OF_OTHERS}
    assert {m["kind"]: m["apiVersion"] for one in found.values() for m in one} == OF_OTHERS
    (certificate,) = found["Certificate"]
    assert certificate["spec"]["issuerRef"] == {"name": "internal", "kind": "Issuer", "group": "cert-manager.io"}
    assert certificate["spec"]["dnsNames"][0] == f"stepguard-operator.{NAMESPACE}.svc"
    services = [m for m in manifests if m["kind"] == "Service"]
    for monitor in found["ServiceMonitor"]:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (endpoint,) = monitor["spec"]["endpoints"]
        ports = [p["name"] for s in services if wanted <= s["metadata"]["labels"].items() for p in s["spec"]["ports"]]
        assert ports.count(endpoint["port"]) == 1
