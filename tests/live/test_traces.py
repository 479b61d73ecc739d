"""Traces, as a collector receives them over OTLP."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from tests.support.authorization_server import AuthorizationServer
from tests.support.bank import Bank
from tests.support.checks import Caller, check_request
from tests.support.clock import clock_now
from tests.support.http_server import HttpServer, Reply
from tests.support.live_policies import bearer, introspecting, signed
from tests.support.processes import wait_until
from tests.support.tokens import Signer
from tests.support.whole import whole

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"

SIGNER = Signer()

Span = dict[str, Any]


class Collector:
    """Takes spans like an OpenTelemetry collector, in JSON."""

    def __init__(self) -> None:
        self.http = HttpServer(lambda _: Reply(200, b"{}", {"content-type": "application/json"}))

    @property
    def spans(self) -> list[Span]:
        """All that arrived."""
        return [
            span
            for request in self.http.received
            for resource in json.loads(request.body)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def named(self, name: str) -> list[Span]:
        """Those of this name."""
        return [span for span in self.spans if span["name"] == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A running collector."""
    collector = Collector()
    with collector.http:
        yield collector


@pytest.fixture
def server() -> Iterator[AuthorizationServer]:
    """An authorization server that knows one opaque token."""
    with AuthorizationServer(SIGNER) as running:
        running.active["opaque"] = {"sub": "alice"}
        yield running


@pytest.fixture
def bank(tmp_path: Path, server: AuthorizationServer) -> Bank:
    """Policies that trust it."""
    bank = Bank(tmp_path / "policies")
    bank.write("issuer.yaml", introspecting(server))
    return bank


@pytest.fixture
def caller(bank: Bank, collector: Collector, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    """A service that sends its traces to the collector, as soon as there are any."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with whole(bank, "--otlp-endpoint", collector.http.url, "--secrets-dir", str(secrets)) as running:
        yield running.caller


def attributes(span: Span) -> dict[str, str]:
    return {one["key"]: one["value"].get("stringValue", "") for one in span["attributes"]}


def spans(collector: Collector, *names: str) -> list[Span]:
    """The spans of these names, one each, once all have arrived."""
    wait_until(lambda: all(collector.named(name) for name in names), f"spans {names}", timeout=30)
    return [collector.named(name)[0] for name in names]


def in_trace(path: str, **headers: str) -> bytes:
    return check_request("GET", path, headers={"traceparent": TRACEPARENT, **headers})


def test_a_check_is_a_span_in_the_trace_of_its_request(caller: Caller, collector: Collector) -> None:
    caller.check(in_trace("/accounts/7?secret=x", authorization="Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2VjcmV0"))
    (check,) = spans(collector, "check")
    assert (check["traceId"], check["parentSpanId"]) == (TRACE, PARENT)
    told = attributes(check)
    assert (told["http.request.method"], told["url.path"]) == ("GET", "/accounts/7")
    assert (told["stepguard.outcome"], told["stepguard.reason"]) == ("challenge", "token_claim_missing")
    assert told["stepguard.policy"] == "bank/payments"


def test_what_a_check_waits_for_is_its_child(
    caller: Caller, collector: Collector, server: AuthorizationServer, bank: Bank
) -> None:
    proof = bank.client.proof("GET", "https://api.example.com/accounts", now=clock_now(), token="opaque")
    server.active["opaque"] = {"sub": "alice", "cnf": {"jkt": bank.client.jkt}}
    assert caller.check(in_trace("/accounts", authorization="DPoP opaque", dpop=proof)).allowed
    check, introspection, claim = spans(collector, "check", "introspection", "claim")
    assert introspection["parentSpanId"] == claim["parentSpanId"] == check["spanId"]
    assert {introspection["traceId"], claim["traceId"]} == {TRACE}
    assert attributes(claim)["stepguard.claimed"] == "claimed"


def test_a_fetch_of_keys_is_a_trace_of_its_own(
    caller: Caller, collector: Collector, server: AuthorizationServer
) -> None:
    (fetch,) = spans(collector, "fetch keys")
    assert not fetch.get("parentSpanId")
    assert attributes(fetch)["url.full"] == server.jwks_uri


def test_nothing_secret_is_in_a_trace(caller: Caller, collector: Collector, server: AuthorizationServer) -> None:
    caller.check(signed(server, SIGNER))
    caller.check(bearer("opaque"))
    spans(collector, "check", "introspection", "fetch keys")
    everything = json.dumps(collector.spans)
    assert not any(secret in everything for secret in ("opaque", "eyJ", "Bearer", "made-up secret"))


@pytest.mark.parametrize("traceparent", ["", "x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "00-" + "f" * 5000])
def test_a_traceparent_that_is_none_begins_a_new_trace(caller: Caller, collector: Collector, traceparent: str) -> None:
    caller.check(check_request("GET", "/accounts", headers={"traceparent": traceparent}))
    (check,) = spans(collector, "check")
    assert not check.get("parentSpanId")


def test_a_request_that_is_not_sampled_leaves_no_span(caller: Caller, collector: Collector) -> None:
    caller.check(check_request("GET", "/accounts", headers={"traceparent": TRACEPARENT[:-2] + "00"}))
    caller.check(in_trace("/accounts"))
    spans(collector, "check")
    assert len(collector.named("check")) == 1


def test_a_collector_that_is_away_changes_nothing(bank: Bank, secrets: Path) -> None:
    nowhere = ("--otlp-endpoint", "http://127.0.0.1:9", "--secrets-dir", str(secrets))
    with whole(bank, *nowhere) as running:
        assert running.caller.check(bearer("opaque")).allowed


def test_without_the_flag_nothing_of_it_is_loaded() -> None:
    """So nothing of it can cost anything."""
    program = "import sys, stepguard_service.wiring; sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    assert run([sys.executable, "-c", program], check=False).returncode == 0
