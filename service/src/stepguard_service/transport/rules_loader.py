"""Puts a PolicySnapshot in force, as a whole or not at all, and says what is.

Tables that did not change, under issuers that did not change, are used again. The others are decoded and indexed one by
one; between two steps every other thread gets its turn, so that no change holds up the serving loop.
"""

import contextlib
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from google.protobuf.unknown_fields import UnknownFieldSet
from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_service.core.matching import HostRules, RuleSetBuilder, index_in_steps
from stepguard_service.core.model import Issuer
from stepguard_service.stores.keys import IssuerKeys
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.issuers import decode_issuer
from stepguard_service.transport.pace import Pace
from stepguard_service.transport.schema import SCHEMA_VERSION, NotUnderstoodError, has_unknown
from stepguard_service.transport.snapshot import decode_table


class Keys(Protocol):
    """What holds the keys of issuers: `stores.keys.KeyStore`."""

    def admit(self, issuers: Iterable[Issuer], now: float) -> None:
        """Know these too, before rules name them."""

    def retain(self, issuers: Iterable[Issuer]) -> None:
        """Forget all others, after no rule names them."""

    def states(self, now: float) -> tuple[IssuerKeys, ...]:
        """What is known of each."""


_References = Mapping[str, str]
"""TokenIssuers that a table mentions, each with the hash of the one in force; empty: there is none."""


@dataclass(frozen=True, slots=True)
class _Built:
    """A host's rules with all that they were made of."""

    hash: str
    references: _References
    rules: HostRules
    problems: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force, beside the rules themselves. `since` in Unix seconds; `problems` by policy."""

    hash: str
    since: float
    policies: Mapping[str, str]
    problems: Mapping[str, str]


class RulesLoader:
    """`apply` belongs to one thread, everything else to any."""

    def __init__(self, rules: RuleStore, keys: Keys, *, on_applied: Callable[[], None]) -> None:
        """`on_applied` is called in the applying thread, after the rules came into force."""
        self._rules = rules
        self._keys = keys
        self._on_applied = on_applied
        self._built: dict[str, _Built] = {}
        self._issuers: Mapping[str, Issuer] = {}
        self.in_force: InForce | None = None

    def apply(self, snapshot: pb.PolicySnapshot) -> str | None:
        """Put it in force, or say in one line why it is refused; what is in force then stays."""
        with _collector_at_rest():
            refused = self._apply(snapshot)
        if refused is None:
            self._on_applied()
        return refused

    def _apply(self, snapshot: pb.PolicySnapshot) -> str | None:
        pace = Pace()
        try:
            _refuse_unknown(snapshot, pace)
            issuers = self._decode_issuers(snapshot.issuers)
            built = self._build(snapshot.host_tables, issuers, pace)
            rules = RuleSetBuilder()
            for one in pace.over(built.values()):
                rules.add(one.rules)
        except (NotUnderstoodError, ValueError) as error:
            return str(error)
        rule_set = rules.finish(
            content_hash=snapshot.hash, issuers=issuers.values(), identity_headers=snapshot.identity_headers
        )
        self._keys.admit(issuers.values(), time.monotonic())
        self._rules.current = rule_set
        self._keys.retain(issuers.values())
        replaced, self._built, self._issuers = self._built, built, issuers
        self.in_force = InForce(
            hash=snapshot.hash,
            since=time.time(),
            policies={policy.name: policy.hash for policy in pace.over(snapshot.policies)},
            problems={name: problem for one in pace.over(built.values()) for name, problem in one.problems.items()},
        )
        # One by one: to free 100 000 rules at once would hold the interpreter's lock for 50 ms.
        for pattern in pace.over(list(replaced)):
            del replaced[pattern]
        return None

    def _decode_issuers(self, messages: Sequence[pb.Issuer]) -> Mapping[str, Issuer]:
        issuers: dict[str, Issuer] = {}
        for message in messages:
            if message.name in issuers:
                raise NotUnderstoodError(f"two TokenIssuers are named {message.name}")
            known = self._issuers.get(message.name)
            issuers[message.name] = known if known and known.hash == message.hash else decode_issuer(message)
        return issuers

    def _build(
        self, entries: Sequence[pb.HostTableEntry], issuers: Mapping[str, Issuer], pace: Pace
    ) -> dict[str, _Built]:
        built: dict[str, _Built] = {}
        for entry in pace.over(entries):
            if entry.pattern in built:
                raise NotUnderstoodError(f"two host tables are for {entry.pattern}")
            known = self._built.get(entry.pattern)
            if known and known.hash == entry.hash and known.references == _hashes(known.references, issuers):
                built[entry.pattern] = known
            else:
                built[entry.pattern] = _build(entry, issuers, pace)
        return built


def _refuse_unknown(snapshot: pb.PolicySnapshot, pace: Pace) -> None:
    """Whole tables are left out: they are looked at one by one, and may be large."""
    if snapshot.min_schema_version > SCHEMA_VERSION:
        raise NotUnderstoodError(
            f"it needs schema version {snapshot.min_schema_version}, this replica has {SCHEMA_VERSION}: upgrade it"
        )
    parts = pace.over(chain((snapshot.version,), snapshot.issuers, snapshot.policies))
    entries = pace.over(chain((snapshot,), snapshot.host_tables))
    if any(len(UnknownFieldSet(part)) for part in entries) or any(has_unknown(part) for part in parts):
        raise NotUnderstoodError("it has fields that this version does not know: upgrade this replica")


def _build(entry: pb.HostTableEntry, issuers: Mapping[str, Issuer], pace: Pace) -> _Built:
    decoded = decode_table(entry, issuers)
    steps = index_in_steps(decoded.table)
    while True:
        pace.rest()
        try:
            next(steps)
        except StopIteration as done:
            references = _hashes(decoded.references, issuers)
            return _Built(entry.hash, references, done.value, decoded.problems)


def _hashes(names: Iterable[str], issuers: Mapping[str, Issuer]) -> _References:
    return {name: issuers[name].hash if name in issuers else "" for name in names}


@contextlib.contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keep the garbage collector from walking over rules while they are built, and ever after.

    One walk over 20 000 rules stops every thread for 70 ms. They are in no cycles: what is replaced goes by itself.
    """
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
