"""`make bench`: every figure of docs/performance.md, as a table and as bench/results.json.

The server has one core to itself and the load the other. Each figure is the median of several runs, with the least and
the most beside it. `--quick` takes less than two minutes and is good for comparisons only.
"""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import stepguard_service.before_grpc  # noqa: F401 - it must be the first to be imported

from tests.bench import footprint, in_process, machine, over_grpc, policy_changes, through_envoy, verifiers
from tests.bench.report import Figure, figure, table, write_json
from tests.bench.traffic import Traffic
from tests.support.trust import ALGORITHMS

RESULTS = Path("bench") / "results.json"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    runs: int
    requests: int
    entries: int
    openssl_seconds: int
    changes: int
    algorithms: Iterable[str] = ALGORITHMS


FULL = Size(runs=7, requests=6000, entries=100_000, openssl_seconds=3, changes=7)
QUICK = Size(runs=3, requests=600, entries=2000, openssl_seconds=1, changes=1, algorithms=("ES256",))


def _verifiers(algorithms: Iterable[str]) -> Iterator[Figure]:
    for one in verifiers.measure(algorithms):
        yield Figure("verifiers", one.name, "us", one.median, one.fastest, one.slowest)


def measure(size: Size, directory: Path) -> Iterator[Figure]:
    """Every figure, in the order of the table."""
    traffic, runs, count = Traffic.new(), size.runs, size.requests
    before = [machine.openssl_verifies(size.openssl_seconds) for _ in range(2)]
    floor = sum(before) / len(before)
    policies = directory / "in-process"
    policies.mkdir()
    traffic.write_policies(policies)
    yield from _verifiers(size.algorithms)
    yield from in_process.measure(traffic, policies, runs=runs, count=count)
    yield from over_grpc.measure(traffic, directory, runs=runs, count=count, floor=floor)
    yield from through_envoy.measure(traffic, directory, runs=runs, requests=count, floor=floor)
    yield from policy_changes.measure(runs=size.changes)
    yield from footprint.measure(traffic, directory, runs=runs, entries=size.entries)
    after = [machine.openssl_verifies(size.openssl_seconds) for _ in range(2)]
    yield figure("openssl speed ecdsap256, server's core", "verifications", "1/s", before + after, floor=floor)


def main() -> None:
    """Measure, print, write."""
    machine.require_tools()
    machine.stay_on_load_core()
    size = QUICK if "--quick" in sys.argv[1:] else FULL
    figures, shown = [], ""
    with tempfile.TemporaryDirectory() as directory:
        for one in measure(size, Path(directory)):
            figures.append(one)
            line = table([one]).splitlines()
            print("\n".join(line if one.section != shown else line[1:]), flush=True)
            shown = one.section
    RESULTS.parent.mkdir(exist_ok=True)
    write_json(RESULTS, machine.about(), figures)
    print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
