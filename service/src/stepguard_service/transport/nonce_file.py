"""The nonce keys of `--nonce-keys`, read again while the service runs."""

import logging
import threading
from pathlib import Path
from typing import Final

from stepguard_policy.nonce_keys import BadKeys, parse_nonce_keys

from stepguard_service.proof.nonce import NonceKeys

_log = logging.getLogger(__name__)

_SECONDS: Final = 5.0
"""Between two looks at the file; a change is to count within 10 s (docs/decisions.md, *Nonce*)."""


class NonceFile:
    """Follows one file. `current` are the keys in force: of the last reading that was good."""

    def __init__(self, path: Path, *, interval: float = _SECONDS) -> None:
        """`interval`: seconds between two looks."""
        self._path = path
        self._interval = interval
        self._complaint: tuple[str, ...] = ()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="stepguard-nonce-keys", daemon=True)
        self.current: NonceKeys | None = None

    def open(self) -> tuple[str, ...]:
        """Read the file for the first time and begin to follow it, or say in lines what is wrong with it."""
        problems = self._read()
        if not problems:
            self._thread.start()
        return tuple(f"--nonce-keys {problem}" for problem in problems)

    def close(self) -> None:
        """Do not follow it any more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        while not self._closing.wait(self._interval):
            before, problems = self.current, self._read()
            if problems != self._complaint:
                self._complaint = problems
                for problem in problems:
                    _log.warning("nonce keys are not read again: %s", problem)
            if self.current is not before and self.current is not None:
                _log.info("nonce keys changed: %s", ", ".join(self.current.ids))

    def _read(self) -> tuple[str, ...]:
        """Take over what the file says, where it is good and differs."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            return (f"{self._path}: {error.strerror}",)
        except UnicodeDecodeError:
            return (f"{self._path}: not UTF-8",)
        keys = parse_nonce_keys(text)
        if isinstance(keys, BadKeys):
            return tuple(f"{self._path}: {problem}" for problem in keys.problems)
        if self.current is None or self.current.keys != keys:
            self.current = NonceKeys(keys)
        return ()
