"""What replicas of the service say about themselves, and who counts as one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from stepguard.policy.v1 import policy_pb2 as pb

SILENT_SECONDS: Final = 30.0
"""Reports come every 10 s: three in a row are missing."""
FORGOTTEN_SECONDS: Final = 300.0
"""Where no EndpointSlices say which pods there are."""
AFTERWARDS: Final = 0.01
"""Limits are inclusive: a moment later they are over."""
NAME_LENGTH: Final = 253
TEXT_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class IssuerThere:
    """One TokenIssuer on one replica. `last_success` in Unix seconds; None: its keys were never fetched."""

    keys: int
    last_success: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The last snapshot that a replica did not put in force."""

    hash: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReport:
    """A Report after everything in it was bounded.

    `in_force` is the hash of a snapshot, empty for none. `policies` maps the names of policies to their compiled
    hashes, `errors` to why some of their rules are Denied there.
    """

    name: str
    boot_id: str
    in_force: str = ""
    version: tuple[int, int] = (0, 0)
    refused: Refused | None = None
    policies: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    issuers: Mapping[str, IssuerThere] = field(default_factory=dict)
    shared_replay_store: bool = False
    nonce_key_ids: tuple[str, ...] = ()


def parse_report(message: pb.Report) -> ReplicaReport | str:
    """The report, or why it cannot be one."""
    if not 0 < len(message.replica) <= NAME_LENGTH or not message.replica.isprintable():
        return f"replica: a name of 1 to {NAME_LENGTH} printable characters is needed"
    if not 0 < len(message.boot_id) <= NAME_LENGTH or not message.boot_id.isprintable():
        return f"boot_id: 1 to {NAME_LENGTH} printable characters are needed"
    rejected = message.rejected
    return ReplicaReport(
        name=message.replica,
        boot_id=message.boot_id,
        in_force=message.in_force.hash,
        version=(message.in_force.version.epoch, message.in_force.version.sequence),
        refused=Refused(rejected.hash, _text(rejected.reason)) if message.HasField("rejected") else None,
        policies={it.name: it.hash for it in message.policies},
        errors={it.name: _text(it.error) for it in message.policies if it.error},
        issuers={it.name: IssuerThere(it.keys, it.last_success or None, _text(it.error)) for it in message.issuers},
        shared_replay_store=message.replay_store.shared,
        nonce_key_ids=tuple(message.nonce_key_ids),
    )


def _text(value: str) -> str:
    """One printable line, for a condition's message."""
    return "".join(character if character.isprintable() else " " for character in value[:TEXT_LENGTH])


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica that reported. `stream` is the number of its open stream, None while it has none."""

    report: ReplicaReport
    heard: float
    stream: int | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """The replicas that count at one moment, by name.

    `heard` have reported within SILENT_SECONDS, `silent` have not. `awaited` are ready pods that never reported and
    have had less than SILENT_SECONDS for it. `settled`: whoever was there before this operator took over had time to
    come back, so who is not here is not there.
    """

    heard: Mapping[str, ReplicaReport] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    settled: bool = True
    shape: tuple[object, ...] = field(init=False, compare=False)
    """All that is not about a single policy or issuer."""

    def __post_init__(self) -> None:
        """Work out `shape`."""
        each = [
            (name, report.refused, report.shared_replay_store, report.nonce_key_ids)
            for name, report in self.heard.items()
        ]
        object.__setattr__(self, "shape", (tuple(each), self.silent, self.awaited, self.settled))

    @property
    def desired(self) -> int:
        """How many there should be."""
        return len(self.heard) + len(self.silent) + len(self.awaited)

    def about(self, name: str) -> tuple[object, ...]:
        """All that replicas say about one policy or issuer."""
        return tuple(
            (report.policies.get(name), report.errors.get(name), report.issuers.get(name))
            for report in self.heard.values()
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """What a report meant: whether it says anything new, and the stream that this one replaces."""

    news: bool
    replaced: int | None


class Replicas:
    """Everybody who reported and is not forgotten. Times are seconds of one monotonic clock."""

    def __init__(self, since: float) -> None:
        """`since`: when this operator took over."""
        self._since = since
        self._replicas: dict[str, Replica] = {}
        self._ready: dict[str, float] | None = None

    def took_over(self, now: float) -> None:
        """This operator became the active one: everybody has to find it first."""
        self._since = now
        if self._ready is not None:
            self._ready = dict.fromkeys(self._ready, now)

    def heard(self, report: ReplicaReport, *, stream: int, now: float) -> Heard:
        """Take a report."""
        before = self._replicas.get(report.name)
        self._replicas[report.name] = Replica(report, now, stream)
        if before is None:
            return Heard(news=True, replaced=None)
        news = before.report != report or now - before.heard > SILENT_SECONDS
        return Heard(news=news, replaced=None if before.stream == stream else before.stream)

    def left(self, name: str, *, stream: int) -> None:
        """A stream has ended; nothing happens where another one replaced it."""
        replica = self._replicas.get(name)
        if replica is not None and replica.stream == stream:
            self._replicas[name] = replace(replica, stream=None)

    def ready(self, pods: frozenset[str] | None, now: float) -> None:
        """The pods that EndpointSlices call ready; None: nobody told us of any."""
        before = self._ready or {}
        self._ready = None if pods is None else {name: before.get(name, now) for name in pods}

    def fleet(self, now: float) -> Fleet:
        """Who counts now; the others are forgotten."""
        self._replicas = {name: it for name, it in self._replicas.items() if self._counts(it, now)}
        heard = {name: it.report for name, it in sorted(self._replicas.items()) if now - it.heard <= SILENT_SECONDS}
        missing = {name: since for name, since in (self._ready or {}).items() if name not in self._replicas}
        awaited = sorted(name for name, since in missing.items() if now - since <= SILENT_SECONDS)
        silent = sorted((self._replicas.keys() | missing.keys()) - heard.keys() - set(awaited))
        return Fleet(heard, tuple(silent), tuple(awaited), settled=now - self._since > SILENT_SECONDS)

    def next_change(self, now: float) -> float | None:
        """When `fleet` says something else although nothing is heard; None: never."""
        since = [*(it.heard for it in self._replicas.values()), *(self._ready or {}).values(), self._since]
        times = [at + wait for at in since for wait in (SILENT_SECONDS, FORGOTTEN_SECONDS)]
        return min((at + AFTERWARDS for at in times if at + AFTERWARDS > now), default=None)

    def _counts(self, replica: Replica, now: float) -> bool:
        heard_lately = now - replica.heard <= SILENT_SECONDS
        if replica.stream is not None and heard_lately:
            return True
        if self._ready is None:
            return now - replica.heard <= FORGOTTEN_SECONDS
        return replica.report.name in self._ready
