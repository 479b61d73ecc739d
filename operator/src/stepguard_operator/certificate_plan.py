"""What the Secret of the stream's certificate has to contain next: a pure function of what it contains.

Services learn of a new authority through a ConfigMap that their node mounts in its own time. So a new authority is
trusted for an hour before anything is signed with it, and the old one for an hour after its last certificate is gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from stepguard_operator.certificates import (
    Signed,
    ageing,
    dns_names,
    expired,
    issued_at,
    make_authority,
    make_leaf,
    parse_bundle,
    parse_signed,
    pem,
    signed_by,
)

SPREAD_SECONDS: Final = 3600
"""Until every mounted ConfigMap has surely been refreshed."""

CERT, KEY, CA, CA_KEY = "tls.crt", "tls.key", "ca.crt", "ca.key"
Data = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Material:
    """`trusted` begins with the newest authority, which is the one whose key there is."""

    authority: Signed
    trusted: tuple[x509.Certificate, ...]
    leaf: Signed | None


def next_certificates(data: Data, names: Sequence[str], now: int) -> Data:
    """The Secret's data as it should be; equal to `data` where nothing is due. `now` in Unix seconds."""
    material = _renew_authority(_parse(data, now), now)
    leaf = material.leaf
    if leaf is None or _leaf_is_due(leaf, material, names, now):
        leaf = make_leaf(material.authority, names, now)
    trusted = _still_trusted(material, leaf.cert, now)
    found = {
        CERT: leaf.cert_pem,
        KEY: leaf.key_pem,
        CA: b"".join(pem(certificate) for certificate in trusted),
        CA_KEY: material.authority.key_pem,
    }
    return {**data, **found}


def _parse(data: Data, now: int) -> _Material | None:
    """What can be used of it; None where there is no authority to sign with."""
    trusted = tuple(certificate for certificate in parse_bundle(data.get(CA, b"")) if not expired(certificate, now))
    authority = parse_signed(pem(trusted[0]), data.get(CA_KEY, b"")) if trusted else None
    if authority is None:
        return None
    leaf = parse_signed(data.get(CERT, b""), data.get(KEY, b""))
    return _Material(authority, trusted, leaf)


def _renew_authority(material: _Material | None, now: int) -> _Material:
    if material is not None and not ageing(material.authority.cert, now):
        return material
    authority = make_authority(now)
    if material is None:
        return _Material(authority, (authority.cert,), None)
    return _Material(authority, (authority.cert, *material.trusted), material.leaf)


def _leaf_is_due(leaf: Signed, material: _Material, names: Sequence[str], now: int) -> bool:
    newest = material.authority.cert
    if ageing(leaf.cert, now) or dns_names(leaf.cert) != frozenset(names):
        return True
    if not any(signed_by(leaf.cert, authority) for authority in material.trusted):
        return True
    return not signed_by(leaf.cert, newest) and now - issued_at(newest) >= SPREAD_SECONDS


def _still_trusted(material: _Material, leaf: x509.Certificate, now: int) -> tuple[x509.Certificate, ...]:
    newest, *older = material.trusted
    if signed_by(leaf, newest) and now - issued_at(leaf) >= SPREAD_SECONDS:
        return (newest,)
    return (newest, *older)
