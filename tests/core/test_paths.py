"""The normal form of paths: each spelling becomes the plain one or is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_policy.paths import PathRefused, normalize_path, without_trailing_slash

NORMALISED = {
    "a plain path stays": ("/accounts/42", "/accounts/42"),
    "the root stays": ("/", "/"),
    "a trailing slash stays": ("/accounts/", "/accounts/"),
    "case is significant": ("/Accounts", "/Accounts"),
    "unreserved escapes are decoded": ("/%61ccounts/%7Ebob", "/accounts/~bob"),
    "other escapes get upper-case digits": ("/a%c3%a9%3b", "/a%C3%A9%3B"),
    "an escaped percent sign is not decoded twice": ("/a%252e%252e/b", "/a%252e%252e/b"),
    "dot segments are removed": ("/a/./b/../c", "/a/c"),
    "escaped dot segments are removed": ("/a/%2e%2E/c", "/c"),
    "a dot segment at the end leaves a slash": ("/a/b/..", "/a/"),
    "dot segments end at the root": ("/../../a", "/a"),
    "repeated slashes are merged": ("//a///b//", "/a/b/"),
    "three dots are a name": ("/a/...", "/a/..."),
    "hidden files are names": ("/.well-known/x", "/.well-known/x"),
    "dots inside a segment stay": ("/a..b/c.", "/a..b/c."),
    "sub-delimiters stay": ("/a!$&'()*+,=:@b", "/a!$&'()*+,=:@b"),
}

REFUSED = {
    "without a leading slash": "accounts",
    "empty": "",
    "a backslash": "/a\\b",
    "an encoded backslash": "/a%5Cb",
    "NUL": "/a\x00",
    "an encoded NUL": "/a%00b",
    "a control character": "/a\nb",
    "DEL": "/a\x7f",
    "a space": "/a b",
    "a fragment": "/a#b",
    "a query, which is no part of a path": "/a?b",
    "a non-ASCII character": "/café",
    "an escape without digits": "/a%zz",
    "an escape cut off": "/a%4",
    "an encoded slash": "/a%2Fb",
    "a parameter": "/a;v=1/b",
    "a dot segment with a parameter": "/public/..;/admin",
    "an escaped dot segment with a parameter": "/public/%2e%2e;x/admin",
    "a dot segment with an encoded semicolon": "/public/..%3b/admin",
    "slashes that matter to dot segments": "/public//../admin",
}


@pytest.mark.parametrize(("path", "normal"), NORMALISED.values(), ids=NORMALISED.keys())
def test_normal_form(path: str, normal: str) -> None:
    """Every spelling has one plain form."""
    assert normalize_path(path) == normal


@pytest.mark.parametrize("path", REFUSED.values(), ids=REFUSED.keys())
def test_refused(path: str) -> None:
    """What servers disagree about is refused, with a reason that does not repeat it."""
    refused = normalize_path(path)
    assert isinstance(refused, PathRefused)
    assert path == "" or path not in refused.reason


def test_ignoring_case_folds_letters_and_escaped_utf8() -> None:
    """A rule about /café governs /CAFÉ, and the Kelvin sign is a k, where the server folds case."""
    assert normalize_path("/CAF%C3%89", ignore_case=True) == "/caf%C3%A9"
    assert normalize_path("/boo%E2%84%AA", ignore_case=True) == "/book"


def test_ignoring_case_leaves_octets_that_are_no_utf8() -> None:
    """They have no case."""
    assert normalize_path("/A%FF%C3", ignore_case=True) == "/a%FF%C3"


def test_kept_encoded_slashes_are_ordinary_characters() -> None:
    """`encodedSlashes: Keep`: they separate nothing, not even before dots."""
    assert normalize_path("/a%2fb/..%2Fc", keep_encoded_slashes=True) == "/a%2Fb/..%2Fc"


def test_dropped_parameters_do_not_count() -> None:
    """`parameters: Drop`: the rest of the segment goes with them."""
    assert normalize_path("/a;v=1/b;;x", drop_parameters=True) == "/a/b"


@pytest.mark.parametrize("path", ["/public/..;/admin", "/public/;x/../admin", "/public/%2e;/x"])
def test_dropped_parameters_hide_no_dot_segment(path: str) -> None:
    """Where a parameter decides what a dot segment removes, the path stays refused."""
    assert isinstance(normalize_path(path, drop_parameters=True), PathRefused)


@pytest.mark.parametrize(("path", "trimmed"), [("/a/", "/a"), ("/a", "/a"), ("/", "/")])
def test_one_trailing_slash_does_not_count(path: str, trimmed: str) -> None:
    """Except that of the root."""
    assert without_trailing_slash(path) == trimmed


_PIECES = st.sampled_from(
    ["/", "//", ".", "..", "a", "B", ";", "%2e", "%2F", "%5c", "%41", "%c3%89", "%25", "%", "~", "é", "\\", " ", "*"]
)
_PATHS = st.one_of(st.lists(_PIECES).map("".join), st.lists(_PIECES).map(lambda parts: "/" + "".join(parts)), st.text())
_FLAGS = st.fixed_dictionaries(
    {name: st.booleans() for name in ("ignore_case", "keep_encoded_slashes", "drop_parameters")}
)


@given(_PATHS, _FLAGS)
def test_any_text_has_a_stable_normal_form_or_is_refused(path: str, flags: dict[str, bool]) -> None:
    """Any text gives a refusal or a form without empty, dot or unescaped segments that normalising leaves as it is."""
    normal = normalize_path(path, **flags)
    if isinstance(normal, PathRefused):
        return
    segments = normal.split("/")[1:]
    assert normal.startswith("/")
    assert not {".", ".."} & set(segments)
    assert "" not in segments[:-1]
    assert re.fullmatch(r"(?:[!-$&-\[\]-~]|%[0-9A-F]{2})*", normal)
    assert normalize_path(normal, **flags) == normal


@given(st.lists(st.text("abcXY.~", min_size=1), max_size=5), st.data())
def test_every_spelling_of_a_path_has_its_normal_form(segments: list[str], data: st.DataObject) -> None:
    """Escaping letters, doubling slashes and adding `.` never leads elsewhere."""
    plain = normalize_path("/" + "/".join(segments))
    escape = data.draw(st.sets(st.integers(0, 40)))
    spelled = "".join(f"%{ord(c):02x}" if at in escape and c != "/" else c for at, c in enumerate("/".join(segments)))
    dotted = spelled.replace("/", data.draw(st.sampled_from(["/", "/./", "/././"])))
    assert normalize_path("/" + dotted) == plain
