"""Memory and start-up: at rest, and with 10 000 rules and 100 000 live replay entries."""

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.bench import load
from tests.bench.programs import Measured, stepguard
from tests.bench.report import Figure, figure
from tests.bench.traffic import Traffic, classify

SECTION = "footprint"
_POLICIES, _RULES = 500, 20
_BATCH = 10_000

_POLICY = """\
---
apiVersion: stepguard.dev/v1alpha1
kind: StepUpPolicy
metadata: {{name: p{number}, namespace: team{team}}}
spec:
  hosts: [h{number}.example.com]
  issuerRefs: [{{name: main}}]
  rules:
"""
_RULE = "  - {{name: r{at}, matches: [{{path: {{type: PathPrefix, value: /v{at}/items}}, methods: [GET]}}]}}\n"


def write_many_rules(traffic: Traffic, directory: Path) -> None:
    """10 000 rules on 500 hosts beside the traffic's own."""
    traffic.write_policies(directory)
    rules = "".join(_RULE.format(at=at) for at in range(_RULES))
    text = "".join(_POLICY.format(number=n, team=n % 20) + rules for n in range(_POLICIES))
    (directory / "many.yaml").write_text(text)


def measure(traffic: Traffic, directory: Path, *, runs: int, entries: int) -> Iterator[Figure]:
    """MiB and seconds. `entries`: live replay entries that are made for the large one."""
    starts, sizes = [], []
    for _ in range(runs):
        with stepguard(traffic, directory) as server:
            starts.append(server.seconds_to_start)
            sizes.append(server.rss())
    yield figure(SECTION, "start-up", "s", starts)
    yield figure(SECTION, "RSS at start", "MiB", sizes)
    many = directory / "many"
    many.mkdir(exist_ok=True)
    write_many_rules(traffic, many)
    with stepguard(traffic, directory, policies=many) as server:
        yield figure(SECTION, "start-up, 10 000 rules", "s", [server.seconds_to_start])
        yield figure(SECTION, "RSS, 10 000 rules", "MiB", [server.rss()])
        _claim(server, traffic, entries)
        kept = f"{_entries(server):,}".replace(",", " ")
        yield figure(SECTION, f"RSS, 10 000 rules, {kept} proofs", "MiB", [server.rss()])


def _claim(server: Measured, traffic: Traffic, entries: int) -> None:
    for made in range(0, entries, _BATCH):
        messages = traffic.dpop(min(_BATCH, entries - made))
        load.run(server.port, messages, classify=classify, connections=4, in_flight=24)


def _entries(server: Measured) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/metrics") as answer:
        found = re.search(r"^stepguard_replay_entries ([0-9.e+]+)$", answer.read().decode(), re.MULTILINE)
    return int(float(found[1])) if found else 0
