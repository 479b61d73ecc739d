"""The chart through the real Helm engine: rendered, and installed on a real API server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from helm_python import Chart, Config

from tests.support.kubernetes import ControlPlane

CHART: Final = Path(__file__).parents[2] / "charts" / "stepguard"
NAMESPACE: Final = "stepguard-system"
RELEASE: Final = "stepguard"

Values = Mapping[str, Any]
Manifest = dict[str, Any]

GRANTS: Final = [{"hosts": ["*.bank.example.com"], "namespaces": ["bank"], "allow": ["Audit"]}]
SHARED_STORE: Final[Values] = {"service": {"replicas": 3, "replay": {"url": "redis://valkey:6379/0"}}}
EXISTING: Final[Values] = {"tls": {"mode": "Existing", "secretName": "mine", "nonceKeysSecret": "nonces"}}
CERT_MANAGER: Final[Values] = {"tls": {"mode": "CertManager", "issuerRef": {"name": "internal"}}}
EVERYTHING: Final[Values] = {
    "service": {
        "replicas": 3,
        "replay": {
            "url": "rediss://valkey:6379/0",
            "passwordSecret": {"name": "valkey", "key": "password"},
            "caSecret": {"name": "valkey", "key": "ca.crt"},
        },
        "secrets": ["as-client", "as.of.another.bank"],
        "tls": {"secretName": "ext-authz", "requireClientCertificate": True},
        "metricsRuleLabel": True,
        "otlpEndpoint": "http://collector:4318",
        "podAnnotations": {"example.com/team": "platform"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    },
    "operator": {"namespace": "bank", "podAnnotations": {"example.com/team": "platform"}},
    "hostGrants": GRANTS,
    "rbac": {"aggregateToEdit": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "autoscaling": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
}
MODES: Final[Mapping[str, Values]] = {
    "no values": {},
    "everything on": EVERYTHING,
    "a shared store": SHARED_STORE,
    "TLS of one's own": EXISTING,
    "TLS by cert-manager": CERT_MANAGER,
}
OF_OTHERS: Final = {"Certificate": "cert-manager.io/v1", "ServiceMonitor": "monitoring.coreos.com/v1"}
"""Kinds that the API server of tests does not know: kind → apiVersion."""


def render(values: Values | None = None, *, release: str = RELEASE) -> list[Manifest]:
    """All objects that an installation with these values makes."""
    texts = [text for name, text in rendered_files(values, release=release).items() if not name.endswith("NOTES.txt")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def rendered_files(values: Values | None = None, *, release: str = RELEASE) -> Mapping[str, str]:
    """Template → what it gives."""
    with Chart.load(CHART) as chart:
        return chart.render(dict(values or {}), name=release, namespace=NAMESPACE)


def of_kind(manifests: list[Manifest], kind: str, name: str | None = None) -> list[Manifest]:
    """Those of one kind, of one name where one is given."""
    return [m for m in manifests if m["kind"] == kind and name in {None, m["metadata"]["name"]}]


def pod(manifests: list[Manifest], deployment: str) -> Manifest:
    """The pod of a Deployment."""
    (found,) = of_kind(manifests, "Deployment", deployment)
    spec: Manifest = found["spec"]["template"]["spec"]
    return spec


def arguments(manifests: list[Manifest], deployment: str) -> list[str]:
    """The flags of a Deployment's container."""
    flags: list[str] = pod(manifests, deployment)["containers"][0]["args"]
    return flags


@contextmanager
def helm(plane: ControlPlane) -> Iterator[Config]:
    """Helm with the rights of cluster-admin."""
    with Config(kubeconfig_path=plane.kubeconfig, namespace=NAMESPACE) as config:
        yield config


def put(plane: ControlPlane, values: Values | None = None) -> None:
    """Install the chart with these values and no others, or upgrade to them."""
    with helm(plane) as config:
        if any(release["name"] == RELEASE for release in config.list()):
            config.upgrade(CHART, RELEASE, dict(values or {}), reset_values=True)
        else:
            config.install(CHART, RELEASE, dict(values or {}), create_namespace=True)
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "stepuppolicies.stepguard.dev")
