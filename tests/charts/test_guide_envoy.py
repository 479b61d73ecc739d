"""The filter and the cluster of the guide for a plain Envoy, in a whole configuration that the real Envoy judges."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepguard_cli.demo.layout import example_files

from tests.support.chart import NAMESPACE, of_kind, render
from tests.support.envoy import binary
from tests.support.guides import blocks

EXT_AUTHZ = "envoy.filters.http.ext_authz"
Node = dict[str, Any]


def part(guide: str, first_line: str) -> Node:
    """The one element of a list in a guide."""
    (block,) = (one for one in blocks() if one.guide == guide and one.text.startswith(first_line))
    ((element,),) = block.documents
    found: Node = element
    return found


def ext_authz() -> Node:
    """The guide's filter."""
    return part("envoy.md", "# In http_filters")


def cluster() -> Node:
    """The guide's cluster."""
    return part("envoy.md", "# In clusters.")


def configuration() -> Node:
    """The example's, with the guide's filter and cluster in place of its own."""
    whole: Node = yaml.safe_load((example_files() / "envoy.yaml").read_text(encoding="utf-8"))
    resources = whole["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    filters, clusters = manager["http_filters"], resources["clusters"]
    manager["http_filters"] = [ext_authz() if one["name"] == EXT_AUTHZ else one for one in filters]
    resources["clusters"] = [cluster() if one["name"] == "stepguard" else one for one in clusters]
    return whole


def validated(whole: Node, directory: Path) -> subprocess.CompletedProcess[str]:
    """What `envoy --mode validate` says."""
    file = directory / "envoy.yaml"
    file.write_text(yaml.safe_dump(whole))
    command = (binary(), "--mode", "validate", "--config-path", file, "--log-level", "warning")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_envoy_accepts_the_filter_and_the_cluster(tmp_path: Path) -> None:
    """Without a warning of something deprecated."""
    done = validated(configuration(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


def test_envoy_would_refuse_a_misspelt_setting(tmp_path: Path) -> None:
    """So that the test above can fail."""
    whole = configuration()
    manager = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][0]["typed_config"]["encode_raw_header"] = True
    assert "encode_raw_header" in validated(whole, tmp_path).stderr


def test_the_filter_has_every_setting_that_matters() -> None:
    """Those of docs/interfaces.md."""
    settings = ext_authz()["typed_config"]
    asked = settings["grpc_service"]
    retry = asked["retry_policy"]
    assert settings["transport_api_version"] == "V3"
    assert settings["failure_mode_allow"] is False
    assert settings["status_on_error"] == {"code": "ServiceUnavailable"}
    assert settings["encode_raw_headers"] is settings["validate_mutations"] is True
    assert settings["include_peer_certificate"] is True
    assert (retry["num_retries"], retry["retry_on"]) == (1, "reset,unavailable")
    assert retry["retry_host_predicate"][0]["name"] == "envoy.retry_host_predicates.previous_hosts"
    assert retry["retry_back_off"] == {"base_interval": "0.01s", "max_interval": asked["timeout"]}


def test_the_cluster_is_the_chart_s_headless_service() -> None:
    """Every address of it, each left alone when it does not answer."""
    found = cluster()
    (endpoint,) = found["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    (service,) = of_kind(render(), "Service", "stepguard-headless")
    assert (found["type"], found["lb_policy"], found["connect_timeout"]) == ("STRICT_DNS", "ROUND_ROBIN", "0.25s")
    assert found["outlier_detection"]["max_ejection_percent"] == 50
    assert service["spec"]["clusterIP"] == "None"
    assert address["address"] == f"stepguard-headless.{NAMESPACE}.svc.cluster.local"
    assert address["port_value"] in [port["port"] for port in service["spec"]["ports"]]
    assert ext_authz()["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] == found["name"]


@pytest.mark.parametrize("setting", ["encode_raw_headers", "validate_mutations", "include_peer_certificate"])
def test_meshes_are_told_how_to_set_what_their_own_resources_cannot(setting: str) -> None:
    """By EnvoyFilter and EnvoyPatchPolicy."""
    told = {block.guide: block.text for block in blocks() if f"{setting}" in block.text and "kind: Envoy" in block.text}
    assert set(told) == {"istio.md", "envoy-gateway.md"}


def test_envoy_accepts_what_the_filter_for_istio_merges(tmp_path: Path) -> None:
    """The patch of the EnvoyFilter, put over a filter such as Istio makes."""
    (patch,) = (
        document["spec"]["configPatches"][0]["patch"]
        for block in blocks()
        if block.guide == "istio.md" and block.is_manifest
        for document in block.documents
        if document["kind"] == "EnvoyFilter" and document["metadata"]["name"] == "stepguard"
    )
    assert (patch["operation"], patch["value"]["name"]) == ("MERGE", EXT_AUTHZ)
    whole = configuration()
    manager = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    made_by_istio = manager["http_filters"][0]["typed_config"]
    for setting in ("encode_raw_headers", "validate_mutations", "include_peer_certificate"):
        del made_by_istio[setting]
    del made_by_istio["grpc_service"]["retry_policy"]
    value = patch["value"]["typed_config"]
    merged = {**made_by_istio, **value, "grpc_service": {**made_by_istio["grpc_service"], **value["grpc_service"]}}
    assert merged == ext_authz()["typed_config"]
    manager["http_filters"][0]["typed_config"] = merged
    assert validated(whole, tmp_path).returncode == 0
