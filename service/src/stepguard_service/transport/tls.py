"""TLS on the ext_authz port: certificate, key and client CAs from files, read again whenever they change.

A rotation that is half done (a new certificate beside the old key) does not count: the pair in use stays until the
files fit together.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from stepguard_service.settings import TlsSettings

_log = logging.getLogger(__name__)


class TlsError(Exception):
    """The files cannot be used. The text says which and why, in one line."""


class ServerTls:
    """Credentials for a gRPC server that follow the files.

    Raises:
        TlsError: the files cannot be used at the start.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._seen = self._fingerprint()
        self._configuration = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """For the port; gRPC asks for the certificate at every handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration, self._current, require_client_authentication=self._settings.client_ca is not None
        )

    def _current(self) -> grpc.ServerCertificateConfiguration | None:
        """A new configuration after a change, None where there is none. Called by gRPC's threads."""
        seen = self._fingerprint()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            self._configuration = self._read()
        except TlsError as error:
            _log.warning("TLS files changed but are not used: %s", error)
            return None
        _log.info("TLS files changed and are in use")
        return self._configuration

    def _fingerprint(self) -> Sequence[tuple[int, int, int] | None]:
        return [_fingerprint(path) for path in self._files()]

    def _files(self) -> Sequence[Path]:
        settings = self._settings
        return [settings.cert, settings.key, *([settings.client_ca] if settings.client_ca else [])]

    def _read(self) -> grpc.ServerCertificateConfiguration:
        settings = self._settings
        cert, key = _bytes(settings.cert), _bytes(settings.key)
        _check_pair(settings, cert, key)
        roots = None
        if settings.client_ca is not None:
            roots = _bytes(settings.client_ca)
            _certificates(settings.client_ca, roots)
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=roots)


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from error


def _certificates(path: Path, pem: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise TlsError(f"{path}: no certificate in PEM form") from None


def _check_pair(settings: TlsSettings, cert: bytes, key: bytes) -> None:
    leaf = _certificates(settings.cert, cert)[0]
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        raise TlsError(f"{settings.key}: no unencrypted private key in PEM form") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if leaf.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise TlsError(f"{settings.key}: not the key of the certificate in {settings.cert}")
