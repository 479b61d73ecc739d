"""What the operator counts, for Prometheus. No label comes from outside but HTTP methods and status codes."""

from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=SECONDS)
        self.policies = gauge("stepguard_policies", "StepUpPolicies, by whether they are accepted", ["accepted"])
        self.subscribers = gauge("stepguard_subscribers", "Open streams of replicas")
        self.push_seconds = histogram(
            "stepguard_snapshot_push_seconds", "From publishing a snapshot to a replica's report that it is in force"
        )
        self.compile_seconds = histogram("stepguard_compile_seconds", "Compiling all resources")
        self.active = gauge("stepguard_operator_active", "1: this operator is the active one")
        self.lists = counter("stepguard_operator_lists", "Own lists of both kinds, by result", ["result"])
        self.last_list = gauge(
            "stepguard_operator_last_list_timestamp_seconds", "When both kinds were last listed completely"
        )
        self.watch_restarts = counter(
            "stepguard_operator_watch_restarts", "Watches that ended or fell behind, and were started again"
        )
        self.status_writes = counter("stepguard_operator_status_writes", "Writes of status, by result", ["result"])
        self.requests = counter(
            "stepguard_operator_api_requests",
            "Requests to the Kubernetes API, by method and status code (0: no answer)",
            ["method", "code"],
        )
        self.unsafe = gauge("stepguard_unsafe", "1: this dangerous switch is on", ["switch"])
