"""The way to one Redis or Valkey server, with a circuit breaker: who uses it never waits for a server that is away.

The first round trip that fails opens the breaker; further ones give nothing, at once. A thread of our own connects
again, ever less often, and examines the server with a claim of a test key within the time that a claim may take
(half-open); only a server that passes is used again. No request is ever used to try. While nothing else happens the
thread also looks after the connection, so that a server that went away is mostly noticed before a request needs it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Final

from stepguard_service.stores.redis_connection import Command, Connector, RedisConnection, RedisLostError, Reply
from stepguard_service.stores.redis_examination import Unusable, Usable, examine, policy_fault

_log = logging.getLogger(__name__)
_random = SystemRandom()

_CONNECT_SECONDS: Final = 1.0
_START_SECONDS: Final = 3.0
"""How long a start waits for the first examination; a server that is silent for longer counts as away."""

_LOOK_AFTER_SECONDS: Final = 1.0
_STABLE_SECONDS: Final = 10.0
"""A connection that served for so long starts the pauses between attempts anew."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


class RedisLink:
    """`open` before the first use, `close` at the end. `count_error` is called for each round trip that failed."""

    def __init__(
        self,
        connector: Connector,
        *,
        test_key: str,
        timeout: float,
        policy_interval: float,
        count_error: Callable[[], None],
    ) -> None:
        """`timeout`: seconds that a round trip may take. `policy_interval`: between looks at the eviction policy."""
        self._connector = connector
        self._test_key = test_key
        self._timeout = timeout
        self._policy_interval = policy_interval
        self._count_error = count_error
        self._lock = threading.Lock()
        """Held by whoever uses the connection."""
        self._connection: RedisConnection | None = None
        self._connected_at = 0.0
        self._used_at = 0.0
        self._policy_at = 0.0
        self._failures = 0
        self._fault = ""
        self._refusal: str | None = None
        self._examined = threading.Event()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._keep, name="stepguard-replay", daemon=True)

    def open(self) -> str | None:
        """Start to connect, and wait for the first attempt for 3 s at most.

        Gives in one line why the server can never be used as it is set up; the caller then does not start. A server
        that is merely away is no reason.
        """
        self._thread.start()
        self._examined.wait(_START_SECONDS)
        return self._refusal

    def close(self) -> None:
        """End the thread and the connection."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_START_SECONDS)
        with self._lock:
            self._disconnect()

    def round_trip(self, commands: Sequence[Command], deadline: float) -> list[Reply] | None:
        """The replies to these commands, None where there are none by `deadline` (time.monotonic()). Never raises."""
        if self._connection is None or not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return None
        try:
            if self._connection is None:
                return None
            replies = self._connection.round_trip(commands, max(0.0, deadline - time.monotonic()))
            self._used_at = time.monotonic()
            return replies
        except RedisLostError as error:
            self._lose(str(error))
            return None
        finally:
            self._lock.release()

    def distrust(self, fault: str) -> None:
        """Open the breaker: the server answers, but not as it must."""
        with self._lock:
            self._lose(fault)

    def _lose(self, fault: str) -> None:
        """With the lock held."""
        self._disconnect()
        self._note(fault)
        self._failures = 0 if time.monotonic() - self._connected_at > _STABLE_SECONDS else self._failures + 1
        self._wake.set()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _note(self, fault: str) -> None:
        """Count each failure, say each fault once."""
        self._count_error()
        if fault != self._fault:
            self._fault = fault
            _log.warning("replay store %s: %s", self._connector.address.place, fault)

    # --- our own thread -----------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closing:
            try:
                if self._connection is None:
                    self._connect()
                else:
                    self._look_after()
            except Exception:  # noqa: BLE001 - without this thread the server would stay away for ever
                _log.exception("a fault of ours while looking after the replay store")
                self._failures += 1
            self._examined.set()
            self._wake.wait(self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        if self._connection is not None:
            return _LOOK_AFTER_SECONDS
        if self._failures == 0:
            return 0.0
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        return _random.uniform(longest / 2, longest)  # replicas should not come back all at once

    def _connect(self) -> None:
        """Half-open: a new connection, and an examination that takes no longer than a claim may."""
        connection = None
        try:
            connection = self._connector.connect(_CONNECT_SECONDS)
            found = examine(connection, key=self._test_key, seconds=self._timeout)
        except RedisLostError as error:
            found = Unusable(str(error), wrong=False)
        if connection is not None and isinstance(found, Usable):
            self._use(connection, found)
            return
        if connection is not None:
            connection.close()
        self._failures += 1
        if isinstance(found, Unusable):
            self._refusal = found.detail if found.wrong else None
            self._note(found.detail)

    def _use(self, connection: RedisConnection, found: Usable) -> None:
        """Close the breaker."""
        place = self._connector.address.place
        for warning in found.warnings:
            _log.warning("replay store %s: %s", place, warning)
        _log.info("replay store %s: connected", place)
        self._fault = ""
        self._connected_at = self._used_at = self._policy_at = time.monotonic()
        self._connection = connection

    def _look_after(self) -> None:
        """Notice that an idle server is gone, and now and then whether it began to evict."""
        now = time.monotonic()
        if now - self._policy_at >= self._policy_interval:
            self._policy_at = now
            replies = self.round_trip([("INFO", "memory")], now + self._timeout)
            fault = policy_fault(replies[0]) if replies else None
            if fault is not None:
                self.distrust(fault.detail)
        elif now - self._used_at >= _LOOK_AFTER_SECONDS:
            self.round_trip([("PING",)], now + self._timeout)
