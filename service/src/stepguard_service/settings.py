"""The settings of `stepguard-service`, checked all at once: what comes out of here needs no second look."""

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from stepguard_service.flags import Address, Flag, Reader, collect, usage
from stepguard_service.proof.certificate import CertificateSource
from stepguard_service.stores.redis_address import RedisAddress, parse_redis_url

MEMORY: Final = "memory:"
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


class OnOutage(StrEnum):
    """What a proof gets while the replay store does not answer."""

    DENY = "deny"
    UNSAFE_ALLOW = "unsafe-allow"


class UnmatchedHosts(StrEnum):
    """What a request gets whose host no policy names."""

    DENY = "deny"
    UNSAFE_ALLOW = "unsafe-allow"


class TransportKind(StrEnum):
    """What drives gRPC."""

    FAST = "fast"
    AIO = "aio"


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class DecisionLog(StrEnum):
    """Which decisions are logged, one line each."""

    NONE = "none"
    DENIALS = "denials"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Push mode: which operators to subscribe to (host:port), and who we are to them."""

    addresses: tuple[str, ...]
    ca: Path | None
    server_name: str
    token_file: Path | None
    client_cert: Path | None
    client_key: Path | None


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Which replay store: `redis`, or the memory store with `capacity`. `timeout` in seconds."""

    redis: RedisAddress | None
    password_file: Path | None
    ca: Path | None
    prefix: str
    capacity: int
    timeout: float
    on_outage: OnOutage


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS on the ext_authz port; `client_ca` makes it mutual."""

    cert: Path
    key: Path
    client_ca: Path | None


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is written to standard error."""

    format: LogFormat
    level: LogLevel
    decisions: DecisionLog


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a service is told at start. `source` is a folder of policies, or the operators that push them."""

    listen: Address
    admin: Address
    debug_socket: Path | None
    source: Path | OperatorSettings
    node_name: str
    state_dir: Path | None
    replay: ReplaySettings
    secrets_dir: Path | None
    nonce_keys: Path | None
    unmatched_hosts: UnmatchedHosts
    client_certificate: CertificateSource
    tls: TlsSettings | None
    drain_seconds: int
    transport: TransportKind
    log: LogSettings
    otlp_endpoint: str
    metrics_rule_label: bool

    @property
    def unsafe_switches(self) -> Mapping[str, bool]:
        """Every dangerous switch, and whether it is on."""
        return {
            "replay-on-outage": self.replay.on_outage is OnOutage.UNSAFE_ALLOW,
            "unmatched-hosts": self.unmatched_hosts is UnmatchedHosts.UNSAFE_ALLOW,
        }


FLAGS = (
    Flag("listen", "ADDR", "Where Envoy asks: ext_authz and grpc.health.v1.", "0.0.0.0:9191"),
    Flag("admin", "ADDR", "HTTP for /metrics, /healthz and /readyz.", "0.0.0.0:9192"),
    Flag("debug-socket", "PATH", "Unix socket that shows what is in force; read it with `stepguard snapshot`."),
    Flag("policies", "DIR", "File mode: the folder of policies, every *.yaml in it; reloaded on change."),
    Flag("operator", "ADDR[,ADDR…]", "Push mode: subscribe to the active one of these operators (host:port)."),
    Flag("operator-ca", "FILE", "PEM of the CAs that may sign the operator's certificate; else the system's."),
    Flag("operator-server-name", "NAME", "Name in the operator's certificate, where it is not that of the address."),
    Flag("operator-token-file", "FILE", "ServiceAccount token that tells the operator who we are; read again."),
    Flag("operator-client-cert", "FILE", "Certificate that tells the operator who we are."),
    Flag("operator-client-key", "FILE", "Its private key."),
    Flag("node-name", "NAME", "What the operator calls this replica; default: the host name."),
    Flag("state-dir", "DIR", "Keeps the last pushed snapshot for restarts."),
    Flag("replay-store", "URL", "memory:, or redis://, rediss://, valkey:// or unix:// for several replicas.", MEMORY),
    Flag("replay-password-file", "FILE", "Password of the replay store."),
    Flag("replay-ca", "FILE", "PEM of the CAs that may sign the replay store's certificate."),
    Flag("replay-prefix", "TEXT", "Keeps installations that share a store apart.", "stepguard"),
    Flag("replay-capacity", "N", "Entries that the memory store holds.", "500000"),
    Flag("replay-timeout", "DURATION", "How long a round trip to the store may take.", "50ms"),
    Flag("replay-on-outage", "deny|unsafe-allow", "What a proof gets while the store does not answer.", "deny"),
    Flag("secrets-dir", "DIR", "Where clientSecretRef is read from: NAME/KEY in this folder."),
    Flag("nonce-keys", "FILE", "One base64url key a line: the first signs nonces, all verify. Read again on change."),
    Flag("unmatched-hosts", "deny|unsafe-allow", "What a host gets that no policy names.", "deny"),
    Flag("client-certificate", "SOURCE", "none, peer, xfcc-first or xfcc-last, for certificate-bound tokens.", "peer"),
    Flag("tls-cert", "FILE", "Certificate of the ext_authz port; read again on rotation."),
    Flag("tls-key", "FILE", "Its private key."),
    Flag("tls-client-ca", "FILE", "PEM of the CAs that may sign the certificates of clients, which then need one."),
    Flag("drain-seconds", "N", "How long to go on answering after SIGTERM.", "5"),
    Flag("transport", "fast|aio", "What drives gRPC.", "fast"),
    Flag("log-format", "json|text", "How a log line looks.", "json"),
    Flag("log-level", "LEVEL", "debug, info, warning or error.", "info"),
    Flag("decision-log", "none|denials|all", "Which decisions are logged.", "denials"),
    Flag("otlp-endpoint", "URL", "Where traces go (OTLP over HTTP)."),
    Flag("metrics-rule-label", "", "Count decisions by rule too."),
)


def help_text() -> str:
    """What `--help` prints."""
    return usage(
        FLAGS,
        program="stepguard-service",
        purpose="Answers Envoy's ext_authz by policy: access tokens, DPoP proofs, step-up authentication.",
    )


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings | tuple[str, ...]:
    """The settings, or a line for everything that is wrong with them. Flags win over the environment."""
    values, problems = collect(FLAGS, arguments, environment)
    reader = Reader(values)
    settings = _read(reader)
    problems += reader.problems
    return tuple(problems) if problems else settings


def _read(reader: Reader) -> Settings:
    return Settings(
        listen=reader.address("listen"),
        admin=reader.address("admin"),
        debug_socket=Path(reader.text("debug-socket")) if reader.text("debug-socket") else None,
        source=_source(reader),
        node_name=reader.text("node-name") or socket.gethostname(),
        state_dir=reader.folder("state-dir"),
        replay=_replay(reader),
        secrets_dir=reader.folder("secrets-dir"),
        nonce_keys=reader.file("nonce-keys"),
        unmatched_hosts=reader.choice("unmatched-hosts", UnmatchedHosts),
        client_certificate=reader.choice("client-certificate", CertificateSource),
        tls=_tls(reader),
        drain_seconds=reader.number("drain-seconds", range(3601)),
        transport=reader.choice("transport", TransportKind),
        log=LogSettings(
            format=reader.choice("log-format", LogFormat),
            level=reader.choice("log-level", LogLevel),
            decisions=reader.choice("decision-log", DecisionLog),
        ),
        otlp_endpoint=reader.url("otlp-endpoint", ("http", "https")),
        metrics_rule_label=reader.switch("metrics-rule-label"),
    )


def _source(reader: Reader) -> Path | OperatorSettings:
    folder = reader.folder("policies")
    addresses = tuple(filter(None, reader.text("operator").split(",")))
    if (folder is None) == (not addresses):
        reader.problem("policies", "give either --policies DIR or --operator ADDR, one of them")
    reader.only_with(
        "operator",
        "operator-ca",
        "operator-server-name",
        "operator-token-file",
        "operator-client-cert",
        "operator-client-key",
        "state-dir",
    )
    reader.together("operator-client-cert", "operator-client-key")
    operator = OperatorSettings(
        addresses=addresses,
        ca=reader.file("operator-ca"),
        server_name=reader.text("operator-server-name"),
        token_file=reader.file("operator-token-file"),
        client_cert=reader.file("operator-client-cert"),
        client_key=reader.file("operator-client-key"),
    )
    return folder or operator


def _replay(reader: Reader) -> ReplaySettings:
    redis = None if reader.text("replay-store") == MEMORY else parse_redis_url(reader.text("replay-store"))
    if isinstance(redis, str):
        reader.problem("replay-store", f"neither {MEMORY} nor a server's URL: {redis}")
        redis = None
    elif redis is None:
        for name in ("replay-password-file", "replay-ca"):
            if reader.text(name):
                reader.problem(name, f"means nothing with --replay-store {MEMORY}")
    elif reader.text("replay-ca") and not redis.tls:
        reader.problem("replay-ca", "means nothing without TLS: --replay-store rediss://…")
    prefix = reader.text("replay-prefix")
    if not _PREFIX.fullmatch(prefix):
        reader.problem("replay-prefix", f"{prefix!r} is not 1 to 64 letters, digits, '.', '_', ':' or '-'")
    return ReplaySettings(
        redis=redis,
        password_file=reader.file("replay-password-file"),
        ca=reader.file("replay-ca"),
        prefix=prefix,
        capacity=reader.number("replay-capacity", range(1, 100_000_001)),
        timeout=reader.duration("replay-timeout", most=10),
        on_outage=reader.choice("replay-on-outage", OnOutage),
    )


def _tls(reader: Reader) -> TlsSettings | None:
    reader.only_with("tls-cert", "tls-client-ca")
    together = reader.together("tls-cert", "tls-key")
    cert, key, client_ca = reader.file("tls-cert"), reader.file("tls-key"), reader.file("tls-client-ca")
    if not together or cert is None or key is None:
        return None
    return TlsSettings(cert=cert, key=key, client_ca=client_ca)
