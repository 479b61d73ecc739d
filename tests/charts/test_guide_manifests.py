"""What the guides tell people to apply and to type is accepted by the real systems, or by their own definitions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepguard_policy.documents import load_paths

from tests.support.chart import NAMESPACE, of_kind, put, render
from tests.support.guides import Block, blocks, commands
from tests.support.kubernetes import ControlPlane
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
OTHER_CRDS = ROOT / "tests" / "data" / "crds"
FROM_GUIDES = list(blocks())
MANIFESTS = [block for block in FROM_GUIDES if block.is_manifest]
PARTS = [block for block in FROM_GUIDES if block.language == "yaml" and not block.is_manifest]


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Iterator[ControlPlane]:
    """Stepguard's chart, and the definitions of Istio, Envoy Gateway and Gateway API."""
    plane.apply_crds(OTHER_CRDS)
    for name in ("edge", "bank"):
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    put(plane)
    yield plane
    plane.kubectl("delete", "securitypolicies,stepuppolicies,tokenissuers", "--all", "--all-namespaces")


@pytest.mark.parametrize("block", MANIFESTS, ids=str)
def test_a_manifest_is_accepted(cluster: ControlPlane, block: Block) -> None:
    """Unknown fields are errors, and the API server warns of nothing."""
    command = ("apply", "--dry-run=server", "--validate=strict", "--filename", "-")
    done = cluster.kubectl(*command, given=block.text)
    assert len(done.stdout.splitlines()) == len(block.documents)
    assert done.stderr == ""


def test_every_kind_that_the_guides_are_about_is_among_the_manifests() -> None:
    """So that no block is passed over because it is not seen as a manifest."""
    kinds = {document["kind"] for block in MANIFESTS for document in block.documents}
    assert kinds == {
        "TokenIssuer",
        "StepUpPolicy",
        "AuthorizationPolicy",
        "DestinationRule",
        "EnvoyFilter",
        "HTTPRoute",
        "SecurityPolicy",
        "ReferenceGrant",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "EnvoyPatchPolicy",
    }


def test_every_other_yaml_block_is_looked_at_by_some_test() -> None:
    """Values and mesh configuration here, parts of an Envoy configuration in test_guide_envoy."""
    begin = [(block.guide, block.text.splitlines()[0].partition(",")[0]) for block in PARTS]
    assert [one for one in begin if one[0] != "policies.md"] == [
        ("envoy.md", "# In http_filters"),
        ("envoy.md", "# In clusters."),
        ("install.md", "# values.yaml"),
        ("istio.md", "# MeshConfig (Helm: meshConfig"),
    ]


def part(guide: str, first_line: str) -> Any:
    """The content of a block that is no manifest."""
    (block,) = (one for one in PARTS if one.guide == guide and one.text.startswith(first_line))
    (document,) = block.documents
    return document


def test_the_values_for_production_render_what_they_promise() -> None:
    """Three replicas, a shared store, grants that the operator reads."""
    manifests = render(part("install.md", "# values.yaml"))
    (deployment,) = of_kind(manifests, "Deployment", "stepguard")
    assert deployment["spec"]["replicas"] == 3
    assert len(of_kind(manifests, "ServiceMonitor")) == 2
    (grants,) = of_kind(manifests, "ConfigMap", "stepguard-operator-host-grants")
    assert len(yaml.safe_load(grants["data"]["grants.yaml"])) == 2


def test_the_mesh_configuration_names_the_chart_s_service_and_stays_closed() -> None:
    """MeshConfig is no custom resource: these are the members that Istio documents for envoyExtAuthzGrpc."""
    (provider,) = part("istio.md", "# MeshConfig")["extensionProviders"]
    asked = provider["envoyExtAuthzGrpc"]
    assert asked == {
        "service": f"stepguard.{NAMESPACE}.svc.cluster.local",
        "port": 9191,
        "timeout": "1s",
        "statusOnError": "503",
    }
    (authorization,) = (d for b in MANIFESTS for d in b.documents if d["kind"] == "AuthorizationPolicy")
    assert authorization["spec"]["provider"]["name"] == provider["name"]
    assert authorization["spec"]["rules"] == [{}]


def test_what_meshes_are_told_to_ask_is_a_service_of_the_chart() -> None:
    """By name, namespace and port: a ClusterIP Service, since a headless one breaks Istio."""
    (security,) = (d for b in MANIFESTS for d in b.documents if d["kind"] == "SecurityPolicy")
    (backend,) = security["spec"]["extAuth"]["grpc"]["backendRefs"]
    (service,) = of_kind(render(), "Service", backend["name"])
    assert service["metadata"]["namespace"] == backend["namespace"]
    assert "clusterIP" not in service["spec"]
    assert [port["port"] for port in service["spec"]["ports"]] == [backend["port"]]


def security_policy(target: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """One of an app team."""
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "of-an-app-team", "namespace": "bank"},
        "spec": {**target, "cors": {"allowOrigins": ["https://app.example"]}, **spec},
    }


ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "echo"}
GATEWAY = {**ROUTE, "kind": "Gateway", "name": "edge"}
MERGED = {"mergeType": "StrategicMerge"}
ASKS_ANOTHER = {"extAuth": {"http": {"backendRefs": [{"name": "open", "port": 80}]}}}
ACCEPTED, REFUSED = "", "must have mergeType: StrategicMerge"
SECURITY_POLICIES = {
    "on a gateway": (security_policy({"targetRefs": [GATEWAY]}), ACCEPTED),
    "merged on a route": (security_policy({"targetRefs": [ROUTE]}, **MERGED), ACCEPTED),
    "alone on a route": (security_policy({"targetRefs": [ROUTE]}), REFUSED),
    "alone on a route, in the older spelling": (security_policy({"targetRef": ROUTE}), REFUSED),
    "alone on routes by label": (
        security_policy({"targetSelectors": [{"kind": "HTTPRoute", "matchLabels": {"app": "echo"}}]}),
        REFUSED,
    ),
    "merged with another question": (security_policy({"targetRefs": [ROUTE]}, **MERGED, **ASKS_ANOTHER), REFUSED),
}


@pytest.fixture(scope="module")
def guarded(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """With the guide's own admission policy for SecurityPolicies."""
    (block,) = (b for b in MANIFESTS if b.documents[0]["kind"] == "ValidatingAdmissionPolicy")
    cluster.kubectl("apply", "--filename", "-", given=block.text)
    alone = json.dumps(SECURITY_POLICIES["alone on a route"][0])
    apply = ("apply", "--dry-run=server", "--filename", "-")
    wait_until(lambda: cluster.kubectl(*apply, given=alone, check=False).returncode, "the policy is active", timeout=30)
    yield cluster
    cluster.kubectl("delete", "--filename", "-", given=block.text)


@pytest.mark.parametrize(("document", "said"), SECURITY_POLICIES.values(), ids=SECURITY_POLICIES)
def test_the_guide_s_admission_policy_judges_a_security_policy(
    guarded: ControlPlane, document: dict[str, Any], said: str
) -> None:
    """What would replace the gateway's own policy is refused."""
    apply = ("apply", "--dry-run=server", "--filename", "-")
    done = guarded.kubectl(*apply, given=json.dumps(document), check=False)
    assert said in done.stderr
    assert bool(said) == bool(done.returncode), done.stderr


# What stands in for a cluster with nodes: extra flags, and what kubectl may say.
INSTEAD: dict[str, tuple[list[str], str]] = {
    "rollout": (["--watch=false"], ""),
    "wait": (["--timeout=1s"], "timed out waiting for the condition"),
    "delete": (["--dry-run=server"], ""),
    "exec": (["--pod-running-timeout=1s"], "timed out waiting for the condition"),
}
TYPED = list(commands())
KUBECTL = [words for _, words in TYPED if words[0] == "kubectl"]


@pytest.mark.parametrize("words", KUBECTL, ids=" ".join)
def test_a_kubectl_command_is_one(
    cluster: ControlPlane, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as it stands, with the files of the guide, but for what needs nodes or would take everything away."""
    monkeypatch.chdir(tmp_path)
    made = [document for block in MANIFESTS if block.guide == "install.md" for document in block.documents]
    for name, kind in (("token-issuer.yaml", "TokenIssuer"), ("payments.yaml", "StepUpPolicy")):
        (document,) = (one for one in made if one["kind"] == kind)
        Path(name).write_text(json.dumps(document))
        cluster.kubectl("apply", "-f", name)
    (verb,) = (word for word in words if word in {*INSTEAD, "apply", "get", "describe"})
    extra, excuse = INSTEAD.get(verb, ([], ""))
    at = words.index(verb) + 1
    done = cluster.kubectl(*words[1:at], *extra, *words[at:], check=False)
    assert done.returncode == 0 or (excuse and excuse in done.stderr), done.stderr


def test_a_helm_command_installs_or_removes_the_chart_as_it_is_tested() -> None:
    """There is no helm binary here; the engine does the same in test_chart_install, with this release and namespace."""
    typed = [" ".join(words) for _, words in TYPED if words[0] == "helm"]
    assert typed == [
        f"helm install stepguard charts/stepguard --namespace {NAMESPACE} --create-namespace",
        f"helm uninstall stepguard --namespace {NAMESPACE}",
    ]
    assert (ROOT / "charts" / "stepguard" / "Chart.yaml").is_file()


def test_no_command_is_left_out() -> None:
    """`stepguard` commands are run in tests/cli."""
    assert {words[0] for _, words in TYPED} <= {"kubectl", "helm", "stepguard"}


def test_the_policies_of_the_guide_pass_lint(tmp_path: Path) -> None:
    """In file mode too, where the same documents are read strictly."""
    text = "---\n".join(block.text for block in MANIFESTS if block.guide == "install.md")
    (tmp_path / "install.yaml").write_text(text)
    loaded = load_paths([tmp_path])
    assert loaded.problems == ()
    assert {resource.name for resource in loaded.resources} == {"main", "payments"}
