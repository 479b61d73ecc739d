"""The real Envoy, with the demo's configuration as a start: one process, one listener for each way of asking us."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from stepguard_cli.console import CliError
from stepguard_cli.demo.layout import example_files
from stepguard_cli.demo.programs import envoy_binary

from tests.support.processes import Process, accepts, free_port, running

Node = dict[str, Any]
GRPC_APPLICATION: Final = "grpc-application"


@dataclass(frozen=True)
class Downstream:
    """TLS between client and Envoy; clients may show a certificate of `client_ca`, which Envoy then passes to us."""

    certificate: Path
    key: Path
    client_ca: Path
    forward: str = "SANITIZE"
    """What happens to x-forwarded-client-cert (`forward_client_cert_details`)."""


@dataclass(frozen=True)
class Listener:
    """How one listener asks about its requests; the defaults are those of the example."""

    raw_headers: bool = True
    """`encode_raw_headers`: header lines of one name arrive apart, else joined by a comma."""
    normalize_path: bool = True
    timeout: str = "1s"
    cluster: str = "stepguard"
    """Which of `services` it asks."""
    tls: Downstream | None = None


@dataclass(frozen=True)
class Envoy:
    """A running Envoy."""

    process: Process
    ports: Mapping[str, int]
    """Listener → its port."""
    admin_port: int

    def port(self, listener: str = "raw") -> int:
        """The port of a listener."""
        return self.ports[listener]


def binary() -> Path:
    """Envoy's binary; skips the test where there is none."""
    try:
        return envoy_binary()
    except CliError as error:
        pytest.skip(str(error))


def configuration(
    listeners: Mapping[str, tuple[Listener, int]],
    services: Mapping[str, int],
    *,
    application: int,
    grpc_application: int,
    admin: int,
) -> Node:
    """The bootstrap: `listeners` by name with their ports, `services` by cluster name with theirs."""
    example: Node = yaml.safe_load((example_files() / "envoy.yaml").read_text(encoding="utf-8"))
    resources = example["static_resources"]
    front, (plain, stepguard) = resources["listeners"][0], resources["clusters"]
    clusters = [_cluster(plain, "application", application)]
    clusters += [_cluster(stepguard, name, port) for name, port in services.items()]
    clusters.append(_cluster(stepguard, GRPC_APPLICATION, grpc_application))
    for cluster in clusters:
        cluster.pop("outlier_detection", None)  # one bad test shall not eject the next one's service
    return {
        "admin": {"address": _address(admin)},
        "static_resources": {
            "listeners": [_listener(front, name, settings, port) for name, (settings, port) in listeners.items()],
            "clusters": clusters,
        },
    }


def _address(port: int) -> Node:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(example: Node, name: str, port: int) -> Node:
    cluster = copy.deepcopy(example)
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = name
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = _address(port)
    return cluster


def _listener(example: Node, name: str, settings: Listener, port: int) -> Node:
    listener = copy.deepcopy(example)
    listener |= {"name": name, "address": _address(port)}
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["normalize_path"] = settings.normalize_path
    manager["route_config"]["virtual_hosts"][0]["routes"].insert(0, _grpc_route())
    (ext_authz,) = (one for one in manager["http_filters"] if one["name"] == "envoy.filters.http.ext_authz")
    asking = ext_authz["typed_config"]
    asking["encode_raw_headers"] = settings.raw_headers
    asking["grpc_service"]["timeout"] = settings.timeout
    asking["grpc_service"]["envoy_grpc"]["cluster_name"] = settings.cluster
    asking["grpc_service"]["retry_policy"]["retry_back_off"]["max_interval"] = settings.timeout
    if settings.tls is not None:
        asking["include_peer_certificate"] = True
        manager["forward_client_cert_details"] = settings.tls.forward
        listener["filter_chains"][0]["transport_socket"] = _transport_socket(settings.tls)
    return listener


def _transport_socket(tls: Downstream) -> Node:
    pair = {"certificate_chain": {"filename": str(tls.certificate)}, "private_key": {"filename": str(tls.key)}}
    context = {
        "tls_certificates": [pair],
        "validation_context": {"trusted_ca": {"filename": str(tls.client_ca)}},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": context,
        },
    }


def _grpc_route() -> Node:
    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    return {"match": {"prefix": "/", "headers": [grpc]}, "route": {"cluster": GRPC_APPLICATION, "timeout": "0s"}}


@contextlib.contextmanager
def envoy(
    directory: Path,
    listeners: Mapping[str, Listener],
    services: Mapping[str, int],
    *,
    application: int,
    grpc_application: int = 1,
) -> Iterator[Envoy]:
    """An Envoy that runs as long as the block; skips where there is none."""
    path = binary()
    ports = {name: free_port() for name in listeners}
    admin = free_port()
    config = configuration(
        {name: (settings, ports[name]) for name, settings in listeners.items()},
        services,
        application=application,
        grpc_application=grpc_application,
        admin=admin,
    )
    file = directory / f"envoy-{admin}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = (path, "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    with running(arguments, directory, name="envoy") as process:
        process.wait_for(lambda: all(accepts(port) for port in ports.values()), "all listeners are open")
        yield Envoy(process, ports, admin)
