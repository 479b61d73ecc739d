"""Checks a second over gRPC: every kind of request, both transports, both stores, and the straightforward build."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import load
from tests.bench.programs import Measured, baseline, stepguard
from tests.bench.report import Figure, figure
from tests.bench.traffic import ALLOWED, CHALLENGED, Traffic, classify
from tests.support.redis_server import RedisServer

HEALTH = "/grpc.health.v1.Health/Check"
_CONNECTIONS, _IN_FLIGHT = 4, 24
_WARM_UP = 500


@dataclass(frozen=True)
class Kind:
    """One kind of request. `answer`: what every one of them must get."""

    name: str
    make: Callable[[Traffic, int], list[bytes]]
    answer: str = ALLOWED
    path: str = load.CHECK
    cheap: bool = False


NO_OP = Kind("no-op (health)", lambda _, count: [b""] * count, answer="health", path=HEALTH, cheap=True)
BEARER = Kind("bearer JWT", Traffic.bearer, cheap=True)
DPOP = Kind("DPoP", Traffic.dpop)
STEP_UP = Kind("DPoP + step-up", Traffic.step_up)
DENIAL = Kind("denial", Traffic.denied, answer=CHALLENGED, cheap=True)
ALL = (NO_OP, BEARER, DPOP, STEP_UP, DENIAL)


def _classify(kind: Kind) -> Callable[[bytes], str]:
    return (lambda _: kind.answer) if kind is NO_OP else classify


def rate(server: Measured, traffic: Traffic, kind: Kind, count: int) -> float:
    """Answers a second of one run; raises where one of them is not what it should be."""
    messages = kind.make(traffic, count)
    result = load.run(
        server.port,
        messages,
        classify=_classify(kind),
        connections=_CONNECTIONS,
        in_flight=_IN_FLIGHT,
        path=kind.path,
    )
    if set(result.answers) != {kind.answer}:
        raise RuntimeError(f"{kind.name}: {dict(result.answers)}")
    return result.rate


@contextlib.contextmanager
def _redis(directory: Path) -> Iterator[str]:
    with RedisServer(directory) as server:
        yield server.url


def _scenarios(
    section: str, server: Measured, traffic: Traffic, kinds: tuple[Kind, ...], *, runs: int, count: int, floor: float
) -> Iterator[Figure]:
    for kind in kinds:
        rate(server, traffic, kind, _WARM_UP)
        number = count * 3 if kind.cheap else count
        rates = [rate(server, traffic, kind, number) for _ in range(runs)]
        yield figure(section, kind.name, "1/s", rates, floor=floor)


def measure(traffic: Traffic, directory: Path, *, runs: int, count: int, floor: float) -> Iterator[Figure]:
    """Everything over gRPC, in the order of the table. `count` requests a run, three times as many cheap ones.

    A quarter of that where everything is several times slower.
    """
    for transport in ("fast", "aio"):
        sizes = {"runs": runs, "count": count if transport == "fast" else count // 4}
        with stepguard(traffic, directory, "--transport", transport) as server:
            yield from _scenarios(f"gRPC, {transport}, memory", server, traffic, ALL, **sizes, floor=floor)
        flags = ("--transport", transport, "--replay-timeout", "1s")
        with _redis(directory) as url, stepguard(traffic, directory, *flags, "--replay-store", url) as server:
            yield from _scenarios(f"gRPC, {transport}, Redis", server, traffic, (DPOP, STEP_UP), **sizes, floor=floor)
    with baseline(traffic, directory) as server:
        section = "gRPC, straightforward build"
        yield from _scenarios(section, server, traffic, (BEARER, DPOP), runs=runs, count=count // 4, floor=floor)
