"""One HTTP request: TLS, proxies, bounds of time and size, and nothing that was not asked for."""

import asyncio
import socket as socket_module
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import create_server, socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from stepguard_service.server_trust import trust_context
from stepguard_service.transport.http_fetch import Fetched, FetchFailed, HttpClient, fresh_for, proxy_for

from tests.support.certificates import Authority, KeyPair
from tests.support.http_server import HttpServer, Received, Reply

Outcome = Fetched | FetchFailed


def get(url: str, *, ca_bundle: str = "", limit: int = 1000, seconds: float = 10) -> Outcome:
    async def one() -> Outcome:
        client = HttpClient(ca_bundle, system=trust_context(), connections=1)
        try:
            return await client.get(url, limit=limit, seconds=seconds)
        finally:
            await client.close()

    return asyncio.run(one())


def hello(_: Received) -> Reply:
    return Reply(200, b"hello", {"set-cookie": "a=b"})


@pytest.fixture(params=[True, False], ids=["key identifiers", "no key identifiers"])
def authority(tmp_path: Path, request: pytest.FixtureRequest) -> Authority:
    """A private CA; what many of them leave out is not missed."""
    return Authority(tmp_path, key_identifiers=request.param)


@pytest.fixture
def certificate(authority: Authority) -> KeyPair:
    """Of the server."""
    return authority.issue("127.0.0.1")


@pytest.fixture
def tls(certificate: KeyPair) -> Iterator[HttpServer]:
    """An https server whose certificate the private CA signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    with HttpServer(hello, tls=context) as server:
        yield server


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's own environment says."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_private_ca_is_trusted_where_the_issuer_names_it(tls: HttpServer, authority: Authority) -> None:
    bundle = f"# autorité privée\n{authority.ca.read_text()}"
    assert get(tls.url, ca_bundle=bundle) == Fetched(b"hello")


def test_without_one_the_systems_cas_are_trusted(
    tls: HttpServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here they come from where OpenSSL is told to find them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    assert get(tls.url) == Fetched(b"hello")


def test_a_private_ca_is_not_trusted_otherwise(tls: HttpServer) -> None:
    outcome = get(tls.url)
    assert isinstance(outcome, FetchFailed)
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail


def test_another_private_ca_is_not_trusted(tls: HttpServer, tmp_path: Path) -> None:
    another = Authority(tmp_path, "another")
    assert isinstance(get(tls.url, ca_bundle=another.ca.read_text()), FetchFailed)


def test_a_bundle_may_name_the_servers_own_certificate(tls: HttpServer, certificate: KeyPair) -> None:
    """Every certificate of a bundle is an anchor, as in Go and Envoy."""
    assert get(tls.url, ca_bundle=certificate.cert.read_text()) == Fetched(b"hello")


def test_a_certificate_for_another_name_is_not_trusted(tls: HttpServer, authority: Authority) -> None:
    outcome = get(tls.url.replace("127.0.0.1", "127.0.0.2"), ca_bundle=authority.ca.read_text())
    assert isinstance(outcome, FetchFailed)


@pytest.mark.parametrize(
    "bundle", ["not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", " ", "é"]
)
def test_a_ca_bundle_that_is_none_fails_before_anything_is_sent(bundle: str) -> None:
    """Never does it fall back to the system's CAs."""
    outcome = get("https://127.0.0.1:1/", ca_bundle=bundle)
    assert isinstance(outcome, FetchFailed)
    assert "annot connect" not in outcome.detail


def test_plain_http_goes_to_loopback_only() -> None:
    assert get("http://as.example/") == FetchFailed("neither https nor http of a loopback host")


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    """No cookies, no credentials from .netrc, no wish for compression."""
    with HttpServer(hello) as server:

        async def twice() -> None:
            client = HttpClient("", system=trust_context(), connections=1)
            await client.get(server.url, limit=10, seconds=5)
            await client.get(server.url, limit=10, seconds=5)
            await client.close()

        asyncio.run(twice())
        names = {name for request in server.received for name, _ in request.headers}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}


def test_a_body_of_exactly_the_limit_is_read() -> None:
    with HttpServer(hello) as server:
        assert get(server.url, limit=5) == Fetched(b"hello")
        assert get(server.url, limit=4) == FetchFailed("longer than 4 bytes", 200)


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[socket], None]], str]]:
    """Starts a server of raw bytes for each connection; gives its URL."""
    listener = create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(talk: Callable[[socket], None]) -> str:
        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                try:
                    talk(connection)
                except OSError:
                    return  # the client had enough

        threads.append(threading.Thread(target=accept, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield serve
    for thread in threads:
        thread.join(10)
    listener.close()


def drip(piece: bytes, first: bytes = b"") -> Callable[[socket], None]:
    def talk(connection: socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(piece)
            time.sleep(0.01)

    return talk


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(drip(b"x", HEAD), id="a body byte by byte"),
        pytest.param(drip(b"x: y\r\n", b"HTTP/1.1 200 OK\r\n"), id="headers without end"),
        pytest.param(drip(b"HTTP/1.1 100 Continue\r\n\r\n"), id="interim answers without end"),
    ],
)
def test_a_server_that_drips_is_left_in_time(
    raw: Callable[[Callable[[socket], None]], str], talk: Callable[[socket], None]
) -> None:
    begun = time.monotonic()
    assert isinstance(get(raw(talk), seconds=0.5, limit=10**6), FetchFailed)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\x16\x03\x01\x02\x00", id="TLS where HTTP was expected"),
        pytest.param(b"SSH-2.0-x\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", id="a length that is no number"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", id="broken chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", id="a body that ends too soon"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_http_fails_in_one_line(raw: Callable[[Callable[[socket], None]], str], answer: bytes) -> None:
    outcome = get(raw(lambda connection: connection.sendall(answer)), seconds=1)
    assert isinstance(outcome, FetchFailed)
    assert outcome.detail.isprintable()


def test_a_name_that_nobody_knows_fails_in_words() -> None:
    assert isinstance(get("https://no-such-host.invalid/"), FetchFailed)


def test_name_lookups_that_hang_delay_only_their_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client has two threads for lookups: a third one fails at once, and other clients do not notice."""
    released = threading.Event()
    look_up = socket_module.getaddrinfo

    def hanging(host: str, *arguments: Any) -> Any:
        if host.endswith(".invalid"):
            released.wait(20)
        return look_up(host, *arguments)

    monkeypatch.setattr(socket_module, "getaddrinfo", hanging)

    async def several(port: int) -> list[Outcome]:
        stuck, other = (HttpClient("", system=trust_context(), connections=1) for _ in range(2))
        outcomes = [await stuck.get(f"https://{name}.invalid/", limit=10, seconds=0.1) for name in "abc"]
        outcomes.append(await other.get(f"http://localhost:{port}/", limit=10, seconds=5))
        released.set()
        await stuck.close()
        await other.close()
        return outcomes

    with HttpServer(hello) as server:
        first, second, third, healthy = asyncio.run(several(server.port))
    assert first == second == FetchFailed("no answer within 0.1 s")
    assert isinstance(third, FetchFailed)
    assert "name lookups of this client hang" in third.detail
    assert healthy == Fetched(b"hello")


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_https_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy here refuses; that it was asked for this host, without the path, is what counts (RFC 9110 §9.3.6)."""
    with HttpServer(lambda _: Reply(403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        outcome = get("https://as.example/jwks")
        assert isinstance(outcome, FetchFailed)
        assert [(request.method, request.target) for request in proxy.received] == [("CONNECT", "as.example:443")]


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        pytest.param("https://as.example/", {"HTTPS_PROXY": "http://p:1"}, "http://p:1", id="HTTPS_PROXY"),
        pytest.param("https://as.example/", {"https_proxy": "http://p:1"}, "http://p:1", id="in lower case"),
        pytest.param("https://as.example/", {"ALL_PROXY": "http://p:1"}, "http://p:1", id="ALL_PROXY"),
        pytest.param("https://as.example/", {"HTTP_PROXY": "http://p:1"}, None, id="HTTP_PROXY is not for https"),
        pytest.param(
            "https://as.example/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, None, id="NO_PROXY by suffix"
        ),
        pytest.param("https://127.0.0.1/", {"HTTPS_PROXY": "http://p:1"}, None, id="never for loopback"),
        pytest.param("http://localhost:1/", {"HTTP_PROXY": "http://p:1"}, None, id="nor for loopback over http"),
        pytest.param("https://as.example/", {}, None, id="none"),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


# --- Cache-Control ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        pytest.param([], None, None, id="none says nothing"),
        pytest.param(["max-age=90"], None, 90, id="max-age"),
        pytest.param(["public, MAX-AGE=90 , must-revalidate"], None, 90, id="among others, in any case"),
        pytest.param(["public", 'max-age="90"'], None, 90, id="on a second line, quoted"),
        pytest.param(["max-age=90"], "30", 60, id="less the time it spent in caches"),
        pytest.param(["max-age=90"], "300", 0, id="which may be all of it"),
        pytest.param(["max-age=90, no-store"], None, 0, id="no-store"),
        pytest.param(["no-cache"], None, 0, id="no-cache"),
        pytest.param(["max-age=soon"], None, 0, id="a lifetime that is no number"),
        pytest.param(["max-age=-1"], None, 0, id="a negative lifetime"),
        pytest.param(["s-maxage=90"], None, None, id="what is meant for shared caches"),
    ],
)
def test_how_long_an_answer_is_fresh(cache_control: list[str], age: str | None, seconds: int | None) -> None:
    headers = CIMultiDict([("Cache-Control", value) for value in cache_control])
    if age is not None:
        headers["Age"] = age
    assert fresh_for(headers) == seconds


@given(st.lists(st.text()), st.text())
def test_fuzz_any_headers_give_a_lifetime_or_none(cache_control: list[str], age: str) -> None:
    """Any header values give a number of seconds, not negative and below 1e9, or None, never an exception."""
    headers = CIMultiDict([*(("Cache-Control", value) for value in cache_control), ("Age", age)])
    seconds = fresh_for(headers)
    assert seconds is None or 0 <= seconds < 10**9
