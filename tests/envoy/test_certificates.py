"""Certificate-bound tokens (RFC 8705) with certificates that a real Envoy saw in TLS."""

import hashlib
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.bank import HOST, Bank
from tests.support.certificates import Authority, KeyPair
from tests.support.clock import clock_now
from tests.support.envoy import Downstream, Listener, envoy
from tests.support.http_clients import Response, http1
from tests.support.http_server import HttpServer, echo
from tests.support.service import service
from tests.support.tokens import ClientKey


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text())


def x5t(pair: KeyPair) -> str:
    return urlsafe_b64encode(hashlib.sha256(der(pair)).digest()).rstrip(b"=").decode()


@dataclass
class Front:
    """Clients with certificates before an Envoy that asks two services, one by TLS peer and one by header."""

    bank: Bank
    authority: Authority
    ports: dict[str, int]
    own: KeyPair
    thief: KeyPair

    def get(self, listener: str, pair: KeyPair | None, *headers: tuple[str, str]) -> Response:
        """One request over TLS, with this certificate."""
        context = ssl.create_default_context(cafile=self.authority.ca)
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        return http1(self.ports[listener], "/accounts", host=HOST, headers=headers, tls=context)

    def bearer(self) -> tuple[str, str]:
        """A token bound to the client's own certificate."""
        token = self.bank.signer.access_token(clock_now(), claims={"cnf": {"x5t#S256": x5t(self.own)}})
        return ("Authorization", f"Bearer {token}")

    def both(self, key: ClientKey) -> tuple[tuple[str, str], tuple[str, str]]:
        """A token bound to the client's own certificate and to its key, and a proof by `key`."""
        cnf = {"jkt": self.bank.client.jkt, "x5t#S256": x5t(self.own)}
        token = self.bank.signer.access_token(clock_now(), claims={"cnf": cnf})
        proof = key.proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=token)
        return ("Authorization", f"DPoP {token}"), ("DPoP", proof)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """`peer`: certificates by `source.certificate`; `xfcc`: by the header that Envoy sets."""
    directory = tmp_path_factory.mktemp("certificates")
    bank = Bank(directory / "policies")
    authority = Authority(directory)
    server = authority.issue("localhost")
    tls = {
        "peer": Downstream(server.cert, server.key, authority.ca, forward="ALWAYS_FORWARD_ONLY"),
        "xfcc": Downstream(server.cert, server.key, authority.ca, forward="SANITIZE_SET"),
    }
    with (
        HttpServer(echo) as application,
        service(bank.folder, directory, "--client-certificate", "peer") as by_peer,
        service(bank.folder, directory, "--client-certificate", "xfcc-last") as by_header,
        envoy(
            directory,
            {name: Listener(cluster=name, tls=downstream) for name, downstream in tls.items()},
            {"peer": by_peer.port, "xfcc": by_header.port},
            application=application.port,
        ) as started,
    ):
        own, thief = authority.issue("client"), authority.issue("thief")
        yield Front(bank, authority, dict(started.ports), own, thief)


SOURCES = pytest.mark.parametrize("listener", ["peer", "xfcc"])


@SOURCES
def test_a_bound_token_passes_with_its_certificate_and_with_no_other(front: Front, listener: str) -> None:
    assert front.get(listener, front.own, front.bearer()).status == 200
    for pair in (front.thief, None):
        refused = front.get(listener, pair, front.bearer())
        assert refused.status == 401
        assert any('error="invalid_token"' in value for value in refused.values("www-authenticate"))


@SOURCES
def test_a_clients_own_header_never_counts(front: Front, listener: str) -> None:
    """Under `peer` Envoy even passes it on; under xfcc Envoy replaces it."""
    spoofed = ("x-forwarded-client-cert", f"Hash={hashlib.sha256(der(front.own)).hexdigest()}")
    for pair in (front.thief, None):
        assert front.get(listener, pair, front.bearer(), spoofed).status == 401


@SOURCES
def test_where_a_token_has_both_bindings_both_must_hold(front: Front, listener: str) -> None:
    assert front.get(listener, front.own, *front.both(front.bank.client)).status == 200
    assert front.get(listener, front.thief, *front.both(front.bank.client)).status == 401
    assert front.get(listener, front.own, *front.both(ClientKey())).status == 401
