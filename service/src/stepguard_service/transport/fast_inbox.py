"""The way back to the fast transport's loop for what other threads have worked out."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stepguard_service.core.slow import Waited
from stepguard_service.stores.replay import Claimed
from stepguard_service.transport.fast_call import Rpc, Tag, initial_metadata
from stepguard_service.transport.handler import Claiming, Waiting

_HEARTBEAT: Final = 1.0
"""Seconds that the loop waits for an event at the most."""

_MUTE_PATIENCE: Final = 0.001
"""The same while a result is out that cannot wake the loop."""

_WOKEN = Tag()

Batch = list[tuple[Rpc, Claiming]]
"""Claims of one turn: never empty, never more than fit into a round trip."""


@dataclass(frozen=True, slots=True)
class ClaimsMade:
    """What the replay store said about one batch."""

    batch: Sequence[tuple[Rpc, Claiming]]
    results: Sequence[Claimed | None]


@dataclass(frozen=True, slots=True)
class WaitEnded:
    """What one call waited for."""

    rpc: Rpc
    waiting: Waiting
    waited: Waited


class Inbox:
    """Results from other threads; putting one in makes an event on the completion queue, so that the loop looks here.

    gRPC's core has alarms for that, but grpcio does not show them. Sending the initial metadata of a call that the
    result is for makes an event too, and has to be done anyway. It can be done once a call: a call that waits a second
    time cannot wake the loop again, so the loop must look by itself while one of those is out (`patience`).
    """

    def __init__(self) -> None:
        self._results: list[ClaimsMade | WaitEnded] = []
        self._mute = 0
        self._closed = False
        # The event must not come before the result is there, nor the result be used before the metadata is under way.
        self._lock = threading.Lock()

    def expect(self, rpc: Rpc) -> None:
        """A result for `rpc` will come. Called by the loop, before the work is handed over."""
        with self._lock:
            self._mute += rpc.metadata_sent

    def put(self, result: ClaimsMade | WaitEnded, rpc: Rpc) -> None:
        """Called by any thread, once for each `expect`, with the same call."""
        with self._lock:
            if self._closed:
                return
            if rpc.metadata_sent:
                self._mute -= 1
            else:
                rpc.metadata_sent = True
                rpc.call.start_server_batch((initial_metadata(),), _WOKEN)
            self._results.append(result)

    def take_all(self) -> list[ClaimsMade | WaitEnded]:
        """All that is there. Called by the loop."""
        with self._lock:
            taken, self._results = self._results, []
        return taken

    def close(self) -> None:
        """Nobody looks here any more, and the calls are about to go: what still comes is dropped."""
        with self._lock:
            self._closed = True

    @property
    def patience(self) -> float:
        """Seconds for which the loop may sleep without looking here; none where something came that woke nobody."""
        with self._lock:
            if self._results:
                return 0.0
            return _MUTE_PATIENCE if self._mute else _HEARTBEAT
