"""The operator's own certificates: an authority that services trust, and what it signs for the stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS: Final = 730
LEAF_DAYS: Final = 90
BACKDATED: Final = timedelta(minutes=10)
"""Clocks of nodes differ."""
RENEWED_AFTER: Final = 2 / 3
"""Of a certificate's life."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its private key."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def cert_pem(self) -> bytes:
        """PEM."""
        return pem(self.cert)

    @property
    def key_pem(self) -> bytes:
        """PEM, PKCS #8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_authority(now: int) -> Signed:
    """A new CA, which can sign certificates of servers and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"stepguard-operator CA {now}")
    usage = _key_usage(signs_certificates=True)
    builder = (
        _builder(name, name, key.public_key(), now=now, days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Signed(builder.sign(key, hashes.SHA256()), key)


def make_leaf(authority: Signed, names: Sequence[str], now: int) -> Signed:
    """A certificate for a server of these DNS names."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(names[0][:64]), authority.cert.subject, key.public_key(), now=now, days=LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return Signed(builder.sign(authority.key, hashes.SHA256()), key)


def parse_signed(cert: bytes, key: bytes) -> Signed | None:
    """A certificate and the key that belongs to it, None where they are not that."""
    try:
        certificate = x509.load_pem_x509_certificate(cert)
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != certificate.public_key():
        return None
    return Signed(certificate, private)


def parse_bundle(content: bytes) -> tuple[x509.Certificate, ...]:
    """Every certificate of a bundle, none where it is no such thing."""
    try:
        return tuple(x509.load_pem_x509_certificates(content))
    except ValueError:
        return ()


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)


def issued_at(certificate: x509.Certificate) -> int:
    """When we made it, in Unix seconds."""
    return int((certificate.not_valid_before_utc + BACKDATED).timestamp())


def expired(certificate: x509.Certificate, now: int) -> bool:
    """Whether nobody accepts it any more."""
    return now >= certificate.not_valid_after_utc.timestamp()


def ageing(certificate: x509.Certificate, now: int) -> bool:
    """Whether it is time for another one."""
    begin, end = issued_at(certificate), certificate.not_valid_after_utc.timestamp()
    return now >= begin + (end - begin) * RENEWED_AFTER


def signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether this authority signed it."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def dns_names(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS names it is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(extension.value.get_values_for_type(x509.DNSName))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, now: int, days: int
) -> x509.CertificateBuilder:
    begin = datetime.fromtimestamp(now, UTC) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + BACKDATED + timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
