"""What `stepguard-operator` is told at start; all mistakes are found at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from stepguard_operator.flags import Address, Flag, Given, usage

NO_LEASE: Final = "none"
_NAME: Final = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_NAMESPACED: Final = re.compile(rf"[a-z0-9]([-a-z0-9]{{0,61}}[a-z0-9])?/{_NAME}")


class SubscriberAuth(StrEnum):
    """How replicas prove who they are."""

    TOKEN = "token"  # noqa: S105  (a word of a flag)
    MTLS = "mtls"
    UNSAFE_NONE = "unsafe-none"


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


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Files of the stream's certificate; `client_ca` makes a client certificate a must."""

    cert: Path
    key: Path
    client_ca: Path | None


@dataclass(frozen=True, slots=True)
class SubscriberSettings:
    """Who may subscribe. `accounts` are namespace/name, `sans` names in client certificates."""

    auth: SubscriberAuth
    accounts: tuple[str, ...]
    sans: tuple[str, ...]
    audience: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. `namespace` empty: all; `lease_namespace` empty: our own; `tls` None: self-managed. `resync` in s."""

    namespace: str
    listen: Address
    admin: Address
    tls: TlsSettings | None
    subscribers: SubscriberSettings
    lease: bool
    lease_namespace: str
    service: tuple[str, str] | None
    host_grants: Path | None
    max_matches_per_namespace: int
    resync: int
    log_format: LogFormat
    log_level: LogLevel

    @property
    def self_managed(self) -> bool:
        """Whether the operator keeps certificates and nonce keys itself."""
        return self.tls is None

    @property
    def unsafe_switches(self) -> Mapping[str, bool]:
        """Every dangerous switch, and whether it is on."""
        return {"subscriber-auth": self.subscribers.auth is SubscriberAuth.UNSAFE_NONE}


FLAGS: Final = (
    Flag("namespace", "NS", "Where StepUpPolicies are watched; all namespaces where it is not given."),
    Flag("listen", "ADDR", "The policy stream, always TLS.", "0.0.0.0:9193"),
    Flag("admin", "ADDR", "HTTP for /metrics, /healthz and /readyz.", "0.0.0.0:9194"),
    Flag("tls-cert", "FILE", "Certificate of the policy stream; read again on rotation."),
    Flag("tls-key", "FILE", "Its private key."),
    Flag("tls-client-ca", "FILE", "PEM of the CAs that may sign the certificates of replicas, which then need one."),
    Flag("subscriber-auth", "token|mtls|unsafe-none", "How replicas prove who they are.", "token"),
    Flag("subscriber", "NS/SERVICEACCOUNT", "A ServiceAccount that may subscribe with a token.", repeatable=True),
    Flag("subscriber-san", "NAME", "A name in a client certificate that may subscribe with mtls.", repeatable=True),
    Flag("token-audience", "TEXT", "Audience that a subscriber's token must be for.", "stepguard"),
    Flag("lease", "none", "For a single operator outside a cluster: always active."),
    Flag("lease-namespace", "NS", "Where the Lease is; the pod's namespace, else the kubeconfig context's."),
    Flag("service", "NS/NAME", "The service whose EndpointSlices count as desired replicas."),
    Flag("host-grants", "FILE", "YAML list of {hosts, namespaces, allow}; read again on change."),
    Flag("self-managed", "", "Keep the certificate, its CA and the nonce keys in our own namespace, and rotate them."),
    Flag("max-matches-per-namespace", "N", "Beyond it the youngest policies of a namespace are refused.", "5000"),
    Flag("resync", "DURATION", "Between two complete lists of our own.", "120s"),
    Flag("log-format", "json|text", "How a log line looks.", "json"),
    Flag("log-level", "LEVEL", "debug, info, warning or error.", "info"),
)


def help_text() -> str:
    """What `--help` prints."""
    return usage(FLAGS, "Compiles StepUpPolicies and TokenIssuers, pushes them to the service, writes their status.")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings | tuple[str, ...]:
    """The settings, or a line for everything that is wrong with them. Flags win over the environment."""
    given = Given(FLAGS, arguments, environment)
    listen = given.address("listen")
    settings = Settings(
        namespace=given.text("namespace"),
        listen=listen,
        admin=given.address("admin"),
        tls=_tls(given),
        subscribers=_subscribers(given, listen),
        lease=_lease(given),
        lease_namespace=given.text("lease-namespace"),
        service=_service(given),
        host_grants=given.file("host-grants"),
        max_matches_per_namespace=given.number("max-matches-per-namespace", range(1, 1_000_001)),
        resync=given.seconds("resync", range(1, 86_401)),
        log_format=given.choice("log-format", LogFormat),
        log_level=given.choice("log-level", LogLevel),
    )
    return tuple(given.problems) or settings


def _tls(given: Given) -> TlsSettings | None:
    cert, key, client_ca = given.file("tls-cert"), given.file("tls-key"), given.file("tls-client-ca")
    if given.switch("self-managed"):
        for name in ("tls-cert", "tls-key", "tls-client-ca"):
            if given.text(name):
                given.problem(name, "means nothing with --self-managed")
        return None
    if cert is None or key is None:
        given.problem("tls-cert", "the policy stream is always TLS: give --tls-cert and --tls-key, or --self-managed")
        return None
    return TlsSettings(cert, key, client_ca)


def _subscribers(given: Given, listen: Address) -> SubscriberSettings:
    auth = given.choice("subscriber-auth", SubscriberAuth)
    accounts, sans = given.texts("subscriber"), given.texts("subscriber-san")
    for account in accounts:
        if not _NAMESPACED.fullmatch(account):
            given.problem("subscriber", f"{account!r} is not NS/SERVICEACCOUNT")
    match auth:
        case SubscriberAuth.TOKEN if not accounts:
            given.problem("subscriber", "nobody may subscribe: name the service's ServiceAccount, NS/SERVICEACCOUNT")
        case SubscriberAuth.MTLS if not sans or not given.text("tls-client-ca"):
            given.problem("subscriber-auth", "mtls needs --tls-client-ca and at least one --subscriber-san")
        case SubscriberAuth.UNSAFE_NONE if not listen.loopback:
            given.problem("subscriber-auth", f"unsafe-none only on a loopback address, not on --listen {listen}")
        case _:
            pass
    return SubscriberSettings(auth, accounts, sans, given.text("token-audience"))


def _lease(given: Given) -> bool:
    value = given.text("lease")
    if value not in {"", NO_LEASE}:
        given.problem("lease", f"{value!r}: the only value is {NO_LEASE}")
    if value == NO_LEASE and given.text("lease-namespace"):
        given.problem("lease-namespace", f"means nothing with --lease {NO_LEASE}")
    return value != NO_LEASE


def _service(given: Given) -> tuple[str, str] | None:
    value = given.text("service")
    if not value:
        return None
    if not _NAMESPACED.fullmatch(value):
        given.problem("service", f"{value!r} is not NS/NAME")
    namespace, _, name = value.partition("/")
    return namespace, name
