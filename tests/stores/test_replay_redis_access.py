"""Ways to a real Redis or Valkey server: passwords, databases, sockets, TLS."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stepguard_service.stores.replay import Claimed

from tests.support.certificates import Authority
from tests.support.processes import free_port, wait_until
from tests.support.redis_server import RedisServer
from tests.support.redis_store import Opened, claim


def test_the_password_file_is_read_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    with RedisServer(tmp_path) as server, Opened(server.url, password_file=file) as store:
        server.command("CONFIG", "SET", "requirepass", "new")
        assert not store.serves() or store.errors == 0
        file.write_text("new")
        wait_until(store.serves, "claims with the new password")


@pytest.mark.parametrize("path", [None, "missing"], ids=["no password", "no password file"])
def test_without_the_password_claims_are_unavailable(tmp_path: Path, path: str | None) -> None:
    with RedisServer(tmp_path, requirepass="secret") as server:
        file = tmp_path / path if path else None
        with Opened(server.url, password_file=file) as store:
            assert store.refusal is None
            assert store.claim(claim("a")) == [Claimed.UNAVAILABLE]


def test_a_password_in_the_url_and_another_database_are_used_and_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with RedisServer(tmp_path, requirepass="se%cret") as server:
        url = f"valkey://:se%25cret@127.0.0.1:{server.port}/3"
        with Opened(url) as store:
            assert store.claim(claim("a")) == [Claimed.CLAIMED]
    assert "cret" not in caplog.text


def test_a_unix_socket_is_a_way_in(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path, unixsocket=str(path)), Opened(f"unix://{path}?db=1") as store:
        assert store.claim(claim("a")) == [Claimed.CLAIMED]


@pytest.fixture
def tls_url(tmp_path: Path, authority: Authority) -> Iterator[Callable[[str], str]]:
    """A server that speaks TLS, as a function from host to URL."""
    pair = authority.issue("localhost", "127.0.0.1", file="redis")
    server = RedisServer(
        tmp_path,
        tls_port="0",
        tls_cert_file=str(pair.cert),
        tls_key_file=str(pair.key),
        tls_ca_cert_file=str(authority.ca),
        tls_auth_clients="no",
    )
    with server:
        port = free_port()
        server.command("CONFIG", "SET", "tls-port", port)
        yield lambda host: f"rediss://{host}:{port}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private CA."""
    return Authority(tmp_path)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_with_a_private_ca(tls_url: Callable[[str], str], authority: Authority, host: str) -> None:
    with Opened(tls_url(host), ca=authority.ca, timeout=1) as store:
        assert store.claim(claim("a", "1"), claim("a", "2")) == [Claimed.CLAIMED, Claimed.REPLAYED]


def test_tls_of_a_server_that_the_ca_does_not_know_is_not_used(tls_url: Callable[[str], str], tmp_path: Path) -> None:
    another = Authority(tmp_path, "another")
    for ca in (another.ca, None):
        with Opened(tls_url("localhost"), ca=ca) as store:
            assert store.claim(claim("a")) == [Claimed.UNAVAILABLE]


def test_tls_of_a_server_with_another_name_is_not_used(tls_url: Callable[[str], str], authority: Authority) -> None:
    with Opened(tls_url("127.0.0.2"), ca=authority.ca) as store:
        assert store.claim(claim("a")) == [Claimed.UNAVAILABLE]
