"""Host patterns: their normal form, which hosts they match, and that they form a tree."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stepguard_policy.hosts import (
    Authority,
    HostRefused,
    covers,
    enclosing_patterns,
    matches,
    normalize_host,
    parse_authority,
    parse_host_pattern,
)

LABELS = st.sampled_from(["a", "b", "api", "example", "com", "x-y", "_srv"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
ADDRESSES = st.ip_addresses().map(lambda address: f"[{address}]" if address.version == 6 else str(address))
HOSTS = NAMES | ADDRESSES
PATTERNS = st.just("*") | NAMES | NAMES.map("*.{}".format) | ADDRESSES


def normal(text: str) -> str:
    """The normal form of a pattern that is one."""
    pattern = parse_host_pattern(text)
    assert isinstance(pattern, str)
    return pattern


NORMAL_FORMS = {
    "a name is lower-cased": ("API.Example.COM", "api.example.com"),
    "one trailing dot goes": ("api.example.com.", "api.example.com"),
    "a wildcard keeps its star": ("*.Example.com", "*.example.com"),
    "the star alone is every host": ("*", "*"),
    "an underscore is a letter like others": ("_srv.example", "_srv.example"),
    "an IPv4 address stays": ("127.0.0.1", "127.0.0.1"),
    "an IPv6 address takes its shortest spelling": ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
    "a mapped IPv4 address is written in hex on every Python": ("[::FFFF:1.2.3.4]", "[::ffff:102:304]"),
}


@pytest.mark.parametrize(("text", "expected"), NORMAL_FORMS.values(), ids=NORMAL_FORMS.keys())
def test_a_pattern_has_one_normal_form(text: str, expected: str) -> None:
    """Spellings that mean the same hosts become the same text."""
    assert parse_host_pattern(text) == expected


REFUSED = {
    "nothing": "",
    "a bare dot": ".",
    "two trailing dots": "a.example..",
    "an empty label": "a..example",
    "a leading dot": ".example.com",
    "a port": "api.example.com:443",
    "a scheme": "https://api.example.com",
    "a path": "api.example.com/x",
    "userinfo": "user@api.example.com",
    "a list": "a.example,b.example",
    "a star inside": "api.*.example.com",
    "a star within a label": "a*.example.com",
    "two stars": "*.*.example.com",
    "a star with nothing after it": "*.",
    "a letter outside ASCII": "ap\u0131.example.com",
    "a Kelvin sign that lower-cases to k": "\u212a.example.com",
    "a space": "api example.com",
    "a newline at the end": "api.example.com\n",
    "an IPv4 address with a leading zero": "127.0.0.01",
    "an IPv4 address with a number too many": "127.0.0.0.1",
    "a number alone": "2130706433",
    "a wildcard before numbers": "*.0.0.1",
    "a wildcard before an IPv6 address": "*.[::1]",
    "an IPv6 address without brackets": "::1",
    "an IPv6 address with a zone": "[fe80::1%eth0]",
    "an unclosed bracket": "[::1",
    "a name in brackets": "[example]",
    "a name of 254 characters": "a" * 254,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_pattern_is_refused(text: str) -> None:
    """The refusal is a value that says why, in our words only."""
    refused = parse_host_pattern(text)
    assert isinstance(refused, HostRefused)
    assert refused.reason.isascii()


AUTHORITIES = {
    "a host alone": ("API.example.com", Authority("api.example.com", None)),
    "a host with a port": ("api.example.com:8443", Authority("api.example.com", 8443)),
    "a trailing dot before the port": ("api.example.com.:443", Authority("api.example.com", 443)),
    "an IPv6 address with a port": ("[::1]:80", Authority("[::1]", 80)),
    "an IPv6 address": ("[0::1]", Authority("[::1]", None)),
}


@pytest.mark.parametrize(("text", "expected"), AUTHORITIES.values(), ids=AUTHORITIES.keys())
def test_an_authority_is_host_or_host_and_port(text: str, expected: Authority) -> None:
    """The host comes back in the form in which patterns are compared."""
    assert parse_authority(text) == expected


BAD_AUTHORITIES = [
    "", ":443", "a.example:", "a.example:x", "a.example:65536", "a.example:000443", "a@b.example", "a,b", "a;b", "a/b",
    "a b", "a\tb", "[::1]x", "[::1]:", "::1", "*.example.com", "a..b", "a.example:443:443", "a\x00b", "a\u00e9.example",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_AUTHORITIES, ids=ascii)
def test_any_other_authority_is_refused(text: str) -> None:
    """Row 1a: many of these a real Envoy lets through."""
    assert isinstance(parse_authority(text), HostRefused)


MATCHES = {
    "a name matches itself": ("api.example.com", "api.example.com", True),
    "a name matches no other": ("api.example.com", "pay.example.com", False),
    "a wildcard matches one label before its suffix": ("*.example.com", "api.example.com", True),
    "a wildcard matches several labels before its suffix": ("*.example.com", "a.b.example.com", True),
    "a wildcard does not match its bare suffix": ("*.example.com", "example.com", False),
    "a wildcard stops at a label's border": ("*.example.com", "badexample.com", False),
    "the star matches a name": ("*", "example.com", True),
    "the star matches an address": ("*", "[::1]", True),
}


@pytest.mark.parametrize(("pattern", "host", "expected"), MATCHES.values(), ids=MATCHES.keys())
def test_which_hosts_a_pattern_matches(pattern: str, host: str, *, expected: bool) -> None:
    """On whole labels only."""
    assert matches(pattern, host) is expected


@given(pattern=PATTERNS.map(normal), host=HOSTS.map(normal))
def test_the_patterns_enclosing_a_host_are_those_that_match_it(pattern: str, host: str) -> None:
    """So that a table of patterns answers for a host by looking up a handful of keys."""
    assert matches(pattern, host) == (pattern in set(enclosing_patterns(host)))


@given(pattern=PATTERNS.map(normal), other=PATTERNS.map(normal), host=HOSTS.map(normal))
def test_two_patterns_that_share_a_host_are_nested(pattern: str, other: str, host: str) -> None:
    """Patterns form a tree: ownership may look at ancestors and descendants only."""
    if matches(pattern, host) and matches(other, host):
        assert covers(pattern, other) or covers(other, pattern)


@given(pattern=PATTERNS.map(normal), other=PATTERNS.map(normal), host=HOSTS.map(normal))
def test_a_pattern_matches_every_host_of_those_it_covers(pattern: str, other: str, host: str) -> None:
    """Coverage means what it says."""
    if covers(pattern, other) and matches(other, host):
        assert matches(pattern, host)


@given(host=HOSTS.map(normal))
def test_enclosing_patterns_come_most_specific_first(host: str) -> None:
    """Each is covered by all that follow it."""
    chain = list(enclosing_patterns(host))
    assert all(covers(later, earlier) for earlier, later in pairwise(chain))


@given(text=st.text() | PATTERNS)
@example("*.")
@example("[::ffff:1.2.3.4]")
def test_any_text_gives_a_pattern_in_normal_form_or_a_refusal(text: str) -> None:
    """Parsing never raises, and its own result parses to itself."""
    pattern = parse_host_pattern(text)
    assert isinstance(pattern, HostRefused) or parse_host_pattern(pattern) == pattern


@given(text=st.text() | HOSTS | st.tuples(HOSTS, st.integers(0, 99999)).map(lambda parts: f"{parts[0]}:{parts[1]}"))
def test_any_text_gives_an_authority_in_normal_form_or_a_refusal(text: str) -> None:
    """Parsing never raises, and its host is its own normal form."""
    authority = parse_authority(text)
    assert isinstance(authority, HostRefused) or normalize_host(authority.host) == authority.host
