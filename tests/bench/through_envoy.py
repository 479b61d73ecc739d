"""What a client of Envoy sees: the same route with and without ext_authz, every request with a proof of its own."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from stepguard_cli.demo.programs import envoy_binary

from tests.bench import http_load
from tests.bench.programs import stepguard
from tests.bench.report import Figure, figure
from tests.bench.traffic import HOST, Traffic
from tests.support.envoy import Listener, configuration
from tests.support.processes import accepts, free_port, running

SECTION = "through Envoy, DPoP + step-up"
_CONNECTIONS = 32
_LOAD = 0.3
_SHARES = {0.5: "p50", 0.99: "p99"}

Node = dict[str, Any]


def _requests(traffic: Traffic, count: int) -> list[bytes]:
    token, now, url = traffic.token(bound=True), time.time(), f"https://{HOST}/transfers"
    head = f"POST /transfers HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: bench/1.0\r\naccept: application/json\r\n"
    head += f"content-length: 0\r\nauthorization: DPoP {token}\r\ndpop: "
    proofs = (traffic.client.proof("POST", url, now=now, token=token) for _ in range(count))
    return [f"{head}{proof}\r\n\r\n".encode() for proof in proofs]


def _configuration(service: int, *, guarded: int, open_: int, admin: int) -> Node:
    """Both listeners answer by themselves, so that the difference between them is ours alone."""
    ports = {"guarded": (Listener(), guarded), "open": (Listener(), open_)}
    config = configuration(ports, {"stepguard": service}, application=1, grpc_application=1, admin=admin)
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    for listener in config["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["virtual_hosts"][0]["routes"] = [answer]
        if listener["name"] == "open":
            manager["http_filters"] = manager["http_filters"][-1:]
    return config


@contextlib.contextmanager
def _envoy(directory: Path, service: int) -> Iterator[tuple[int, int]]:
    guarded, open_, admin = free_port(), free_port(), free_port()
    file = directory / "envoy.yaml"
    file.write_text(yaml.safe_dump(_configuration(service, guarded=guarded, open_=open_, admin=admin)))
    quiet = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    with running((envoy_binary(), "-c", file, *quiet), directory, name="envoy") as process:
        process.wait_for(lambda: accepts(guarded) and accepts(open_), "the listeners are open")
        yield guarded, open_


def measure(traffic: Traffic, directory: Path, *, runs: int, requests: int, floor: float) -> list[Figure]:
    """Throughput, then p50 and p99 at 30 % of it over one connection, beside the route without ext_authz."""
    rates: list[float] = []
    with stepguard(traffic, directory) as service, _envoy(directory, service.port) as (guarded, open_):
        http_load.run(guarded, _requests(traffic, 500), connections=_CONNECTIONS)
        for _ in range(runs):
            answers = http_load.run(guarded, _requests(traffic, requests), connections=_CONNECTIONS)
            _all_good(answers)
            rates.append(answers.good / answers.seconds)
        figures = [figure(SECTION, "throughput", "1/s", rates, floor=floor)]
        rate = _LOAD * min(rates)
        added: dict[float, list[float]] = {share: [] for share in _SHARES}
        for _ in range(runs):
            with_, without = (
                http_load.run_at_rate(port, _requests(traffic, requests // 3), rate=rate) for port in (guarded, open_)
            )
            _all_good(with_)
            for share, values in added.items():
                values.append((with_.percentile(share) - without.percentile(share)) * 1000)
    figures += [figure(SECTION, f"added {name} at 30 % load", "ms", added[share]) for share, name in _SHARES.items()]
    return figures


def _all_good(answers: http_load.Answers) -> None:
    if answers.bad:
        raise RuntimeError(f"{answers.bad} of {answers.bad + answers.good} requests were refused")
