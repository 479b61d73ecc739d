"""The stream's certificate: replaced while the server runs, each new connection gets the newest."""

from dataclasses import dataclass

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stepguard_operator.settings import TlsSettings


class BadCertificateError(Exception):
    """A certificate and a key that cannot serve. One line."""


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM of what the server shows, and of the CAs whose clients it lets in; None: any client."""

    cert: bytes
    key: bytes
    client_ca: bytes | None = None


def check(identity: Identity, *, source: str) -> Identity:
    """The same, when key and certificate belong together. `source` is named in errors.

    Raises:
        BadCertificateError: gRPC would refuse them, or every client would.
    """
    try:
        certificates = x509.load_pem_x509_certificates(identity.cert)
        key = load_pem_private_key(identity.key, password=None)
        if identity.client_ca is not None:
            x509.load_pem_x509_certificates(identity.client_ca)
    except (ValueError, TypeError) as error:
        raise BadCertificateError(f"{source}: no PEM of a certificate and its key: {error}") from error
    if certificates[0].public_key() != key.public_key():
        raise BadCertificateError(f"{source}: the key is not that of the certificate")
    return identity


def read(files: TlsSettings) -> Identity:
    """Read and check the files. Raises BadCertificateError."""
    try:
        client_ca = files.client_ca.read_bytes() if files.client_ca is not None else None
        identity = Identity(files.cert.read_bytes(), files.key.read_bytes(), client_ca)
    except OSError as error:
        raise BadCertificateError(f"{error.filename}: {(error.strerror or str(error)).lower()}") from error
    return check(identity, source=str(files.cert))


class ServerTls:
    """What the server shows now. `show` may be called from any thread."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._given = identity

    def show(self, identity: Identity) -> None:
        """From the next connection on."""
        self._identity = identity

    def credentials(self) -> grpc.ServerCredentials:
        """For the one port of the server. Client certificates are demanded where there is a CA for them at start."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._identity),
            self._fetch,
            require_client_authentication=self._identity.client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """GRPC asks before each handshake; None: as before."""
        identity = self._identity
        if identity == self._given:
            return None
        self._given = identity
        return _configuration(identity)


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(identity.key, identity.cert)], identity.client_ca)
