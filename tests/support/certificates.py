"""A certificate authority for tests: server and client certificates on disk, as our flags take them."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Files of a certificate and its private key (PEM)."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates for names; `ca` is the file that peers trust."""

    def __init__(self, directory: Path, name: str = "ca", *, key_identifiers: bool = True) -> None:
        """`directory` must exist. Without `key_identifiers` certificates say what they must, as many private CAs do."""
        self.directory = directory
        self.ca = directory / f"{name}.crt"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _subject(name)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._key_identifiers = key_identifiers
        builder = _builder(self._subject, self._subject, self._key.public_key()).add_extension(
            constraints, critical=True
        )
        if key_identifiers:
            identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(identifier, critical=False).add_extension(usage, critical=True)
        self.ca.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(self, *names: str, file: str | None = None) -> KeyPair:
        """A certificate for these DNS names and addresses, in files called `file` or by the first name."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(names[0]), self._subject, key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        if self._key_identifiers:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        pair = KeyPair(self.directory / f"{file or names[0]}.crt", self.directory / f"{file or names[0]}.key")
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pair.cert.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return pair


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)  # noqa: TID251  (peers check certificates against the real clock)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)
