"""How long a change takes from `kubectl apply` to in force on every replica, and what the operator costs meanwhile.

`make bench-control-plane` runs it: a real API server, one operator, REPLICAS real replicas of the service, POLICIES
policies of RULES rules. Each of CHANGES changes one policy; it is in force when the last replica says so in its log.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bench.machine import about
from tests.support.installation import Installation, Object, Program, installation, issuer, policy
from tests.support.kubernetes import ControlPlane, control_plane
from tests.support.processes import wait_until

IN_FORCE: Final = re.compile(r"^(\S+Z) .*snapshot ([0-9a-f]{12}) is in force", re.MULTILINE)
PUBLISHED: Final = re.compile(r"^(\S+Z) .*published snapshot ([0-9a-f]{12})", re.MULTILINE)
RESULTS: Final = Path("bench") / "control-plane.json"


@dataclass(frozen=True)
class Scale:
    """What is set up."""

    policies: int
    rules: int
    replicas: int
    changes: int


@dataclass(frozen=True)
class Change:
    """One change. Seconds from the start of kubectl, and from its end."""

    from_start: float
    from_end: float


class Log:
    """What a program said since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    def new(self) -> str:
        """Complete lines only."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode()


def document(number: int, rules: int, *, revision: int = 0) -> Object:
    """A policy of a host of its own; revisions differ in one requirement."""
    listed = [
        {
            "name": f"rule-{index}",
            "matches": [{"path": {"type": "PathPrefix", "value": f"/v1/area-{index}"}, "methods": ["GET", "POST"]}],
            "require": {"scopes": [f"area-{index}:{revision}"], "dpop": "Required"},
        }
        for index in range(rules)
    ]
    return policy(f"policy-{number}", f"p{number}.example.com", rules=listed)


def set_up(system: Installation, scale: Scale) -> tuple[Program, list[Program]]:
    """All policies, the operator, the replicas; returns when everything is in force and said in status."""
    system.plane.apply(issuer())
    items = [document(number, scale.rules) for number in range(scale.policies)]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    began = time.monotonic()
    system.plane.kubectl("create", "-f", "-", given=json.dumps(listed))
    say(f"created {scale.policies} policies of {scale.rules} rules in {time.monotonic() - began:.1f} s")
    operator = system.operator("--lease", "none")
    replicas = [system.replica(f"pod-{number}", operator, wait=False) for number in range(scale.replicas)]
    for replica in replicas:
        wait_until(replica.ready, "the replica is ready", timeout=120)
    began = time.monotonic()
    wait_until(
        lambda: operator.metric("stepguard_operator_status_writes_total", result="written") >= scale.policies,
        "every status has been written once",
        timeout=600,
    )
    wait_until(lambda: quiet(operator), "nothing more is written", timeout=600)
    say(f"statuses settled {time.monotonic() - began:.0f} s later")
    return operator, replicas


def quiet(operator: Program) -> bool:
    """Whether it writes nothing for two seconds."""
    before = operator.metric("stepguard_operator_status_writes_total")
    time.sleep(2)
    return operator.metric("stepguard_operator_status_writes_total") == before


def change(plane: ControlPlane, logs: Sequence[Log], manifest: Object) -> Change:
    """Apply one change and wait until the last replica has it."""
    for log in logs:
        log.new()
    started = time.time()
    plane.apply(manifest)
    ended = time.time()
    seen: dict[int, float] = {}

    def everywhere() -> bool:
        for number, log in enumerate(logs):
            if number not in seen and (found := IN_FORCE.findall(log.new())):
                seen[number] = datetime.fromisoformat(found[-1][0]).timestamp()
        return len(seen) == len(logs)

    wait_until(everywhere, "the change is in force everywhere", timeout=60)
    last = max(seen.values())
    return Change(last - started, max(0.0, last - ended))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1))]


def memory(process_id: int) -> tuple[float, float]:
    """Resident memory now and at its peak, in MiB."""
    status = Path(f"/proc/{process_id}/status").read_text()
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
    return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024


def requests(operator: Program) -> dict[str, float]:
    """Requests to the API server so far, by method."""
    return {
        method: operator.metric("stepguard_operator_api_requests_total", method=method)
        for method in ("GET", "POST", "PUT", "PATCH")
    }


def measure(system: Installation, scale: Scale) -> dict[str, Any]:
    """Everything that is printed."""
    operator, replicas = set_up(system, scale)
    logs = [Log(replica.process.stderr_path) for replica in replicas]
    idle_memory, _ = memory(operator.process.popen.pid)
    change(system.plane, logs, document(0, scale.rules, revision=1))
    wait_until(lambda: quiet(operator), "nothing more is written", timeout=60)
    before = requests(operator)
    changes = []
    for number in range(scale.changes):
        manifest = document(number % scale.policies, scale.rules, revision=number + 2)
        changes.append(change(system.plane, logs, manifest))
    wait_until(lambda: quiet(operator), "nothing more is written", timeout=60)
    made = {method: (count - before[method]) / scale.changes for method, count in requests(operator).items()}
    now, peak = memory(operator.process.popen.pid)
    return {
        "about": about(),
        "scale": asdict(scale),
        "seconds_from_kubectl_start": summary([one.from_start for one in changes]),
        "seconds_from_kubectl_end": summary([one.from_end for one in changes]),
        "compile_seconds_mean": operator.metric("stepguard_compile_seconds_sum")
        / operator.metric("stepguard_compile_seconds_count"),
        "operator_memory_mib": {"after_start": idle_memory, "after_changes": now, "peak": peak},
        "replica_memory_mib": statistics.median(memory(one.process.popen.pid)[0] for one in replicas),
        "api_requests_per_change": made,
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, p99, smallest and largest."""
    return {
        "p50": statistics.median(values),
        "p99": percentile(values, 0.99),
        "min": min(values),
        "max": max(values),
    }


def render(found: dict[str, Any]) -> str:
    """As text."""
    scale, start, end = found["scale"], found["seconds_from_kubectl_start"], found["seconds_from_kubectl_end"]
    memory_of = found["operator_memory_mib"]
    calls = ", ".join(f"{method} {count:.2f}" for method, count in found["api_requests_per_change"].items())
    times = "p50 {p50:.3f} s, p99 {p99:.3f} s, max {max:.3f} s"
    rows = {
        "kubectl apply started -> in force everywhere": times.format(**start),
        "kubectl apply returned -> in force everywhere": times.format(**end),
        "compilation": f"mean {found['compile_seconds_mean'] * 1000:.0f} ms",
        "operator memory": f"{memory_of['after_changes']:.0f} MiB, peak {memory_of['peak']:.0f} MiB",
        "replica memory": f"{found['replica_memory_mib']:.0f} MiB",
        "requests to the API server per change": calls,
    }
    head = "{policies} policies of {rules} rules, {replicas} replicas, {changes} changes".format(**scale)
    return "\n".join([head, *(f"  {name:46}{value}" for name, value in rows.items())])


def say(line: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"bench-control-plane: {line}\n")


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="bench-control-plane")
    for name, default in asdict(Scale(1000, 10, 10, 100)).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    scale = Scale(**vars(parser.parse_args()))
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            control_plane(Path(folder) / "plane") as plane,
            installation(plane, Path(folder) / "installation") as system,
        ):
            found = measure(system, scale)
    except pytest.skip.Exception as missing:
        say(str(missing))
        return 2
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))
    sys.stdout.write(f"{render(found)}\nas JSON: {RESULTS}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
