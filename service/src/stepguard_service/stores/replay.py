"""The replay store: which proofs were used already (RFC 9449 §11.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Protocol

from stepguard_service.core.model import Proof


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of one proof, to be recorded unless another request recorded it before.

    `key` is SHA-256 over jkt and jti (docs/decisions.md, *Replay*). `request_id` is Envoy's id of the request: the same
    key claimed again by the same non-empty id is the same request. `until` is when the proof cannot pass any more, in
    Unix seconds.
    """

    key: bytes
    jkt: str
    request_id: str
    until: int


def claim_of(proof: Proof, request_id: str, *, lifetime: int) -> Claim:
    """The claim that a request makes for its proof: of this jti by this key, until the proof cannot pass any more.

    `lifetime`: seconds after its `iat` in which it may pass anywhere at the host.
    """
    key = sha256(b"\0".join((b"stepguard-replay-v1", proof.jkt.encode(), proof.jti.encode()))).digest()
    until = math.ceil(proof.iat) + lifetime + 1
    return Claim(key, proof.jkt, request_id, until)


class Claimed(Enum):
    """What became of a claim."""

    CLAIMED = "claimed"
    """First use."""
    REPEATED = "repeated"
    """The same request asks again."""
    REPLAYED = "replayed"
    """Another request used this proof: row 27."""
    FULL = "full"
    """No room for one more live entry: row 28."""
    OVER_SHARE = "over_share"
    """Under pressure this jkt holds more than its share: row 28."""
    UNAVAILABLE = "unavailable"
    """The store did not answer: row 28, unless the operator of the service chose otherwise."""


class ReplayStore(Protocol):
    """Every store keeps this: of any number of concurrent claims of one key by different requests exactly one wins."""

    @property
    def kind(self) -> str:
        """`memory` or `redis`: for reports and the log."""

    @property
    def shared(self) -> bool:
        """Whether other replicas see its entries."""

    @property
    def blocking(self) -> bool:
        """Whether `claim` may wait for something outside the process (bounded by the store's own timeout)."""

    def claim(self, claims: Sequence[Claim], now: float) -> Sequence[Claimed]:
        """Claim all of them in one round trip; results in the same order. Never raises."""

    def entries(self) -> int | None:
        """How many live entries it holds; None where that is not known cheaply."""

    def close(self) -> None:
        """Release what it holds."""
