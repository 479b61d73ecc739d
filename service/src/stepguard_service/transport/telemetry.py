"""What is counted (`/metrics`) and what is logged about decisions.

Label values come from closed sets, names of policies and TokenIssuers, and the hash in force; never from requests.
Tokens, proofs and nonces are not written anywhere; a key's thumbprint only as a short hash.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from stepguard_service.core.model import Answer, Outcome, Request
from stepguard_service.limits import LOGGED_LENGTH
from stepguard_service.settings import DecisionLog
from stepguard_service.transport import log

_MILLISECONDS: Final = (0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
_BATCHES: Final = (1, 2, 4, 8, 16, 32)
_SHORT_HASH: Final = 12
_LOGGED_METADATA: Final = ("iss", "sub", "client_id", "acr")

_REFUSALS: Final = frozenset((Outcome.CHALLENGE, Outcome.DENY, Outcome.UNAVAILABLE))

DECISIONS: Final = "stepguard_service.decision"
"""The logger of the decision log."""

_decisions = logging.getLogger(DECISIONS)
_faults = log.logger("fault")

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's function has no types


class Telemetry:
    """Every metric of the service in one registry, and the decision log."""

    def __init__(self, decision_log: DecisionLog, *, rule_label: bool) -> None:
        self.registry = CollectorRegistry()
        self._logged = _logged(decision_log)
        self._rule_label = rule_label
        labels = ("policy", "mode", "outcome", "reason", *(("rule",) if rule_label else ()))
        self._decisions = Counter("stepguard_decisions", "Checks answered.", labels, registry=self.registry)
        self._children: dict[tuple[str, ...], Counter] = {}
        self._duration = Histogram(
            "stepguard_check_duration_seconds",
            "From the request's arrival in the handler to its answer.",
            buckets=[bound / 1000 for bound in _MILLISECONDS],
            registry=self.registry,
        )
        self._dropped = Counter(
            "stepguard_claim_headers_dropped",
            "Identity headers not set because the claim's value cannot be a header.",
            registry=self.registry,
        )
        self._faults = Counter("stepguard_faults", "Unexpected exceptions.", registry=self.registry)
        self.batch_size = Histogram(
            "stepguard_batch_size", "Checks decided together.", buckets=_BATCHES, registry=self.registry
        )
        self.replay_errors = Counter(
            "stepguard_replay_store_errors", "Round trips to the replay store that failed.", registry=self.registry
        )
        self._jwks_refreshes = Counter(
            "stepguard_jwks_refresh", "Fetches of a JWK Set.", ("issuer", "result"), registry=self.registry
        )
        self.operator_connected = Gauge(
            "stepguard_operator_connected", "Whether the stream to the active operator is open.", registry=self.registry
        )
        self._unsafe = Gauge("stepguard_unsafe", "Dangerous switches that are on.", ("switch",), registry=self.registry)
        self._transport = Gauge("stepguard_transport_info", "What drives gRPC.", ("transport",), registry=self.registry)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def answered(self, request: Request | None, answer: Answer, seconds: float) -> None:
        """Count one answer, and log it where the decision log wants it."""
        key: tuple[str, ...] = (answer.policy, answer.mode, answer.outcome, answer.reason)
        if self._rule_label:
            key = (*key, answer.rule)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._decisions.labels(*key)
        child.inc()
        self._duration.observe(seconds)
        if answer.dropped_claim_headers:
            self._dropped.inc(answer.dropped_claim_headers)
        if answer.outcome in self._logged:
            _log(request, answer, seconds)

    def fault(self, error: BaseException) -> None:
        """Count and log an exception nobody expected: where it came from, not what it says."""
        self._faults.inc()
        _faults.error("unexpected exception", extra=log.fields(error=type(error).__name__, stack=log.stack(error)))

    def jwks_refreshed(self, issuer: str, result: str) -> None:
        """Count one fetch of a JWK Set; `result` is `success` or `failure`."""
        self._jwks_refreshes.labels(issuer, result).inc()

    def unsafe(self, switches: Mapping[str, bool]) -> None:
        """Show which dangerous switches are on."""
        for switch, on in switches.items():
            self._unsafe.labels(switch).set(on)

    def transport(self, name: str) -> None:
        """Show what drives gRPC."""
        self._transport.clear()
        self._transport.labels(name).set(1)

    def scrape(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Ask `collect` whenever somebody looks at the metrics."""
        self.registry.register(_Scraped(collect))


class _Scraped(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    @override
    def collect(self) -> Iterable[Metric]:
        return self._collect()


def short_hash(value: str) -> str:
    """What stands in logs for a value that identifies a key or a proof."""
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:_SHORT_HASH]


def _logged(decision_log: DecisionLog) -> frozenset[Outcome]:
    match decision_log:
        case DecisionLog.NONE:
            return frozenset()
        case DecisionLog.DENIALS:
            return _REFUSALS
        case DecisionLog.ALL:
            return frozenset(Outcome)


def _log(request: Request | None, answer: Answer, seconds: float) -> None:
    said = {name: answer.metadata[name] for name in _LOGGED_METADATA if name in answer.metadata}
    if (jkt := answer.metadata.get("jkt")) is not None:
        said["jkt_hash"] = short_hash(jkt)
    if request is not None:
        said |= {"id": request.id, "method": request.method, "host": request.authority}
        said["path"] = request.target.partition("?")[0]
    _decisions.info(
        "decision",
        extra=log.fields(
            outcome=answer.outcome.value,
            reason=answer.reason.value,
            policy=answer.policy,
            rule=answer.rule,
            mode=answer.mode.value,
            audited=answer.audited,
            milliseconds=round(seconds * 1000, 3),
            **{name: _clipped(value) for name, value in said.items()},
        ),
    )


def _clipped(text: str) -> str:
    return text if len(text) <= LOGGED_LENGTH else f"{text[:LOGGED_LENGTH]}…"
