"""The flags that the chart renders, read by the programs' own parsers, with every mounted file where a pod has it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from stepguard_operator import settings as operator_settings
from stepguard_operator.grants_file import read_grants
from stepguard_operator.settings import Settings as OperatorSettings
from stepguard_service import settings as service_settings
from stepguard_service.settings import OperatorSettings as Subscription
from stepguard_service.settings import Settings as ServiceSettings

from tests.support.chart import EXISTING, GRANTS, MODES, NAMESPACE, Manifest, Values, arguments, of_kind, pod, render

# Secrets that are mounted whole, and what is in them.
WHOLE_SECRETS = {
    "mine": ("tls.crt", "tls.key", "ca.crt"),
    "stepguard-operator-certificate": ("tls.crt", "tls.key", "ca.crt"),
    "ext-authz": ("tls.crt", "tls.key", "ca.crt"),
    "valkey": ("password", "ca.crt"),
    "as-client": ("secret",),
    "as.of.another.bank": ("secret",),
}


def files_of(volume: Mapping[str, Any], manifests: list[Manifest]) -> Mapping[str, str]:
    """Name → content of what a volume shows."""
    match volume:
        case {"projected": {"sources": [{"serviceAccountToken": {"path": path}}]}}:
            return {path: "token"}
        case {"secret": {"items": items}} | {"configMap": {"items": items}}:
            return {item["path"]: "" for item in items}
        case {"secret": {"secretName": name}}:
            return dict.fromkeys(WHOLE_SECRETS[name], "")
        case {"configMap": {"name": name}}:
            (found,) = of_kind(manifests, "ConfigMap", name)
            data: Mapping[str, str] = found["data"]
            return data
        case _:
            assert "emptyDir" in volume
            return {}


def flags(values: Values, deployment: str, root: Path) -> Sequence[str]:
    """The flags, with the pod's file system below `root`."""
    manifests = render(values)
    spec = pod(manifests, deployment)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    for name, path in mounts.items():
        folder = root / path.lstrip("/")
        folder.mkdir(parents=True)
        for file, content in files_of(volumes[name], manifests).items():
            (folder / file).write_text(content)
    return [flag.replace("=/", f"={root}/", 1) for flag in arguments(manifests, deployment)]


def service(values: Values, root: Path) -> ServiceSettings:
    """The service's settings."""
    environment = {"STEPGUARD_NODE_NAME": "stepguard-abc"}
    parsed = service_settings.parse(flags(values, "stepguard", root), environment)
    assert isinstance(parsed, ServiceSettings), parsed
    return parsed


def operator(values: Values, root: Path) -> OperatorSettings:
    """The operator's settings."""
    parsed = operator_settings.parse(flags(values, "stepguard-operator", root), {})
    assert isinstance(parsed, OperatorSettings), parsed
    return parsed


@pytest.mark.parametrize("values", MODES.values(), ids=MODES)
def test_both_programs_take_their_flags(values: Values, tmp_path: Path) -> None:
    """Every file that a flag names is mounted, and the service subscribes as whom the operator lets in."""
    subscribed = service(values, tmp_path / "service")
    served = operator(values, tmp_path / "operator")
    assert served.subscribers.accounts == (f"{NAMESPACE}/stepguard",)
    assert served.service == (NAMESPACE, "stepguard")
    assert served.self_managed == (values.get("tls", {}).get("mode", "SelfManaged") == "SelfManaged")
    assert isinstance(subscribed.source, Subscription)
    assert subscribed.source.addresses == (f"stepguard-operator.{NAMESPACE}.svc:9193",)
    assert subscribed.source.ca is not None
    assert subscribed.source.token_file is not None
    assert subscribed.state_dir is not None


def test_defaults_are_safe(tmp_path: Path) -> None:
    """Nothing dangerous is on without being asked for."""
    assert not any(service({}, tmp_path / "service").unsafe_switches.values())
    assert not any(operator({}, tmp_path / "operator").unsafe_switches.values())


def test_nonce_keys_are_there_in_every_mode_that_has_some(tmp_path: Path) -> None:
    """The operator's own, or the Secret that was named; where none was, policies that need nonces say so."""
    assert service({}, tmp_path / "managed").nonce_keys is not None
    assert service(EXISTING, tmp_path / "existing").nonce_keys is not None
    unnamed = {"tls": {**EXISTING["tls"], "nonceKeysSecret": ""}}
    assert service(unnamed, tmp_path / "unnamed").nonce_keys is None


def test_host_grants_are_read_as_they_were_written(tmp_path: Path) -> None:
    """From values to the operator's own reader, through the ConfigMap."""
    file = operator({"hostGrants": GRANTS}, tmp_path).host_grants
    assert file is not None
    (grant,) = read_grants(file)
    assert (grant.hosts, grant.namespaces, [*grant.allow]) == (("*.bank.example.com",), ("bank",), ["Audit"])


EDGES: dict[str, Values] = {
    "the shortest time of a round trip": {"service": {"replay": {"url": "redis://valkey", "timeout": "1ms"}}},
    "the longest time of a round trip": {"service": {"replay": {"url": "redis://valkey", "timeout": "10s"}}},
    "a user and a database": {"service": {"replay": {"url": "valkeys://stepguard@valkey.data.svc:6380/15"}}},
    "an address in brackets": {"service": {"replay": {"url": "redis://[fd00::1]:6379"}}},
    "the largest memory store": {"service": {"replay": {"capacity": 100_000_000}}},
    "the longest drain": {"service": {"drainSeconds": 3600}},
    "the shortest resync": {"operator": {"resync": "1s"}},
    "the longest resync": {"operator": {"resync": "999m"}},
    "the largest quota": {"operator": {"maxMatchesPerNamespace": 1_000_000}},
    "every kind of host in grants": {
        "hostGrants": [{"hosts": ["*", "*.example.com", "API.example.com", "[::1]", "10.0.0.1"], "namespaces": ["*"]}]
    },
}


@pytest.mark.parametrize("values", EDGES.values(), ids=EDGES)
def test_what_the_schema_allows_the_programs_take(values: Values, tmp_path: Path) -> None:
    """The edges of the schema's bounds; beyond them `helm install` says no, not a pod that does not start."""
    service(values, tmp_path / "service")
    grants = operator(values, tmp_path / "operator").host_grants
    assert grants is None or read_grants(grants)
