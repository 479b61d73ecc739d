"""Whether memory grows with the number of requests: `make soak` sends 5 million cheap denials and 300 000 full checks.

Each request is new. What is looked at is the slope of resident memory after a warm-up. Proofs are kept for as long as
they live, so a replay store of its steady size is filled before the full checks are counted.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import load
from tests.bench.machine import stay_on_load_core
from tests.bench.programs import Measured, stepguard
from tests.bench.traffic import ALLOWED, CHALLENGED, Traffic, classify

DENIALS, FULL_CHECKS = 5_000_000, 300_000
MOST_MIB = 1.0
"""Growth for each 100 000 requests."""
_PER = 100_000
_BATCH = 10_000
_CAPACITY = 60_000
"""Entries of the replay store: full long before the end of the warm-up, so that it grows no more."""


def growth(
    server: Measured, make: Callable[[int], list[bytes]], *, warm_up: int, count: int, answers: set[str]
) -> float:
    """MiB that `count` requests add for each 100 000 of them, by least squares over all batches after the warm-up."""
    _send(server, make, warm_up, answers)
    points = [(0, server.rss())]
    for sent in range(_BATCH, count + 1, _BATCH):
        _send(server, make, _BATCH, answers)
        points.append((sent, server.rss()))
    return _slope(points) * _PER


def _send(server: Measured, make: Callable[[int], list[bytes]], count: int, answers: set[str]) -> None:
    for start in range(0, count, _BATCH):
        messages = make(min(_BATCH, count - start))
        result = load.run(server.port, messages, classify=classify, connections=2, in_flight=32)
        if not set(result.answers) <= answers:
            raise RuntimeError(f"unexpected answers: {dict(result.answers)}")


def _slope(points: list[tuple[int, float]]) -> float:
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def measure() -> Iterator[tuple[str, float]]:
    """MiB for each 100 000 requests of both kinds."""
    traffic = Traffic.new()
    with tempfile.TemporaryDirectory() as directory:
        with stepguard(traffic, Path(directory)) as server:
            yield "denials", growth(server, traffic.denied, warm_up=_PER, count=DENIALS, answers={CHALLENGED})
        full = {ALLOWED, "refused 503"}  # a full store refuses, which costs as much
        with stepguard(traffic, Path(directory), "--replay-capacity", str(_CAPACITY)) as server:
            yield "full checks", growth(server, traffic.step_up, warm_up=_PER, count=FULL_CHECKS, answers=full)


def main() -> int:
    """Status 1 where memory grows."""
    stay_on_load_core()
    status = 0
    for name, mib in measure():
        verdict = "fine" if mib <= MOST_MIB else f"too much: at most {MOST_MIB} is allowed"
        print(f"{name}: {mib:+.3f} MiB for each 100 000 requests: {verdict}", flush=True)
        status |= mib > MOST_MIB
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
