"""Keys that verify signatures, whoever parsed or fetched them."""

from collections.abc import Callable
from dataclasses import dataclass

Verify = Callable[[str, bytes, bytes], bool]
"""(algorithm, signature, signed octets) → whether the signature is good. Never raises."""


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """A public JWK that passed all our rules.

    `algorithms` are those that fit its type and curve, cut to its own `alg` member where it has one.
    """

    thumbprint: str
    """RFC 7638, SHA-256, base64url: 43 characters."""
    algorithms: frozenset[str]
    verify: Verify
    kid: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The usable keys of one issuer. `version` changes whenever they do; `problems` says which were skipped and why."""

    version: str
    keys: tuple[PublicKey, ...]
    problems: tuple[str, ...] = ()
