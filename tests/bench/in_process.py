"""What a decision costs without gRPC: the handler from bytes to bytes, in microseconds of processor time.

Processor time, not time of day: other work on the machine then counts for little. `--profile KIND` shows where it goes.
"""

import contextlib
import cProfile
import gc
import math
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import stepguard_service.before_grpc  # noqa: F401 - it must be the first to be imported
from stepguard_service.authorize import Authorizer
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.evidence import Verifiers
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.settings import DecisionLog
from stepguard_service.stores.keys import KeyStore
from stepguard_service.stores.replay_memory import MemoryReplayStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.handler import CheckHandler, Claiming, Verifying
from stepguard_service.transport.policy_directory import PolicyDirectory
from stepguard_service.transport.rules_loader import RulesLoader
from stepguard_service.transport.secret_files import SecretFiles
from stepguard_service.transport.slow_work import SlowWork
from stepguard_service.transport.telemetry import Telemetry

from tests.bench.machine import SERVER_CORE
from tests.bench.report import Figure, figure
from tests.bench.traffic import Traffic

SECTION = "in process, handler"
KINDS: dict[str, Callable[[Traffic, int], list[bytes]]] = {
    "bearer JWT": Traffic.bearer,
    "DPoP": Traffic.dpop,
    "DPoP + step-up": Traffic.step_up,
    "denial": Traffic.denied,
}
_BATCH = 32


@contextlib.contextmanager
def handler(policies: Path) -> Iterator[CheckHandler]:
    """A handler with the parts of a service that has a memory store."""
    rules, keys = RuleStore(), KeyStore(parse_jwk_set)
    slow = SlowWork(keys, secrets=SecretFiles(None), count=lambda *_: None)
    slow.open()
    if problems := PolicyDirectory(policies, RulesLoader(rules, slow, on_applied=lambda: None)).load():
        raise RuntimeError("; ".join(problems))
    verifiers = Verifiers(token=TokenVerifier(keys.lookup).verify, nonces=lambda: None)
    authorizer = Authorizer(rules, verifiers, in_batches=True)
    record = Telemetry(DecisionLog.NONE, rule_label=False)
    yield CheckHandler(authorizer, MemoryReplayStore(2_000_000), slow=slow, record=record)
    slow.close()


def drive(checks: CheckHandler, messages: Sequence[bytes]) -> None:
    """Answer all of them in batches, as the fast transport does."""
    for start in range(0, len(messages), _BATCH):
        begun = [checks.begin(message, math.inf) for message in messages[start : start + _BATCH]]
        verified = checks.verify([progress for progress in begun if isinstance(progress, Verifying)])
        claiming = [progress for progress in (*begun, *verified) if isinstance(progress, Claiming)]
        for progress, claimed in zip(claiming, checks.claim(claiming), strict=True):
            checks.finish(progress, claimed)


def measure(traffic: Traffic, policies: Path, *, runs: int, count: int) -> Iterator[Figure]:
    """Microseconds a check for each kind, on the server's core."""
    before = os.sched_getaffinity(0)
    with handler(policies) as checks:
        for name, make in KINDS.items():
            made = make(traffic, (runs + 1) * count)
            os.sched_setaffinity(0, {SERVER_CORE})
            gc.collect()
            gc.freeze()
            values = [_run(checks, made[at : at + count]) for at in range(0, len(made), count)]
            os.sched_setaffinity(0, before)
            yield figure(SECTION, name, "us", values[1:])


def _run(checks: CheckHandler, messages: Sequence[bytes]) -> float:
    begun = time.process_time()
    drive(checks, messages)
    return (time.process_time() - begun) / len(messages) * 1e6


def _profile(kind: str) -> None:
    traffic = Traffic.new()
    with tempfile.TemporaryDirectory() as directory:
        traffic.write_policies(Path(directory))
        with handler(Path(directory)) as checks:
            messages = KINDS[kind](traffic, 5000)
            profile = cProfile.Profile()
            profile.runcall(drive, checks, messages)
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    _profile(sys.argv[sys.argv.index("--profile") + 1])
