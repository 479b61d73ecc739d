"""File mode: a folder of policies in force, and again after each change of it.

The folder is looked at a few times a second, by the names, inodes, sizes and times of what its entries lead to: that
sees edits in place, files moved over others, and the `..data` swap of a mounted ConfigMap alike. A change counts once
two looks in a row agree, so that a swap or an editor is not caught half-way. What does not compile changes nothing,
but for trust that was taken away.
"""

import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.encode import encode, snapshot_hash

from stepguard_service.transport.inspection import LastReload
from stepguard_service.transport.policy_reader import NotReadError, PolicyReader, Reading
from stepguard_service.transport.rules_loader import RulesLoader

_LOOK_SECONDS: Final = 0.1
_AGAIN_SECONDS: Final = 10.0
"""After a reading that failed for another reason than what the folder says."""

_log = logging.getLogger(__name__)

_Fingerprint = tuple[tuple[str, int, int, int], ...]


class PolicyDirectory:
    """Keeps the policies of a folder in force. `load` first, then `start`; `stop` ends the watching."""

    def __init__(self, folder: Path, loader: RulesLoader) -> None:
        self._folder = folder
        self._loader = loader
        self._reader = PolicyReader(folder)
        self._fingerprint: _Fingerprint = ()
        self._again_at = math.inf
        """When to read even an unchanged folder, in time.monotonic()."""
        self._sequence = 0
        self._last_good = b""
        """A serialised snapshot: the message itself takes several times its memory."""
        self._last_hash = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stepguard-policies", daemon=True)
        self.last_reload: LastReload | None = None

    def load(self) -> Sequence[str]:
        """Put the folder in force; one line for each error that keeps it from being."""
        self._fingerprint = _fingerprint(self._folder)
        try:
            reading = self._reader.read(at_start=True)
        except NotReadError as error:
            return [str(error)]
        self._note(reading)
        if reading.errors:
            return reading.errors
        refused = self._apply(reading.snapshot)
        return [refused] if refused else []

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; what is in force stays."""
        self._stopping.set()
        self._reader.stop()
        self._thread.join()

    def _watch(self) -> None:
        before = self._fingerprint
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                now = _fingerprint(self._folder)
                if now == before and (now != self._fingerprint or time.monotonic() >= self._again_at):
                    self._fingerprint = now
                    self._reload()
                before = now
            except Exception:  # noqa: BLE001 - a fault in one reload must not end the watching
                _log.exception("the folder of policies could not be reloaded; what is in force stays")

    def _reload(self) -> None:
        self._again_at = math.inf
        try:
            reading = self._reader.read(at_start=False)
        except NotReadError as error:
            if not self._stopping.is_set():
                self._again_at = time.monotonic() + _AGAIN_SECONDS
                _log.error("%s; what is in force stays, next attempt in %g s", error, _AGAIN_SECONDS)
            return
        self._note(reading)
        for problem in reading.errors:
            _log.error("%s", problem)
        if not reading.errors:
            self._put_in_force(reading.snapshot)
            return
        _log.error("policies changed but have errors; the last good ones stay in force")
        last_good = pb.PolicySnapshot.FromString(self._last_good)
        if _take_issuers_away(last_good, reading.issuers):
            _log.warning("TokenIssuers that are in no readable document any more are not trusted any more")
            self._put_in_force(encode(last_good))

    def _put_in_force(self, serialised: bytes) -> None:
        if serialised == self._last_good:
            return
        refused = self._apply(serialised)
        if refused is None:
            _log.info("policies changed; snapshot %s is in force", self._last_hash[:12])
        else:
            _log.error("policies changed but are not in force: %s", refused)

    def _apply(self, serialised: bytes) -> str | None:
        snapshot = pb.PolicySnapshot.FromString(serialised)
        self._sequence += 1
        snapshot.version.sequence = self._sequence
        refused = self._loader.apply(snapshot)
        if refused is None:
            self._last_good, self._last_hash = serialised, snapshot.hash
        return refused

    def _note(self, reading: Reading) -> None:
        for problem in reading.warnings:
            _log.warning("%s", problem)
        self.last_reload = LastReload(time.time(), reading.errors, reading.warnings)


def _take_issuers_away(snapshot: pb.PolicySnapshot, readable: frozenset[str]) -> bool:
    """Remove the TokenIssuers that are not readable any more; false where it has none of those."""
    kept = [issuer for issuer in snapshot.issuers if issuer.name in readable]
    if len(kept) == len(snapshot.issuers):
        return False
    del snapshot.issuers[:]
    snapshot.issuers.extend(kept)
    snapshot.hash = snapshot_hash(snapshot)
    return True


def _fingerprint(folder: Path) -> _Fingerprint:
    """What the policy files are at this moment. A file that cannot be looked at counts by its name."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".yaml")
    except OSError:
        return (("", 0, 0, 0),)
    return tuple((name, *_status(folder / name)) for name in names)


def _status(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino
