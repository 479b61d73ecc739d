"""Which snapshot is in force in this replica: a move forward, or none.

The order is that of (epoch, sequence). What was refused, and why, is remembered for reports until something newer came
in force.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_service.transport.state_dir import Damaged, StateDir

_log = logging.getLogger(__name__)


class Enforcement(Protocol):
    """What puts snapshots in force. Both methods are called from the stream's threads."""

    def apply(self, snapshot: pb.PolicySnapshot) -> str | None:
        """Put it in force as a whole, or say in one line why it is refused; never half of it."""

    def describe(self) -> pb.Report:
        """Schema version, features, policies, issuers, replay store and nonce key ids as they are now."""


@dataclass(frozen=True, slots=True)
class _Position:
    """The pair and hash in force, and (hash, reason) of what was refused since. Without a hash nothing is in force."""

    epoch: int = 0
    sequence: int = 0
    hash: str = ""
    refused: tuple[str, str] | None = None

    def precedes(self, version: pb.Version) -> bool:
        return (self.epoch, self.sequence) < (version.epoch, version.sequence)


class InForce:
    """Applies what is newer, refuses what is older, keeps it on disk, and tells reports about it.

    `take`, `adopt` and `restore` belong to one thread; `report` to any.
    """

    def __init__(self, enforcement: Enforcement, state: StateDir | None) -> None:
        self._enforcement = enforcement
        self._state = state
        self._position = _Position()

    def restore(self) -> None:
        """Put the snapshot of an earlier process in force, where there is one that can be used."""
        saved = self._state.load() if self._state is not None else None
        if isinstance(saved, Damaged):
            _log.warning("the saved snapshot is not used: %s", saved.reason)
        elif saved is not None:
            self._move(saved)

    def take(self, snapshot: pb.PolicySnapshot) -> None:
        """Put a snapshot in force, unless it is older than what is, or cannot be used as a whole."""
        if not self._position.precedes(snapshot.version):
            if snapshot.hash != self._position.hash:
                self._refuse(snapshot, "it is older than the snapshot in force")
        elif self._move(snapshot):
            self._save(snapshot)

    def adopt(self, version: pb.Version) -> None:
        """The operator says that what is in force is its `version`."""
        if not self._position.precedes(version):
            return
        self._position = _Position(version.epoch, version.sequence, self._position.hash)
        saved = self._state.load() if self._state is not None else None
        if isinstance(saved, pb.PolicySnapshot) and saved.hash == self._position.hash:
            saved.version.CopyFrom(version)
            self._save(saved)

    def report(self) -> pb.Report:
        """What `describe` says, and the position."""
        position = self._position
        report = self._enforcement.describe()
        if position.hash:
            report.in_force.version.epoch, report.in_force.version.sequence = position.epoch, position.sequence
            report.in_force.hash = position.hash
        if position.refused is not None:
            report.rejected.hash, report.rejected.reason = position.refused
        return report

    def _move(self, snapshot: pb.PolicySnapshot) -> bool:
        refusal = self._apply(snapshot) if snapshot.hash != self._position.hash else None
        if refusal is not None:
            self._refuse(snapshot, refusal)
            return False
        version = snapshot.version
        self._position = _Position(version.epoch, version.sequence, snapshot.hash)
        _log.info("snapshot %s is in force, version %d.%d", snapshot.hash[:12], version.epoch, version.sequence)
        return True

    def _apply(self, snapshot: pb.PolicySnapshot) -> str | None:
        try:
            return self._enforcement.apply(snapshot)
        except Exception:  # noqa: BLE001  (the snapshot in force must outlive any fault in taking the next)
            _log.exception("a fault of ours kept snapshot %s out", snapshot.hash[:12])
            return "internal error; see the log of the replica"

    def _refuse(self, snapshot: pb.PolicySnapshot, reason: str) -> None:
        now = self._position
        self._position = _Position(now.epoch, now.sequence, now.hash, (snapshot.hash, reason))
        _log.error("snapshot %s is refused: %s", snapshot.hash[:12], reason)

    def _save(self, snapshot: pb.PolicySnapshot) -> None:
        if self._state is None:
            return
        try:
            self._state.save(snapshot)
        except OSError as error:
            _log.warning("the snapshot is in force, but not saved for a restart: %s", error)
