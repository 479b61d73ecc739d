"""What a decision may have to wait for, as data: the core asks, an edge fetches, the core goes on."""

from collections.abc import Mapping
from dataclasses import dataclass

from stepguard_service.core.model import Issuer


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """The issuer's keys: never fetched yet (`kid` None), or none of them has the token's `kid`."""

    issuer: Issuer
    kid: str | None


@dataclass(frozen=True, slots=True)
class NeedIntrospection:
    """The issuer's word about this token (RFC 7662)."""

    issuer: Issuer
    token: str


Need = NeedKeys | NeedIntrospection


@dataclass(frozen=True, slots=True)
class KeysLooked:
    """A refresh ended, or none was due: the keys now in force are all there is. What they are, the key store says."""


@dataclass(frozen=True, slots=True)
class Introspected:
    """The members of a well-formed introspection answer, before any of them was checked."""

    members: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The authorization server did not answer in time, or not sensibly, or too many requests wait already (row 12)."""

    detail: str = ""


Waited = KeysLooked | Introspected | Unavailable
