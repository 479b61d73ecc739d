"""The file of nonce keys, which the operator writes and every replica of the service reads.

One base64url key a line; the first signs, all verify (docs/decisions.md, *Nonce*). Empty lines and those that start
with `#` do not count.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

MINIMUM_LENGTH = 32
"""Bytes of a key: as many as the hash gives (RFC 2104 §3)."""

MAXIMUM_KEYS = 16
"""A rotation needs two or three; more only slow a wrong nonce down."""


@dataclass(frozen=True, slots=True)
class BadKeys:
    """What is wrong with the file, one line each. No problem quotes a key."""

    problems: tuple[str, ...]


def parse_nonce_keys(text: str) -> tuple[bytes, ...] | BadKeys:
    """The keys in the order of the file, or everything that is wrong with it."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    parsed = [(number, _parse(line)) for number, line in numbered if line and not line.startswith("#")]
    problems = [f"line {number}: {key}" for number, key in parsed if isinstance(key, str)]
    keys = tuple(key for _, key in parsed if isinstance(key, bytes))
    if not parsed:
        problems.append("no keys; write at least one, for example from `openssl rand 32 | basenc --base64url`")
    if len(parsed) > MAXIMUM_KEYS:
        problems.append(f"{len(parsed)} keys; at most {MAXIMUM_KEYS} are used in any rotation")
    if not problems and len(set(keys)) < len(keys):
        problems.append("the same key stands on two lines; remove one")
    return BadKeys(tuple(problems)) if problems else keys


def render_nonce_keys(keys: Sequence[bytes]) -> str:
    """The text that `parse_nonce_keys` reads back to the same keys."""
    return "".join(f"{urlsafe_b64encode(key).rstrip(b'=').decode()}\n" for key in keys)


def key_id(key: bytes) -> str:
    """What reports call a key: 16 hex digits from which nobody learns anything about it."""
    return sha256(b"stepguard-nonce-key-id\0" + key).hexdigest()[:16]


def _parse(line: str) -> bytes | str:
    try:
        key = urlsafe_b64decode(line.rstrip("=") + "=" * (-len(line.rstrip("=")) % 4))
    except (ValueError, binascii.Error):
        return "not base64url"
    if urlsafe_b64encode(key).rstrip(b"=").decode() != line.rstrip("="):
        return "not base64url"
    if len(key) < MINIMUM_LENGTH:
        return f"{len(key)} bytes; a key has at least {MINIMUM_LENGTH}"
    return key
