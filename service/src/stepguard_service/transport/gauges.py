"""Metrics that are looked up when somebody scrapes."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stepguard_service.stores.keys import IssuerKeys
from stepguard_service.stores.replay import ReplayStore
from stepguard_service.transport.rules_loader import RulesLoader


class Cache(Protocol):
    """What remembers results for inputs: `proof.cache.LruCache`."""

    @property
    def hits(self) -> int:
        """How often it had what was asked for."""

    @property
    def misses(self) -> int:
        """How often it had not."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """Where the values come from."""

    loader: RulesLoader
    keys: Callable[[float], Sequence[IssuerKeys]]
    replay: ReplayStore
    caches: Mapping[str, Cache]
    lines_dropped: Callable[[], int]

    def collect(self) -> Iterable[Metric]:
        """All of them, now."""
        yield from self._snapshot()
        yield from self._caches()
        age = GaugeMetricFamily("stepguard_jwks_age_seconds", "Since the last good fetch of keys.", labels=["issuer"])
        for state in self.keys(time.monotonic()):
            if state.age is not None:
                age.add_metric([state.name], state.age)
        yield age
        entries = self.replay.entries()
        if entries is not None:
            yield GaugeMetricFamily("stepguard_replay_entries", "Live entries of the replay store.", value=entries)
        yield CounterMetricFamily(
            "stepguard_log_lines_dropped", "Log lines that nobody read in time.", value=self.lines_dropped()
        )

    def _snapshot(self) -> Iterable[Metric]:
        in_force = self.loader.in_force
        if in_force is None:
            return
        info = GaugeMetricFamily("stepguard_snapshot_info", "The snapshot in force.", labels=["hash"])
        info.add_metric([in_force.hash], 1)
        yield info
        yield GaugeMetricFamily(
            "stepguard_snapshot_age_seconds", "Since it came into force.", value=time.time() - in_force.since
        )

    def _caches(self) -> Iterable[Metric]:
        hits = CounterMetricFamily("stepguard_cache_hits", "Found in a cache.", labels=["cache"])
        misses = CounterMetricFamily("stepguard_cache_misses", "Not found in a cache.", labels=["cache"])
        for name, cache in self.caches.items():
            hits.add_metric([name], cache.hits)
            misses.add_metric([name], cache.misses)
        yield hits
        yield misses
