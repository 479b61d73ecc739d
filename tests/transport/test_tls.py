"""TLS and mTLS on the ext_authz port, and the rotation of their files."""

import shutil
from pathlib import Path

import grpc
import pytest
from stepguard_service.settings import TlsSettings
from stepguard_service.transport.tls import ServerTls, TlsError

from tests.support.bank import Bank
from tests.support.certificates import Authority, KeyPair
from tests.support.checks import Caller, check_request
from tests.support.processes import wait_until
from tests.support.served import served
from tests.support.service import service

PUBLIC = check_request("GET", "/public")
KINDS = ("aio", "fast")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs servers."""
    return Authority(tmp_path)


def credentials(trusted: Authority, pair: KeyPair | None = None) -> grpc.ChannelCredentials:
    """A client that trusts an authority, with a certificate of its own or without."""
    key, cert = (pair.key.read_bytes(), pair.cert.read_bytes()) if pair else (None, None)
    return grpc.ssl_channel_credentials(trusted.ca.read_bytes(), key, cert)


def answered(port: int, client: grpc.ChannelCredentials | None) -> bool:
    """Whether a new connection gets an answer."""
    caller = Caller(port, client)
    code = caller.error(PUBLIC)
    caller.close()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    return code is grpc.StatusCode.OK


@pytest.mark.parametrize("kind", KINDS)
def test_with_tls_nothing_is_answered_in_plaintext(authority: Authority, kind: str) -> None:
    """Nor to who trusts somebody else."""
    pair = authority.issue("localhost")
    tls = ServerTls(TlsSettings(pair.cert, pair.key, None))
    stranger = Authority(authority.directory, "stranger")
    with served(kind, credentials=tls.credentials()) as server:
        clients = (credentials(authority), credentials(stranger), None)
        assert [answered(server.port, client) for client in clients] == [True, False, False]


@pytest.mark.parametrize("kind", KINDS)
def test_with_mtls_clients_need_a_certificate_of_our_authority(authority: Authority, kind: str) -> None:
    """Without one, or with a stranger's, nothing is answered."""
    pair, ours = authority.issue("localhost"), authority.issue("envoy")
    theirs = Authority(authority.directory, "stranger").issue("envoy", file="theirs")
    tls = ServerTls(TlsSettings(pair.cert, pair.key, authority.ca))
    with served(kind, credentials=tls.credentials()) as server:
        clients = [credentials(authority, client) for client in (ours, None, theirs)]
        assert [answered(server.port, client) for client in clients] == [True, False, False]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_needs_no_restart(tmp_path: Path, authority: Authority, kind: str) -> None:
    """New connections get the new certificate; who trusts only its signer is answered."""
    renewed = Authority(tmp_path, "renewed")
    pair, other = authority.issue("localhost"), renewed.issue("localhost", file="other")
    with service(
        Bank(tmp_path / "policies").folder,
        tmp_path,
        *("--tls-cert", str(pair.cert), "--tls-key", str(pair.key), "--transport", kind),
    ) as started:
        assert [answered(started.port, credentials(one)) for one in (authority, renewed)] == [True, False]
        shutil.copy(other.cert, pair.cert)
        assert answered(started.port, credentials(authority)), "half a rotation must not count"
        shutil.copy(other.key, pair.key)
        wait_until(lambda: answered(started.port, credentials(renewed)), "the new certificate is used")
        assert not answered(started.port, credentials(authority))


BAD_FILES = {
    "no certificate": ("cert", "nonsense", "no certificate in PEM form"),
    "no key": ("key", "nonsense", "no unencrypted private key in PEM form"),
    "no client CA": ("ca", "nonsense", "no certificate in PEM form"),
}


@pytest.mark.parametrize(("which", "content", "problem"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_files_that_cannot_be_used_are_told_in_one_line(
    authority: Authority, which: str, content: str, problem: str
) -> None:
    """With the file's name, at the start."""
    pair = authority.issue("localhost")
    bad = {"cert": pair.cert, "key": pair.key, "ca": authority.ca}[which]
    bad.write_text(content)
    with pytest.raises(TlsError) as refused:
        ServerTls(TlsSettings(pair.cert, pair.key, authority.ca))
    assert str(refused.value) == f"{bad}: {problem}"


def test_a_key_of_another_certificate_is_told(authority: Authority) -> None:
    """Before the first handshake fails."""
    pair, other = authority.issue("localhost"), authority.issue("other")
    with pytest.raises(TlsError, match="not the key of the certificate"):
        ServerTls(TlsSettings(pair.cert, other.key, None))
