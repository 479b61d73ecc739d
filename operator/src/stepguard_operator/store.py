"""The objects of one kind as the Kubernetes API last showed them, whichever way we heard of them first.

Watch events, our own lists and the answers to our own writes arrive in any order. Resource versions of one kind are
comparable numbers, so the newer word about an object wins, a list removes what it does not have and what nobody heard
of since, and a deleted object does not come back through an older list. Where a version is no number, the last word
wins.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

Key: TypeAlias = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""

Parsed = TypeVar("Parsed")

DROPPED: Final = frozenset({"managedFields", "annotations"})
"""Of metadata."""


@dataclass(frozen=True, slots=True)
class Stored(Generic[Parsed]):
    """One object. `parsed` is what the compiler takes of it, None where it cannot be parsed at all."""

    version: int
    raw: Mapping[str, Any]
    parsed: Parsed | None

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its ObjectMeta."""
        metadata: Mapping[str, Any] = self.raw["metadata"]
        return metadata

    @property
    def status(self) -> Mapping[str, Any]:
        """Its status, empty before anybody wrote one."""
        return self.raw.get("status") or {}


@dataclass(frozen=True, slots=True)
class Change:
    """What a word about objects did: whether anything is different, and whether the compiler would see it."""

    any: bool = False
    compiled: bool = False

    def __or__(self, other: "Change") -> "Change":
        return Change(self.any or other.any, self.compiled or other.compiled)


class Objects(Generic[Parsed]):
    """All objects of one kind. Equal results of `parse` mean that there is nothing to compile."""

    def __init__(self, parse: Callable[[Mapping[str, Any], Parsed | None], Parsed | None]) -> None:
        """`parse` is given the object and what it gave of the one before, None for a new one."""
        self._parse = parse
        self._stored: dict[Key, Stored[Parsed]] = {}
        self._deleted: dict[Key, int] = {}
        self.listed = False
        """Whether a complete list was ever taken in."""

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[Stored[Parsed]]:
        return iter(self._stored.values())

    def get(self, key: Key) -> Stored[Parsed] | None:
        """The object of that name, where there is one."""
        return self._stored.get(key)

    def seen(self, raw: Mapping[str, Any]) -> Change:
        """An object exists in this form."""
        key, version = key_of(raw), version_of(raw["metadata"])
        known = self._stored.get(key)
        if version and version <= max(known.version if known else 0, self._deleted.get(key, 0)):
            return Change()
        parsed = self._parse(raw, known.parsed if known is not None else None)
        self._stored[key] = Stored(version, _slim(raw), parsed)
        self._deleted.pop(key, None)
        return Change(any=True, compiled=known is None or known.parsed != parsed)

    def gone(self, raw: Mapping[str, Any]) -> Change:
        """An object was deleted; this is its last form."""
        return self._remove(key_of(raw), version_of(raw["metadata"]))

    def replace(self, items: Sequence[Mapping[str, Any]], version: str) -> Change:
        """A complete list was made at this version: what it lacks is gone, but for what is newer than the list."""
        made_at = _number(version)
        listed = {key_of(raw) for raw in items}
        missing = [key for key, stored in self._stored.items() if key not in listed]
        change = Change()
        for raw in items:
            change |= self.seen(raw)
        for key in missing:
            if not made_at or self._stored[key].version <= made_at:
                change |= self._remove(key, made_at)
        # Nothing older than this list can arrive any more but through the watch, which never goes back in time.
        self._deleted = {key: at for key, at in self._deleted.items() if at > made_at}
        first, self.listed = not self.listed, True
        return change | Change(any=first, compiled=first)

    def _remove(self, key: Key, version: int) -> Change:
        known = self._stored.get(key)
        if version and known is not None and known.version > version:
            return Change()
        self._deleted[key] = max(version, self._deleted.get(key, 0))
        if known is None:
            return Change()
        del self._stored[key]
        return Change(any=True, compiled=True)


def key_of(raw: Mapping[str, Any]) -> Key:
    """Namespace and name of an API object."""
    metadata = raw["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def version_of(metadata: Mapping[str, Any]) -> int:
    """The resourceVersion as a number, 0 where it is none."""
    return _number(metadata.get("resourceVersion", ""))


def _number(version: str) -> int:
    return int(version) if version.isascii() and version.isdecimal() else 0


def _slim(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what is as large as the object itself and nothing of ours; an accepted spec that is the spec, once."""
    metadata = {name: value for name, value in raw["metadata"].items() if name not in DROPPED}
    status, spec = raw.get("status") or {}, raw.get("spec")
    if "accepted" in status and status["accepted"].get("spec") == spec:
        status = {**status, "accepted": {**status["accepted"], "spec": spec}}
    return {**raw, "metadata": metadata, "status": status}
