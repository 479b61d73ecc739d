"""Whether a server can be trusted with claims: new enough, a primary that takes writes, and never evicting."""

import re
from dataclasses import dataclass
from typing import Final

import hiredis

from stepguard_service.stores.redis_connection import RedisConnection, Reply

_OLDEST: Final = 7
"""`SET … NX GET` exists since Redis 7.0; every Valkey has it."""

_FIELD = re.compile(rb"^([a-z_]+):(.*?)\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usable:
    """It can hold claims. `warnings`: what could not be seen."""

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why it cannot. `wrong`: it is set up wrongly, so that waiting will not help."""

    detail: str
    wrong: bool


def examine(connection: RedisConnection, *, key: str, seconds: float) -> Usable | Unusable:
    """Ask the server about itself, and make one claim of a test key as claims are made; all within `seconds`.

    Raises:
        RedisLostError: it did not answer in time.
    """
    server, memory, replication, claimed = connection.round_trip(
        (
            ("INFO", "server"),
            ("INFO", "memory"),
            ("INFO", "replication"),
            ("SET", key, "examination", "NX", "GET", "PX", 1000),
        ),
        seconds,
    )
    return (
        _version_fault(server)
        or policy_fault(memory)
        or _role_fault(replication)
        or _claim_fault(claimed)
        or Usable(_unseen(server, memory))
    )


def policy_fault(memory: Reply) -> Unusable | None:
    """From `INFO memory`: a server that evicts forgets which proofs were used."""
    policy = _field(memory, b"maxmemory_policy")
    if policy in {None, "noeviction"}:
        return None
    return Unusable(
        f"its maxmemory-policy is {policy}: it may forget proofs that were used; set it to noeviction", wrong=True
    )


def _version_fault(server: Reply) -> Unusable | None:
    version = _field(server, b"redis_version")
    major = re.match(r"[0-9]{1,6}", version or "")
    if major is None or int(major[0]) >= _OLDEST:
        return None
    return Unusable(f"its version is {version}; {_OLDEST}.0 or newer is needed", wrong=True)


def _role_fault(replication: Reply) -> Unusable | None:
    role = _field(replication, b"role")
    return None if role in {None, "master"} else Unusable("it is a replica; name the primary", wrong=False)


def _claim_fault(claimed: Reply) -> Unusable | None:
    """A server that is full can still say who claimed what."""
    if not isinstance(claimed, hiredis.ReplyError) or is_full(claimed):
        return None
    too_old = "syntax error" in str(claimed)
    return Unusable(f"it refuses claims: {claimed}", wrong=too_old)


def is_full(reply: Reply) -> bool:
    """Whether the server has no memory left for this command."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("OOM ")


def _unseen(server: Reply, memory: Reply) -> tuple[str, ...]:
    warnings = []
    if _field(server, b"redis_version") is None:
        warnings.append("its version cannot be read")
    if _field(memory, b"maxmemory_policy") is None:
        warnings.append("its maxmemory-policy cannot be read; see to it that it is noeviction")
    return tuple(warnings)


def _field(info: Reply, name: bytes) -> str | None:
    """One field of an INFO reply, None where the server did not give it."""
    if not isinstance(info, bytes):
        return None
    for key, value in _FIELD.findall(info):
        if key == name:
            return str(value, "utf-8", "replace")
    return None
