"""`--replay-store` as an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.stores.redis_address import RedisAddress, parse_redis_url


def tcp(**differs: object) -> RedisAddress:
    usual: dict[str, object] = {
        "host": "valkey",
        "port": 6379,
        "socket": "",
        "tls": False,
        "database": 0,
        "user": "",
        "password": "",
    }
    return RedisAddress(**{**usual, **differs})  # type: ignore[arg-type]  # a table of fields


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://valkey", tcp()),
        ("valkey://valkey:7000/2", tcp(port=7000, database=2)),
        ("rediss://valkey", tcp(tls=True)),
        ("valkeys://valkey/", tcp(tls=True)),
        ("redis://[::1]:7", tcp(host="::1", port=7)),
        ("redis://me:se%2Fcret@valkey", tcp(user="me", password="se/cret")),
        ("redis://:secret@valkey", tcp(password="secret")),
        ("unix:///run/redis.sock", tcp(host="", port=0, socket="/run/redis.sock")),
        ("unix:///run/redis.sock?db=3", tcp(host="", port=0, socket="/run/redis.sock", database=3)),
    ],
)
def test_a_url_names_a_server_and_a_database(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://valkey", id="another scheme"),
        pytest.param("redis:", id="no host"),
        pytest.param("redis://valkey:99999", id="no port"),
        pytest.param("redis://valkey/one", id="a database that is no number"),
        pytest.param("redis://valkey/-1", id="a negative database"),
        pytest.param("redis://valkey/1/2", id="more than a database"),
        pytest.param("redis://valkey?timeout=5", id="options"),
        pytest.param("redis://:pa#ss@valkey", id="a password with an unescaped #"),
        pytest.param("unix://host/path", id="a socket on another host"),
        pytest.param("unix:", id="no path"),
        pytest.param("unix:///run/redis.sock?db=x", id="a socket with a database that is no number"),
        pytest.param("redis://[::1", id="no URL"),
    ],
)
def test_anything_else_is_refused_in_words(url: str) -> None:
    assert isinstance(parse_redis_url(url), str)


def test_a_refusal_does_not_repeat_a_password() -> None:
    refusal = parse_redis_url("redis://:hunter2@valkey/one")
    assert isinstance(refusal, str)
    assert "hunter2" not in refusal


def test_what_logs_call_it_shows_no_password() -> None:
    assert tcp(password="secret", host="::1").place == "[::1]:6379"
    assert tcp(socket="/run/redis.sock").place == "/run/redis.sock"


@given(st.text() | st.text().map("redis://".__add__) | st.text().map("unix:///".__add__))
def test_fuzz_any_text_gives_an_address_or_a_refusal(url: str) -> None:
    """Any text gives an address that names a host or a socket, or a refusal in one line, never an exception."""
    parsed = parse_redis_url(url)
    assert "\n" not in parsed if isinstance(parsed, str) else bool(parsed.host) != bool(parsed.socket)
