"""Rotation of the nonce keys: a pure function of the Secret and of what replicas report.

A new key is appended, so that everybody learns to verify with it; it moves to the front, where it signs, once every
replica reports that it holds it; the old ones go 310 s after every replica reports that it signs with the new one,
when no nonce that they signed can be valid any more.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from stepguard_policy.nonce_keys import BadKeys, key_id, parse_nonce_keys, render_nonce_keys

from stepguard_operator.replicas import Fleet

KEYS, STATE = "nonce-keys", "rotation"
ROTATION_SECONDS: Final = 24 * 3600
"""A key signs for about that long."""
DROPPED_SECONDS: Final = 310
"""After a key signed last: nonces live for 300 s, and clocks differ a little."""
KEY_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class _Rotation:
    """When the newest key was made, moved to the front, and signed everywhere; Unix seconds, 0: not yet."""

    made: int = 0
    moved: int = 0
    signs: int = 0


def next_nonce_keys(
    data: Mapping[str, bytes], fleet: Fleet, now: int, make_key: Callable[[], bytes]
) -> Mapping[str, bytes]:
    """The Secret's data as it should be; equal to `data` where nothing is due."""
    keys = parse_nonce_keys(data.get(KEYS, b"").decode(errors="replace"))
    if isinstance(keys, BadKeys):
        return _render(data, (make_key(),), _Rotation(now, now, now))
    rotation = _parse(data.get(STATE, b""))
    if len(keys) == 1 and not rotation.signs:
        # Written by hand: what is known about it begins now.
        return _render(data, keys, _Rotation(now, now, now))
    if len(keys) == 1 and now - rotation.made >= ROTATION_SECONDS:
        return _render(data, (*keys, make_key()), _Rotation(made=now))
    if len(keys) > 1 and not rotation.moved and _everybody(fleet, key_id(keys[-1]), signs=False):
        return _render(data, (keys[-1], *keys[:-1]), _Rotation(rotation.made, now))
    if rotation.moved and not rotation.signs and _everybody(fleet, key_id(keys[0]), signs=True):
        return _render(data, keys, _Rotation(rotation.made, rotation.moved, now))
    if len(keys) > 1 and rotation.signs and now - rotation.signs >= DROPPED_SECONDS:
        return _render(data, keys[:1], rotation)
    return data


def _everybody(fleet: Fleet, wanted: str, *, signs: bool) -> bool:
    """Whether every replica there should be has reported that it holds the key, or signs with it."""
    if not fleet.settled or fleet.silent or fleet.awaited:
        return False
    return all(wanted in report.nonce_key_ids[: 1 if signs else None] for report in fleet.heard.values())


def _parse(content: bytes) -> _Rotation:
    try:
        members = json.loads(content)
        return _Rotation(int(members["made"]), int(members["moved"]), int(members["signs"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return _Rotation()


def _render(data: Mapping[str, bytes], keys: tuple[bytes, ...], rotation: _Rotation) -> Mapping[str, bytes]:
    state = json.dumps(asdict(rotation)).encode()
    return {**data, KEYS: render_nonce_keys(keys).encode(), STATE: state}
