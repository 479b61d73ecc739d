"""A replay store over a Redis server, and claims to make in it."""

import time
from hashlib import sha256
from pathlib import Path
from typing import Self

from stepguard_service.stores.redis_address import parse_redis_url
from stepguard_service.stores.redis_connection import Connector
from stepguard_service.stores.replay import Claim, Claimed
from stepguard_service.stores.replay_redis import RedisReplayStore

NOW = 1_800_000_000.0
TIMEOUT = 0.05

UNTIL = int(NOW) + 71
"""Redis counts down by the machine's clock, whatever NOW is: what a claim has left, and 20 s more."""


def claim(name: str, request_id: str = "request", until: int = UNTIL) -> Claim:
    """Of a proof by any name."""
    return Claim(key=sha256(name.encode()).digest(), jkt="jkt", request_id=request_id, until=until)


class Opened:
    """A store and what it reported."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "stepguard",
        timeout: float = TIMEOUT,
        password_file: Path | None = None,
        ca: Path | None = None,
        policy_interval: float = 60,
    ) -> None:
        address = parse_redis_url(url)
        assert not isinstance(address, str)
        self.errors = 0
        connector = Connector(address, password_file=password_file, ca=ca)
        self.store = RedisReplayStore(
            connector, prefix=prefix, timeout=timeout, count_error=self._count, policy_interval=policy_interval
        )
        self.refusal = self.store.open()

    def _count(self) -> None:
        self.errors += 1

    def claim(self, *claims: Claim) -> list[Claimed]:
        """What became of these claims, made in one batch."""
        return list(self.store.claim(claims, NOW))

    def serves(self) -> bool:
        """Whether a claim of some other key gets an outcome."""
        return self.claim(claim(f"probe {time.monotonic()}")) != [Claimed.UNAVAILABLE]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.store.close()
