"""Claims in a Redis or Valkey server that several replicas share: `SET key id NX GET PX` for each, a batch at once.

How a transport calls it: `blocking` is true, so `claim` belongs on a thread beside the serving loop, one thread for all
claims. It takes what has gathered there in one round trip and gives every claim its outcome. It never takes longer than
`timeout`, and no time at all while the server is known to be away (see `redis_link`).
"""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from math import ceil
from typing import Final

import hiredis

from stepguard_service.limits import SHARED_CLAIM_EXTRA
from stepguard_service.stores.redis_connection import Command, Connector, Reply
from stepguard_service.stores.redis_examination import is_full
from stepguard_service.stores.redis_link import RedisLink
from stepguard_service.stores.replay import Claim, Claimed

POLICY_SECONDS: Final = 60.0
"""docs/decisions.md, *Replay*: the eviction policy is read every minute."""


class RedisReplayStore:
    """`open` before the first claim, `close` at the end."""

    kind: Final = "redis"
    shared: Final = True
    blocking: Final = True

    def __init__(
        self,
        connector: Connector,
        *,
        prefix: str,
        timeout: float,
        count_error: Callable[[], None],
        policy_interval: float = POLICY_SECONDS,
    ) -> None:
        """`prefix` keeps installations in one server apart. `timeout`: seconds that a round trip may take.

        `count_error` is called for each round trip that failed. `policy_interval`: seconds between looks at the
        server's eviction policy.
        """
        self._prefix = prefix
        self._timeout = timeout
        self._link = RedisLink(
            connector,
            test_key=f"{prefix}:examination",
            timeout=timeout,
            policy_interval=policy_interval,
            count_error=count_error,
        )

    def open(self) -> str | None:
        """Start to connect. Gives in one line why the server can never hold claims as it is set up: do not start then.

        A server that is merely away is no reason: claims are unavailable until it is there.
        """
        return self._link.open()

    def claim(self, claims: Sequence[Claim], now: float) -> Sequence[Claimed]:
        """Claim all of them in one round trip; results in the same order. Never raises. `now` in Unix seconds."""
        deadline = time.monotonic() + self._timeout
        replies = self._link.round_trip([self._set(claim, now) for claim in claims], deadline)
        if replies is None:
            return [Claimed.UNAVAILABLE] * len(claims)
        outcomes = [_outcome(reply, claim) for reply, claim in zip(replies, claims, strict=True)]
        if Claimed.FULL in outcomes:
            outcomes = self._look_up(claims, outcomes, deadline)
        if Claimed.UNAVAILABLE in outcomes:
            self._link.distrust(f"it refuses claims: {_refusal(replies)}")
        return outcomes

    def entries(self) -> int | None:
        """Not known: the server counts what others keep in it too."""
        return None

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    def _set(self, claim: Claim, now: float) -> Command:
        milliseconds = max(1, ceil((claim.until + SHARED_CLAIM_EXTRA - now) * 1000))
        return ("SET", self._key(claim), claim.request_id, "NX", "GET", "PX", milliseconds)

    def _key(self, claim: Claim) -> str:
        return f"{self._prefix}:{urlsafe_b64encode(claim.key).rstrip(b'=').decode()}"

    def _look_up(self, claims: Sequence[Claim], outcomes: Sequence[Claimed], deadline: float) -> list[Claimed]:
        """A server without memory takes no new claim, but it still knows those that it holds."""
        found = self._link.round_trip([("GET", self._key(claim)) for claim in claims], deadline)
        held = [None] * len(claims) if found is None else found
        return [
            _held(holder, claim) if outcome is Claimed.FULL and isinstance(holder, bytes) else outcome
            for outcome, holder, claim in zip(outcomes, held, claims, strict=True)
        ]


def _outcome(reply: Reply, claim: Claim) -> Claimed:
    """From what `SET … NX GET` gives: nothing where the key is new, else who has it."""
    if reply is None:
        return Claimed.CLAIMED
    if isinstance(reply, bytes):
        return _held(reply, claim)
    return Claimed.FULL if is_full(reply) else Claimed.UNAVAILABLE


def _held(holder: bytes, claim: Claim) -> Claimed:
    return Claimed.REPEATED if holder and holder == claim.request_id.encode() else Claimed.REPLAYED


def _refusal(replies: Sequence[Reply]) -> str:
    return next((str(reply) for reply in replies if isinstance(reply, hiredis.ReplyError) and not is_full(reply)), "")
