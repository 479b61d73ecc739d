"""The one place where the program is put together: what every part needs is handed to it here."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stepguard_service.authorize import Authorizer, Options
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.evidence import Verifiers
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.proof.nonce import NonceKeys, random_keys
from stepguard_service.settings import (
    OnOutage,
    OperatorSettings,
    ReplaySettings,
    Settings,
    TransportKind,
    UnmatchedHosts,
)
from stepguard_service.stores.keys import KeyStore
from stepguard_service.stores.redis_connection import Connector
from stepguard_service.stores.replay import ReplayStore
from stepguard_service.stores.replay_memory import MemoryReplayStore
from stepguard_service.stores.replay_redis import RedisReplayStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport import self_check
from stepguard_service.transport.aio import AioTransport
from stepguard_service.transport.gauges import Cache, Gauges
from stepguard_service.transport.handler import CheckHandler
from stepguard_service.transport.health import Health
from stepguard_service.transport.inspection import Inspection, LastReload
from stepguard_service.transport.key_fetch import fetch_keys
from stepguard_service.transport.nonce_file import NonceFile
from stepguard_service.transport.operator_channel import OperatorAccess
from stepguard_service.transport.policy_directory import PolicyDirectory
from stepguard_service.transport.policy_stream import PolicyStream
from stepguard_service.transport.report import Enforcement
from stepguard_service.transport.rules_loader import RulesLoader
from stepguard_service.transport.secret_files import SecretFiles
from stepguard_service.transport.server import SERVICE, Transport
from stepguard_service.transport.slow_work import SlowWork
from stepguard_service.transport.state_dir import StateDir
from stepguard_service.transport.telemetry import Telemetry

if TYPE_CHECKING:
    from stepguard_service.transport.traces import Traces

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where policies come from: a folder or the operator.

    `load` puts them in force before anything is served, or says in lines why that cannot be. `changed` hears that
    something about this replica has changed.
    """

    load: Callable[[], Sequence[str]]
    start: Callable[[], None]
    stop: Callable[[], None]
    changed: Callable[[], None]
    last_reload: Callable[[], LastReload | None]


@dataclass(frozen=True, slots=True)
class Program:
    """Every part of a service, connected and not yet started."""

    health: Health
    telemetry: Telemetry
    slow: SlowWork
    replay: ReplayStore
    nonces: NonceFile | None
    source: Source
    inspection: Inspection
    transport: Transport
    traces: "Traces | None"


def assemble(settings: Settings, *, lines_dropped: Callable[[], int]) -> Program:
    """Put a service together. Nothing is opened and no thread runs yet."""
    health = Health(SERVICE)
    telemetry = Telemetry(settings.log.decisions, rule_label=settings.metrics_rule_label)
    telemetry.unsafe(settings.unsafe_switches)
    rules, keys = RuleStore(), KeyStore(parse_jwk_set)

    def refreshed(issuer: str, result: str) -> None:
        telemetry.jwks_refreshed(issuer, result)
        source.changed()

    traces = _traces(settings)
    fetch = traces.fetch(fetch_keys) if traces else fetch_keys
    slow = SlowWork(keys, secrets=SecretFiles(settings.secrets_dir), count=refreshed, fetch=fetch)
    replay = _replay_store(settings.replay, telemetry)
    tokens = TokenVerifier(keys.lookup)

    def applied() -> None:
        tokens.retain(frozenset(issuer.hash for issuer in rules.current.issuers) if rules.current else frozenset())
        health.ready()

    loader = RulesLoader(rules, slow, on_applied=applied)
    nonce_file = NonceFile(settings.nonce_keys) if settings.nonce_keys else None
    nonces = _nonces(settings, nonce_file)
    verifiers = Verifiers(
        token=tokens.verify,
        nonces=nonces,
        introspected=slow.remembered,
        certificate_source=settings.client_certificate,
    )
    authorizer = Authorizer(rules, verifiers, options=_options(settings), in_batches=True)
    decides = traces.authorizer(authorizer) if traces else authorizer
    handler = CheckHandler(decides, replay, slow=slow, record=telemetry)

    def nonce_key_ids() -> tuple[str, ...]:
        current = nonces()
        return current.ids if current else ()

    enforcement = Enforcement(loader, replay, slow.states, nonce_key_ids)
    source = _source(settings, loader, enforcement, telemetry)
    caches: dict[str, Cache] = {
        "token": tokens.cache,
        "proof_header": verifiers.proof_headers,
        "introspection": slow.answers,
    }
    telemetry.scrape(Gauges(loader, slow.states, replay, caches, lines_dropped).collect)
    inspection = Inspection(
        rules=rules,
        loader=loader,
        keys=slow.states,
        replay=replay,
        nonce_key_ids=nonce_key_ids,
        last_reload=source.last_reload,
        unsafe=settings.unsafe_switches,
    )
    transport = _transport(settings.transport, handler, health, telemetry)
    telemetry.transport(transport.name)
    return Program(health, telemetry, slow, replay, nonce_file, source, inspection, transport, traces)


def _traces(settings: Settings) -> "Traces | None":
    """OpenTelemetry is imported only where it is asked for."""
    if not settings.otlp_endpoint:
        return None
    from stepguard_service.transport.traces import Traces

    return Traces(settings.otlp_endpoint, replica=settings.node_name)


def _options(settings: Settings) -> Options:
    return Options(
        allow_unmatched_hosts=settings.unmatched_hosts is UnmatchedHosts.UNSAFE_ALLOW,
        allow_on_replay_outage=settings.replay.on_outage is OnOutage.UNSAFE_ALLOW,
    )


def _replay_store(settings: ReplaySettings, telemetry: Telemetry) -> ReplayStore:
    if settings.redis is None:
        return MemoryReplayStore(settings.capacity)
    connector = Connector(settings.redis, password_file=settings.password_file, ca=settings.ca)
    return RedisReplayStore(
        connector, prefix=settings.prefix, timeout=settings.timeout, count_error=telemetry.replay_errors.inc
    )


def _nonces(settings: Settings, file: NonceFile | None) -> Callable[[], NonceKeys | None]:
    """Push mode has none of its own: replicas that made up their keys would not know each other's nonces."""
    if file is not None:
        return lambda: file.current
    own = random_keys() if isinstance(settings.source, Path) else None
    return lambda: own


def _source(settings: Settings, loader: RulesLoader, enforcement: Enforcement, telemetry: Telemetry) -> Source:
    match settings.source:
        case Path() as folder:
            return _folder(folder, loader)
        case OperatorSettings() as operators:
            return _operators(operators, settings, enforcement, telemetry)


def _folder(folder: Path, loader: RulesLoader) -> Source:
    directory = PolicyDirectory(folder, loader)
    return Source(
        load=directory.load,
        start=directory.start,
        stop=directory.stop,
        changed=lambda: None,
        last_reload=lambda: directory.last_reload,
    )


def _operators(
    operators: OperatorSettings, settings: Settings, enforcement: Enforcement, telemetry: Telemetry
) -> Source:
    access = OperatorAccess(
        addresses=operators.addresses,
        ca=operators.ca,
        server_name=operators.server_name,
        token_file=operators.token_file,
        client_cert=operators.client_cert,
        client_key=operators.client_key,
    )
    state = StateDir(settings.state_dir) if settings.state_dir else None
    stream = PolicyStream(access, enforcement, node_name=settings.node_name, state=state)
    telemetry.operator_connected.set_function(lambda: float(stream.connected))
    return Source(
        load=tuple, start=stream.start, stop=stream.stop, changed=stream.report_soon, last_reload=lambda: None
    )


def _transport(kind: TransportKind, handler: CheckHandler, health: Health, telemetry: Telemetry) -> Transport:
    if kind is TransportKind.FAST:
        problem = self_check.problem()
        if problem is None:
            from stepguard_service.transport.completion_queue import CompletionQueueTransport

            return CompletionQueueTransport(handler, health, telemetry.batch_size.observe)
        _log.warning("the fast transport does not work with this grpcio, using aio: %s", problem)
    return AioTransport(handler, health)
