"""The target URI of a proof: what counts as the same URI, and what is no URI at all (RFC 9449 §4.3, RFC 3986 §6.2)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.model import Origin
from stepguard_service.proof.htu import normalize_htu, request_target

EQUAL = {
    "case of the scheme": ("HTTPS://rs.example/a", "https://rs.example/a"),
    "case of the host": ("https://RS.Example/a", "https://rs.example/a"),
    "the default port": ("https://rs.example:443/a", "https://rs.example/a"),
    "an empty port": ("https://rs.example:/a", "https://rs.example/a"),
    "the default port of http": ("http://rs.example:80/a", "http://rs.example/a"),
    "an empty path": ("https://rs.example", "https://rs.example/"),
    "an empty path before a query": ("https://rs.example?x", "https://rs.example/"),
    "an empty path before a fragment": ("https://rs.example#x", "https://rs.example/"),
    "a query": ("https://rs.example/a?x=1&y=/../", "https://rs.example/a"),
    "a fragment": ("https://rs.example/a#x?y", "https://rs.example/a"),
    "case of an escape": ("https://rs.example/%c3%a9", "https://rs.example/%C3%A9"),
    "an escape of an unreserved character": ("https://rs.example/%7Eu%73%65r%2D%5f", "https://rs.example/~user-_"),
    "a dot segment": ("https://rs.example/a/./b", "https://rs.example/a/b"),
    "a double-dot segment": ("https://rs.example/a/../b", "https://rs.example/b"),
    "an escaped dot segment": ("https://rs.example/a/%2e%2E/b", "https://rs.example/b"),
    "dot segments at the end": ("https://rs.example/a/b/..", "https://rs.example/a/"),
    "one dot at the end": ("https://rs.example/a/.", "https://rs.example/a/"),
    "dots above the root": ("https://rs.example/../../a", "https://rs.example/a"),
    "dots that leave nothing": ("https://rs.example/a/..", "https://rs.example/"),
    "an empty segment that dots remove": ("https://rs.example/a//../b", "https://rs.example/a/b"),
    "case of an IPv6 address": ("https://[2001:DB8::A]:443/", "https://[2001:db8::a]/"),
}
DIFFERENT = {
    "the scheme": ("https://rs.example/a", "http://rs.example/a"),
    "the host": ("https://rs.example/a", "https://rs.example.evil/a"),
    "a trailing dot of the host": ("https://rs.example/a", "https://rs.example./a"),
    "the port": ("https://rs.example:8443/a", "https://rs.example/a"),
    "the default port of another scheme": ("https://rs.example:80/a", "https://rs.example/a"),
    "case of the path": ("https://rs.example/A", "https://rs.example/a"),
    "a trailing slash": ("https://rs.example/a/", "https://rs.example/a"),
    "a doubled slash": ("https://rs.example/a//b", "https://rs.example/a/b"),
    "an escaped slash": ("https://rs.example/a%2Fb", "https://rs.example/a/b"),
    "an escaped percent sign": ("https://rs.example/a%252Fb", "https://rs.example/a%2Fb"),
    "an escape of a reserved character": ("https://rs.example/a%3Bb", "https://rs.example/a;b"),
    "parameters of a segment": ("https://rs.example/a;v=1", "https://rs.example/a"),
    "a plus sign": ("https://rs.example/a+b", "https://rs.example/a%20b"),
    "dots in a name": ("https://rs.example/a/..b", "https://rs.example/b"),
    "three dots": ("https://rs.example/a/.../b", "https://rs.example/b"),
}
REFUSED = {
    "nothing": "",
    "a path": "/a",
    "a relative reference": "//rs.example/a",
    "no authority": "https:///a",
    "no slashes": "https:rs.example/a",
    "another scheme": "ftp://rs.example/a",
    "a websocket": "wss://rs.example/a",
    "a user": "https://user@rs.example/a",
    "a user and a password": "https://user:pw@rs.example/a",
    "an empty user": "https://@rs.example/a",
    "a host of two": "https://rs.example,evil.example/a",
    "an escape in the host": "https://rs%2Eexample/a",
    "a port that is no number": "https://rs.example:https/a",
    "a port of six digits": "https://rs.example:000443/a",
    "an open bracket": "https://[::1/a",
    "a zone": "https://[fe80::1%25eth0]/a",
    "a backslash in the path": "https://rs.example/a\\b",
    "a backslash in the authority": "https://rs.example\\@evil.example/a",
    "a backslash in the query": "https://rs.example/a?\\",
    "a space in the path": "https://rs.example/a b",
    "a space before it": " https://rs.example/a",
    "a space after it": "https://rs.example/a ",
    "a TAB in the scheme": "ht\ttps://rs.example/a",
    "a CR in the host": "https://rs.exa\rmple/a",
    "a line feed at the end": "https://rs.example/a\n",
    "a line feed in the query": "https://rs.example/a?\n",
    "a NUL": "https://rs.example/a\0",
    "a letter outside ASCII in the path": "https://rs.example/é",
    "a letter outside ASCII in the host": "https://rs.éxample/a",
    "a digit outside ASCII in the port": "https://rs.example:44\u0663/a",
    "a lone surrogate": "https://rs.example/\ud800",
    "a percent sign alone": "https://rs.example/a%",
    "half an escape": "https://rs.example/a%2",
    "an escape of no digits": "https://rs.example/a%zz",
}


@pytest.mark.parametrize(("one", "other"), EQUAL.values(), ids=EQUAL.keys())
def test_one_uri_in_spite_of(one: str, other: str) -> None:
    assert normalize_htu(one) == normalize_htu(other) == other


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_two_uris_because_of(one: str, other: str) -> None:
    assert normalize_htu(one) is not None
    assert normalize_htu(one) != normalize_htu(other)


@pytest.mark.parametrize("uri", REFUSED.values(), ids=REFUSED.keys())
def test_no_uri_with(uri: str) -> None:
    assert normalize_htu(uri) is None


REQUESTS = {
    "as it came": (Origin(), "rs.example", "/a", "https://rs.example/a"),
    "with its query cut": (Origin(), "rs.example", "/a?x=1", "https://rs.example/a"),
    "with a query of odd characters cut": (Origin(), "rs.example", "/a?x=\\ é", "https://rs.example/a"),
    "with its own port": (Origin(), "RS.example:8443", "/a", "https://rs.example:8443/a"),
    "with the default port left out": (Origin(), "rs.example:443", "/a", "https://rs.example/a"),
    "with dot segments removed": (Origin(), "rs.example", "/a/../b/", "https://rs.example/b/"),
    "with doubled slashes kept": (Origin(), "rs.example", "//a//b", "https://rs.example//a//b"),
    "under http where the policy says so": (Origin("http"), "localhost:8080", "/a", "http://localhost:8080/a"),
    "with the policy's port instead of none": (Origin(port=8443), "rs.example", "/a", "https://rs.example:8443/a"),
    "with the policy's port instead of its own": (Origin(port=8443), "rs.example:1", "/a", "https://rs.example:8443/a"),
    "with the policy's port that is the default": (Origin(port=443), "rs.example:1", "/a", "https://rs.example/a"),
    "with the policy's host and the default port": (Origin(host="pay.example"), "x:1", "/a", "https://pay.example/a"),
    "with the policy's host and port": (
        Origin(host="pay.example", port=8443),
        "x",
        "/a",
        "https://pay.example:8443/a",
    ),
    "with an IPv6 address": (Origin(), "[::1]:8443", "/", "https://[::1]:8443/"),
    "not at all where the path is an asterisk": (Origin(), "rs.example", "*", None),
    "not at all where there is no path": (Origin(), "rs.example", "", None),
    "not at all where the target is absolute": (Origin(), "rs.example", "https://rs.example/a", None),
    "not at all where the authority is empty": (Origin(), "", "/a", None),
    "not at all where the authority has a user": (Origin(), "user@rs.example", "/a", None),
    "not at all with a backslash": (Origin(), "rs.example", "/a\\b", None),
    "not at all with a broken escape": (Origin(), "rs.example", "/a%", None),
    "not at all with a letter outside ASCII": (Origin(), "rs.example", "/é", None),
}


@pytest.mark.parametrize(("origin", "authority", "target", "expected"), REQUESTS.values(), ids=REQUESTS.keys())
def test_the_uri_of_a_request_is_rebuilt(origin: Origin, authority: str, target: str, expected: str | None) -> None:
    assert request_target(origin, authority, target) == expected


SCHEMES_AND_HOSTS = ["https://", "http://", "HTTPS://", "rs.example", "RS", "[::1]", ":", ":443", ":80"]
PATH_PIECES = ["/", ".", "..", "%2e", "%2F", "%7e", "%", "%z", "?", "#", "a", "A", ";"]
FOREIGN = ["@", "\\", "é", "\n", "\t", " ", "\ud800"]
uri_pieces = st.sampled_from([*SCHEMES_AND_HOSTS, *PATH_PIECES, *FOREIGN])
uris = st.lists(uri_pieces, max_size=12).map("".join) | st.text()
paths = st.lists(st.sampled_from(["/", "a", ".", "..", "%2e", "%2F", "%c3", "~", "b;c", "-", "?q", "#"]), max_size=10)


@given(uris)
def test_any_text_gives_a_normal_form_that_is_its_own_or_none(uri: str) -> None:
    normal = normalize_htu(uri)
    assert normal is None or normalize_htu(normal) == normal


@given(uris, uris)
def test_any_authority_and_target_give_a_normal_form_or_none(authority: str, target: str) -> None:
    built = request_target(Origin(), authority, target)
    assert built is None or normalize_htu(built) == built


@given(paths.map(lambda pieces: "/" + "".join(pieces)))
def test_what_a_client_signs_is_what_it_asks_for(target: str) -> None:
    assert request_target(Origin(), "RS.example:443", target) == normalize_htu(f"https://rs.example{target}")


@pytest.mark.parametrize("piece", ["/", "/..", "/a/..", "%2e", "%", "a", "/.a", ":", "\\"])
def test_a_megabyte_of_uri_is_answered_quickly(piece: str) -> None:
    started = time.perf_counter()
    normalize_htu("https://rs.example/" + piece * (1024 * 1024 // len(piece)))
    assert time.perf_counter() - started < 3
