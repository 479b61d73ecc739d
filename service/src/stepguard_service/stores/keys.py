"""The keys of the issuers in force: which an issuer has, how old they are, and when to fetch again. No I/O in here.

One `KeySource` is fetched once however many issuers name it. What is fetched stays for 24 h after the last success,
whatever happens to its server; what another source's server does never matters. `now` is seconds of a clock that only
grows, such as time.monotonic().
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from stepguard_service.core.keys import KeySet
from stepguard_service.core.model import Discovery, InlineKeys, Issuer, JwksUri, Rejected
from stepguard_service.core.slow import KeysLooked, Unavailable, Waited
from stepguard_service.limits import (
    KEYS_KEPT_WITHOUT_REFRESH,
    KEYS_RETRY_WITH_STALE,
    KEYS_RETRY_WITHOUT,
    KEYS_SHORTEST_REFRESH,
    UNKNOWN_KID_INTERVAL,
)

_JITTER = 0.1
"""Share of a refresh interval by which replicas drift apart, always to the early side."""

Parse = Callable[[bytes], KeySet | Rejected]
"""A JWK Set document (RFC 7517 §5) → its usable keys."""


class SourceKind(StrEnum):
    """How the JWK Set of a source is found."""

    URI = "uri"
    DISCOVERY = "discovery"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where keys are fetched. `url` is the JWK Set's, or the issuer identifier where it has to be discovered."""

    kind: SourceKind
    url: str
    ca_bundle: str


class FetchedKeys:
    """The keys of one source over time. One thread changes it; `keys` may be read by any."""

    __slots__ = (
        "_failures",
        "_hurried",
        "_success",
        "due",
        "error",
        "fetching",
        "hurrying",
        "interval",
        "keys",
        "source",
    )

    def __init__(self, source: KeySource, interval: int, now: float) -> None:
        self.source = source
        self.interval = interval
        """Seconds between refreshes: the smallest that an issuer of this source asks for."""
        self.keys: KeySet | None = None
        self.due = now
        """When to fetch next."""
        self.error = ""
        """Why the last fetch failed; empty after a success."""
        self._success: float | None = None
        self._failures = 0
        self._hurried = -math.inf
        self.hurrying = False
        """A fetch for unknown ids is asked for or under way."""
        self.fetching = False

    @property
    def tried(self) -> bool:
        """Whether a first fetch has ended, well or badly."""
        return self._success is not None or self._failures > 0

    def age(self, now: float) -> float | None:
        """Seconds since the last successful fetch, None where there was none."""
        return None if self._success is None else now - self._success

    def answer(self, kid: str | None, now: float) -> Waited | None:
        """What a request hears that needs keys at all (`kid` None) or this one; None: it waits for a fetch.

        Unknown ids cause one fetch, for all who wait, if the last that one caused began 30 s ago or more; in between,
        the keys that are there are all there is. May be asked by any thread.
        """
        if self.keys is None:
            return Unavailable(self.error) if self.tried and not self.fetching else None
        if kid is None or self._has(kid):
            return KeysLooked()
        waits = self.hurrying or now - self._hurried >= UNKNOWN_KID_INTERVAL
        return None if waits else KeysLooked()

    def hurry(self, now: float) -> None:
        """An unknown `kid` causes a fetch, from now on."""
        self._hurried = now
        self.hurrying = True

    def _has(self, kid: str) -> bool:
        return self.keys is not None and any(key.kid == kid for key in self.keys.keys)

    def succeeded(self, keys: KeySet, now: float, *, fresh_for: int | None, spread: float) -> None:
        """A fetch brought `keys`. `fresh_for`: what its Cache-Control said, in seconds. `spread`: random in [0, 1).

        Cache-Control can only shorten the interval, and not below a minute.
        """
        if self.keys is None or self.keys.version != keys.version:
            self.keys = keys
        self._success, self._failures, self.error = now, 0, ""
        wanted = self.interval if fresh_for is None else max(fresh_for, KEYS_SHORTEST_REFRESH)
        self.due = now + min(self.interval, wanted) * (1 - _JITTER * spread)

    def failed(self, error: str, now: float, *, spread: float) -> None:
        """A fetch brought nothing: the keys that are there stay until they are too old, and it is tried again soon."""
        self._failures += 1
        self.error = error
        self.expire(now)
        longest = KEYS_RETRY_WITHOUT if self.keys is None else KEYS_RETRY_WITH_STALE
        self.due = now + min(longest, 2 ** min(self._failures - 1, 10)) * (0.5 + 0.5 * spread)

    def expire(self, now: float) -> None:
        """Drop keys whose last successful fetch is too long ago."""
        if self._success is not None and now - self._success > KEYS_KEPT_WITHOUT_REFRESH:
            self.keys = None


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What a replica can say about the keys of one issuer, for reports, metrics and the debug socket."""

    name: str
    key_ids: tuple[str, ...]
    """The `kid` of each usable key, its thumbprint where it has none."""
    age: float | None
    """Seconds since the last successful fetch; None: never, or inline keys, which do not age."""
    error: str
    problems: tuple[str, ...]
    """Which single keys were skipped and why."""


@dataclass(frozen=True, slots=True)
class _Inline:
    """Keys that the issuer's own document carries."""

    keys: KeySet | None
    error: str


_Held = FetchedKeys | _Inline


class KeyStore:
    """Keys by issuer. `lookup` is for the serving thread; the others may be called from any."""

    def __init__(self, parse: Parse) -> None:
        self.parse = parse
        self._lock = threading.Lock()
        self._issuers: Mapping[str, tuple[Issuer, _Held]] = {}

    def lookup(self, issuer: Issuer) -> KeySet | None:
        """The keys of an issuer in force; None where none were fetched yet, or the issuer is not in force any more."""
        found = self._issuers.get(issuer.hash)
        return found[1].keys if found else None

    def in_force(self, issuer: Issuer) -> bool:
        """Whether this very version of the issuer was admitted and not forgotten since."""
        return issuer.hash in self._issuers

    def names_of(self, source: FetchedKeys) -> tuple[str, ...]:
        """The issuers in force whose keys these are."""
        return tuple(issuer.name for issuer, held in self._issuers.values() if held is source)

    def source_of(self, issuer: Issuer) -> FetchedKeys | None:
        """The fetched keys of an issuer in force; None for inline keys and issuers that are not in force."""
        found = self._issuers.get(issuer.hash)
        return found[1] if found and isinstance(found[1], FetchedKeys) else None

    def admit(self, issuers: Iterable[Issuer], now: float) -> None:
        """Know these issuers too, before the rules that name them are in force."""
        with self._lock:
            known = dict(self._issuers)
            sources = {held.source: held for _, held in known.values() if isinstance(held, FetchedKeys)}
            for issuer in issuers:
                if issuer.hash not in known:
                    known[issuer.hash] = issuer, self._hold(issuer, sources, now)
            self._issuers = known
            self._shorten_intervals()

    def retain(self, issuers: Iterable[Issuer]) -> None:
        """Forget every other issuer at once, after rules that do not name it came into force."""
        keep = {issuer.hash for issuer in issuers}
        with self._lock:
            self._issuers = {key: held for key, held in self._issuers.items() if key in keep}
            self._shorten_intervals()

    def sources(self) -> tuple[FetchedKeys, ...]:
        """Everything that has to be fetched, each source once."""
        held = {id(held): held for _, held in self._issuers.values() if isinstance(held, FetchedKeys)}
        return tuple(held.values())

    def states(self, now: float) -> tuple[IssuerKeys, ...]:
        """Every issuer in force, by name."""
        return tuple(
            sorted((_state(issuer, held, now) for issuer, held in self._issuers.values()), key=lambda state: state.name)
        )

    def _hold(self, issuer: Issuer, sources: dict[KeySource, FetchedKeys], now: float) -> _Held:
        if isinstance(issuer.keys, InlineKeys):
            parsed = self.parse(issuer.keys.document.encode())
            return _Inline(None, parsed.detail) if isinstance(parsed, Rejected) else _Inline(parsed, "")
        source = _source(issuer, issuer.keys)
        return sources.setdefault(source, FetchedKeys(source, issuer.keys.refresh_interval, now))

    def _shorten_intervals(self) -> None:
        """A source that several issuers share follows the most impatient of them."""
        intervals: dict[int, int] = {}
        for issuer, held in self._issuers.values():
            if isinstance(issuer.keys, JwksUri | Discovery) and isinstance(held, FetchedKeys):
                wanted = issuer.keys.refresh_interval
                intervals[id(held)] = held.interval = min(wanted, intervals.get(id(held), wanted))


def _source(issuer: Issuer, keys: JwksUri | Discovery) -> KeySource:
    match keys:
        case JwksUri(uri):
            return KeySource(SourceKind.URI, uri, issuer.ca_bundle)
        case Discovery():
            return KeySource(SourceKind.DISCOVERY, issuer.issuer, issuer.ca_bundle)


def _state(issuer: Issuer, held: _Held, now: float) -> IssuerKeys:
    keys = held.keys
    return IssuerKeys(
        name=issuer.name,
        key_ids=tuple(key.kid or key.thumbprint for key in keys.keys) if keys else (),
        age=held.age(now) if isinstance(held, FetchedKeys) else None,
        error=held.error,
        problems=keys.problems if keys else (),
    )
