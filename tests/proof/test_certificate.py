"""Where the certificate of RFC 8705 comes from, and what counts as none."""

from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.model import Request
from stepguard_service.proof.certificate import CertificateSource, parse_xfcc, presented_certificate

PEER, FIRST, LAST = CertificateSource.PEER, CertificateSource.XFCC_FIRST, CertificateSource.XFCC_LAST
CLIENT = "aa" * 32
HOP = "bb" * 32


@cache
def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
    return builder.sign(key, SHA256())


def request(peer: str = "", xfcc: str | None = None) -> Request:
    headers = {} if xfcc is None else {"x-forwarded-client-cert": xfcc}
    return Request(id="1", method="GET", authority="h", target="/", headers=headers, certificate=peer)


def url_encoded_pem() -> str:
    return quote(certificate().public_bytes(Encoding.PEM).decode(), safe="-")


def text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def x5t(hex_digest: str) -> str:
    return text(bytes.fromhex(hex_digest))


def test_the_peer_certificate_is_the_hash_of_its_der_form() -> None:
    """RFC 8705 §3.1: x5t#S256 is base64url of SHA-256 over the DER encoding."""
    expected = text(sha256(certificate().public_bytes(Encoding.DER)).digest())
    assert presented_certificate(request(peer=url_encoded_pem()), PEER) == expected


def test_only_the_leaf_of_a_chain_counts() -> None:
    chain = url_encoded_pem() + quote("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", safe="-")
    alone = presented_certificate(request(peer=url_encoded_pem()), PEER)
    assert presented_certificate(request(peer=chain), PEER) == alone


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param("", id="none"),
        pytest.param("hello", id="no PEM"),
        pytest.param(
            "-----BEGIN%20CERTIFICATE-----%0A%21%0A-----END%20CERTIFICATE-----", id="PEM with other characters"
        ),
        pytest.param("-----BEGIN%20CERTIFICATE-----%0AA%0A-----END%20CERTIFICATE-----", id="PEM with broken base64"),
        pytest.param("-----BEGIN%20CERTIFICATE-----%0A" + "A" * 40_000, id="too long"),
    ],
)
def test_a_peer_certificate_that_cannot_be_read_is_none(peer: str) -> None:
    assert presented_certificate(request(peer=peer), PEER) is None


def test_a_clients_own_header_never_counts_under_peer() -> None:
    assert presented_certificate(request(xfcc=f"Hash={CLIENT}"), PEER) is None


def test_the_peer_certificate_never_counts_under_xfcc() -> None:
    assert presented_certificate(request(peer=url_encoded_pem()), FIRST) is None


def test_nothing_counts_under_none() -> None:
    given_both = request(peer=url_encoded_pem(), xfcc=f"Hash={CLIENT}")
    assert presented_certificate(given_both, CertificateSource.NONE) is None


@pytest.mark.parametrize(
    ("xfcc", "first", "last"),
    [
        pytest.param(f"Hash={CLIENT}", CLIENT, CLIENT, id="one element is both first and last"),
        pytest.param(f"By=spiffe://a;Hash={CLIENT},By=spiffe://b;Hash={HOP}", CLIENT, HOP, id="two elements"),
        pytest.param(f"Hash={CLIENT}, Hash={HOP}", CLIENT, HOP, id="a hop joined header lines with comma and space"),
        pytest.param(f"hash={CLIENT.upper()}", CLIENT, CLIENT, id="keys and hex digits in any case"),
        pytest.param(
            f'Subject="CN=a,O=\\"b;c\\"";Hash={CLIENT}', CLIENT, CLIENT, id="a quoted subject with separators"
        ),
        pytest.param(f'Subject="";Hash={CLIENT};URI=spiffe://a?x=y', CLIENT, CLIENT, id="a URI with an equals sign"),
        pytest.param(f"Hash={CLIENT},By=x", CLIENT, None, id="a last element without hash"),
        pytest.param(f"By=x,Hash={HOP}", None, HOP, id="a first element without hash"),
        pytest.param(f"Hash={CLIENT};Hash={HOP}", None, None, id="two hashes in one element"),
        pytest.param(f"Hash={CLIENT[2:]}", None, None, id="a hash that is too short"),
        pytest.param(f"Hash=zz{CLIENT[2:]}", None, None, id="a hash that is not hexadecimal"),
        pytest.param("", None, None, id="an empty header"),
        pytest.param(f"Hash={CLIENT},", None, None, id="a trailing comma"),
        pytest.param(f'Hash={CLIENT};Subject="open', None, None, id="a quote that is never closed"),
        pytest.param(f'Hash={CLIENT};Subject="a"b', None, None, id="text after a closing quote"),
    ],
)
def test_the_chosen_element_of_the_header_names_the_certificate(xfcc: str, first: str | None, last: str | None) -> None:
    assert presented_certificate(request(xfcc=xfcc), FIRST) == (first and x5t(first))
    assert presented_certificate(request(xfcc=xfcc), LAST) == (last and x5t(last))


def test_without_the_header_there_is_no_certificate() -> None:
    assert presented_certificate(request(), FIRST) is None


@given(st.text(alphabet='aB=";,\\ xyz'))
def test_a_client_cannot_hide_what_the_proxy_appended(sent: str) -> None:
    """Whatever a client sends first, the last element is the proxy's or nothing is believed."""
    appended = f'By=spiffe://proxy;Hash={HOP};Subject="CN=client,O=\\"x\\"";URI=spiffe://client'
    assert presented_certificate(request(xfcc=f"{sent},{appended}"), LAST) in {None, x5t(HOP)}


@given(st.text() | st.text(alphabet='Hash="By;,\\ 0f').map(lambda end: f"Hash={CLIENT};{end}"))
def test_fuzz_any_header_gives_elements_or_nothing(value: str) -> None:
    """Any text gives at least one non-empty element or None, never an exception."""
    elements = parse_xfcc(value)
    assert elements is None or all(elements)


@given(st.text() | st.binary().map(lambda der: f"-----BEGIN CERTIFICATE-----%0A{quote(b64encode(der))}"))
def test_fuzz_any_peer_certificate_gives_a_thumbprint_or_nothing(peer: str) -> None:
    """Any text gives 43 characters or None, never an exception."""
    found = presented_certificate(request(peer=peer), PEER)
    assert found is None or len(found) == 43
