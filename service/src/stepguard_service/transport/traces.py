"""Traces over OTLP, with `--otlp-endpoint` only: without it nothing in here is imported and nothing is wrapped.

A span for each Check, in the trace of the request that Envoy asks about (its `traceparent`), with a child for each
thing it waited for: keys, introspection, the replay store. Fetches of keys happen for nobody in particular and have
traces of their own. Attributes are what the decision log says too: the path without its query, never a token, proof or
nonce. Sampling and batching follow the environment variables of OpenTelemetry.
"""

import threading
from collections.abc import Mapping
from functools import partial
from typing import Final

from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stepguard_service.authorize import ClaimStep, SignatureStep, Step, WaitStep
from stepguard_service.core.model import Answer, Outcome, Request
from stepguard_service.core.slow import Need, NeedIntrospection, NeedKeys, Unavailable, Waited
from stepguard_service.stores.keys import KeySource, Parse
from stepguard_service.stores.replay import Claimed
from stepguard_service.transport.handler import Authorize
from stepguard_service.transport.http_fetch import FetchFailed, HttpClient
from stepguard_service.transport.key_fetch import FreshKeys
from stepguard_service.transport.slow_work import FetchKeys

_SIGNAL_PATH: Final = "/v1/traces"
_ATTRIBUTE_LENGTH: Final = 1024
_CLOSE_SECONDS: Final = 2.0
"""A collector that is away does not hold up the end of the service for longer."""

_propagator = TraceContextTextMapPropagator()


class Traces:
    """Where spans go. `open` starts to send them, `close` sends what is left."""

    def __init__(self, endpoint: str, *, replica: str) -> None:
        """`endpoint`: the collector's URL, with or without /v1/traces."""
        base = endpoint.rstrip("/")
        self._endpoint = base if base.endswith(_SIGNAL_PATH) else base + _SIGNAL_PATH
        resource = Resource.create({"service.name": "stepguard-service", "service.instance.id": replica})
        limits = SpanLimits(max_span_attribute_length=_ATTRIBUTE_LENGTH)
        self._provider = TracerProvider(resource=resource, span_limits=limits, shutdown_on_exit=False)
        self._tracer = self._provider.get_tracer("stepguard")

    def open(self) -> None:
        """Start to send, from a thread of its own."""
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(self._endpoint)))

    def close(self) -> None:
        """Send what is left, for 2 s at most."""
        last = threading.Thread(target=self._provider.shutdown, name="stepguard-traces", daemon=True)
        last.start()
        last.join(_CLOSE_SECONDS)

    def authorizer(self, authorizer: Authorize) -> Authorize:
        """The same decisions, with a span for each."""
        return _TracedAuthorizer(authorizer, self._tracer)

    def fetch(self, fetch: FetchKeys) -> FetchKeys:
        """The same fetches of keys, with a trace for each."""

        async def traced(client: HttpClient, source: KeySource, parse: Parse) -> FreshKeys | FetchFailed:
            told = {"url.full": source.url.partition("?")[0], "stepguard.source": source.kind.value}
            with self._tracer.start_as_current_span("fetch keys", kind=SpanKind.CLIENT, attributes=told) as span:
                outcome = await fetch(client, source, parse)
                if isinstance(outcome, FetchFailed):
                    span.set_status(StatusCode.ERROR, outcome.detail)
                return outcome

        return traced


class _TracedAuthorizer:
    def __init__(self, authorizer: Authorize, tracer: Tracer) -> None:
        self._authorizer = authorizer
        self._tracer = tracer

    def begin(self, request: Request, now: int) -> Step:
        """As Authorizer.begin."""
        check = self._tracer.start_span(
            "check",
            context=_propagator.extract(_trace_headers(request)),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "server.address": request.authority,
                "url.path": request.target.partition("?")[0],
            },
        )
        return self._follow(check, self._authorizer.begin(request, now))

    def _follow(self, check: Span, step: Step) -> Step:
        """Stay with a decision until its answer."""
        match step:
            case Answer():
                _end(check, step)
                return step
            case ClaimStep(claim):
                return ClaimStep(claim, partial(self._finish, check, self._child(check, "claim"), step))
            case SignatureStep(verify):
                return SignatureStep(verify, lambda: self._follow(check, step.resume()))
            case WaitStep(need):
                return WaitStep(need, partial(self._resume, check, self._child(check, _name(need)), step))

    def _finish(self, check: Span, child: Span, step: ClaimStep, claimed: Claimed) -> Answer:
        child.set_attribute("stepguard.claimed", claimed.value)
        child.end()
        answer = step.finish(claimed)
        _end(check, answer)
        return answer

    def _resume(self, check: Span, child: Span, step: WaitStep, waited: Waited, now: int) -> Step:
        if isinstance(waited, Unavailable):
            child.set_status(StatusCode.ERROR, waited.detail)
        child.end()
        return self._follow(check, step.resume(waited, now))

    def _child(self, check: Span, name: str) -> Span:
        return self._tracer.start_span(name, context=set_span_in_context(check), kind=SpanKind.CLIENT)


def _trace_headers(request: Request) -> Mapping[str, str]:
    return {name: request.headers[name] for name in ("traceparent", "tracestate") if name in request.headers}


def _name(need: Need) -> str:
    match need:
        case NeedKeys():
            return "wait for keys"
        case NeedIntrospection():
            return "introspection"


def _end(check: Span, answer: Answer) -> None:
    check.set_attributes(
        {
            "stepguard.policy": answer.policy,
            "stepguard.rule": answer.rule,
            "stepguard.mode": answer.mode.value,
            "stepguard.outcome": answer.outcome.value,
            "stepguard.reason": answer.reason.value,
        }
    )
    if answer.outcome is Outcome.UNAVAILABLE:
        check.set_status(StatusCode.ERROR, answer.reason.value)
    check.end()
