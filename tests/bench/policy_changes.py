"""100 000 rules on 10 000 hosts: what a look-up costs, and how long a change of policies holds up checks beside it."""

import gc
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_service.authorize import Authorizer
from stepguard_service.core.model import Request
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.evidence import Verifiers
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.stores.keys import KeyStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.rules_loader import RulesLoader

from tests.bench.report import Figure, figure
from tests.support.resources import compiled, match, policy, policy_spec, rule

SECTION: Final = "100 000 rules on 10 000 hosts"
HOSTS: Final = 10_000
RULES: Final = 10
_LOOKUPS: Final = 20_000
_SWITCH_SECONDS: Final = 0.001
"""As the service sets it."""


class Service:
    """What decides, with the loader that changes its rules."""

    def __init__(self) -> None:
        self.rules, keys = RuleStore(), KeyStore(parse_jwk_set)
        self.loader = RulesLoader(self.rules, keys, on_applied=lambda: None)
        verifiers = Verifiers(token=TokenVerifier(keys.lookup).verify, nonces=lambda: None)
        self._authorizer = Authorizer(self.rules, verifiers)

    def apply(self, snapshot: pb.PolicySnapshot) -> float:
        """Put it in force; returns seconds."""
        begun = time.perf_counter()
        if problem := self.loader.apply(snapshot):
            raise RuntimeError(problem)
        return time.perf_counter() - begun

    def check(self, host: int) -> None:
        """One request, refused for want of credentials."""
        request = Request(id="1", method="GET", authority=f"h{host}.example.com", target="/s9/x", headers={})
        self._authorizer.begin(request, 1_800_000_000)

    def longest_pause(self, snapshot: pb.PolicySnapshot) -> float:
        """Seconds of processor time between two checks at the most, while the snapshot is put in force beside them.

        Processor time of this process: what others do on the machine is not the change's fault.
        """
        change = threading.Thread(target=self.apply, args=(snapshot,))
        longest, host, last = 0.0, 0, time.process_time()
        change.start()
        while change.is_alive():
            self.check(host := (host + 7) % HOSTS)
            now = time.process_time()
            longest, last = max(longest, now - last), now
        return longest


def snapshot(hosts: int, *, changed: int = 0, version: str = "") -> pb.PolicySnapshot:
    """Tables of ten rules; the first `changed` of them have another hash."""
    rules = [rule(f"r{at}", match(f"/s{at}")) for at in range(RULES)]
    made: pb.PolicySnapshot = compiled(policy("bank/payments", policy_spec(*rules))).snapshot
    (entry,) = made.host_tables
    table = pb.HostTable.FromString(entry.table)
    del made.host_tables[:]
    for number in range(hosts):
        table.pattern = f"h{number}.example.com"
        suffix = version if number < changed else ""
        made.host_tables.add(pattern=table.pattern, hash=f"{number}{suffix}", table=table.SerializeToString())
    return made


def _lookup(service: Service, hosts: int) -> float:
    """Microseconds a check."""
    begun = time.process_time()
    for number in range(_LOOKUPS):
        service.check(number * 7 % hosts)
    return (time.process_time() - begun) / _LOOKUPS * 1e6


def measure(*, runs: int) -> Iterator[Figure]:
    """Times of checks and of changes."""
    few, many, full = Service(), Service(), snapshot(HOSTS)
    few.apply(snapshot(1))
    gc.collect()
    sys.setswitchinterval(_SWITCH_SECONDS)
    yield figure(SECTION, "first snapshot in force", "s", [many.apply(full)])
    yield figure(SECTION, "check with 10 rules", "us", [_lookup(few, 1) for _ in range(runs)])
    yield figure(SECTION, "check with 100 000 rules", "us", [_lookup(many, HOSTS) for _ in range(runs)])
    for name, changed in (("one host", 1), ("every host", HOSTS)):
        pauses = [many.longest_pause(snapshot(HOSTS, changed=changed, version=f"-{at}")) for at in range(runs)]
        yield figure(SECTION, f"longest pause, {name} changed", "ms", [pause * 1000 for pause in pauses])


if __name__ == "__main__":
    from tests.bench.report import table

    sys.stdout.write(table(list(measure(runs=3))) + "\n")
