"""Base64url, JSON and the compact form of JWS, as strict as RFC 7515 and RFC 8725 allow."""

import json
import time
from base64 import urlsafe_b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stepguard_service.proof.jose import (
    Compact,
    Malformed,
    check_header,
    decode_base64url,
    decode_header,
    decode_text,
    parse_compact,
    strict_json,
)

from tests.support.tokens import base64url

HEADER = base64url(b'{"alg":"ES256"}')
DEEPEST = b'{"a":' * 31 + b"[]" + b"}" * 31
LARGE = 1024 * 1024

REFUSED_JSON = {
    "a member name twice": b'{"a":1,"a":1}',
    "a member name twice, once with an escape": b'{"a":1,"\\u0061":2}',
    "a member name twice, deep inside": b'{"a":[{"b":1,"b":2}]}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b'{"a":-Infinity}',
    "a number beyond the largest double": b'{"a":1e400}',
    "an integer of more than 300 digits": b'{"a":' + b"9" * 301 + b"}",
    "an integer that Python's own limit refuses": b'{"a":' + b"9" * 5000 + b"}",
    "a lone high surrogate": b'{"a":"\\ud800"}',
    "a lone low surrogate": b'{"a":"\\uDC00x"}',
    "a lone surrogate in a name": b'{"\\ud800":1}',
    "surrogates in the wrong order": b'{"a":"\\udc00\\ud800"}',
    "a surrogate encoded in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "an overlong encoding": b'{"a":"\xc0\xaf"}',
    "Latin-1": b'{"a":"\xe9"}',
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "33 levels": b'{"a":' + DEEPEST + b"}",
    "33 levels of arrays": b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    "brackets that do not pair": b'{"a":' + b"[" * 40 + b"}",
    "a raw control character in a string": b'{"a":"\n"}',
    "an array": b"[]",
    "a string": b'"a"',
    "a number": b"1",
    "nothing": b"",
    "spaces": b"  ",
    "text after the object": b"{} x",
    "two objects": b"{}{}",
    "a trailing comma": b'{"a":1,}',
    "a comment": b'{"a":1/**/}',
    "single quotes": b"{'a':1}",
    "a leading zero": b'{"a":01}',
    "a non-breaking space around it": "\u00a0{}".encode(),
    "a NUL after it": b"{}\0",
}
ACCEPTED_JSON = {
    "an empty object": (b"{}", {}),
    "spaces around it": (b' \t\r\n{"a":1} \n', {"a": 1}),
    "32 levels": (DEEPEST, json.loads(DEEPEST)),
    "many brackets in a string": (b'{"a":"' + b"[{" * 99 + b'"}', {"a": "[{" * 99}),
    "many brackets after an escaped quote": (b'{"a":"\\"' + b"[" * 99 + b'\\\\"}', {"a": '"' + "[" * 99 + "\\"}),
    "many brackets side by side": (b'{"a":[' + b"[]," * 99 + b"[]]}", {"a": [[]] * 100}),
    "a pair of surrogates": (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    "what only looks like a surrogate": (b'{"a":"\\\\ud800"}', {"a": "\\ud800"}),
    "an integer of 300 digits": (b'{"a":' + b"9" * 300 + b"}", {"a": 10**300 - 1}),
    "exponents": (b'{"a":1e3,"b":-0.5E-2}', {"a": 1000.0, "b": -0.005}),
    "literals": (b'{"a":true,"b":false,"c":null}', {"a": True, "b": False, "c": None}),
    "non-ASCII text": ('{"é":"日本"}'.encode(), {"é": "日本"}),
}


@pytest.mark.parametrize("document", REFUSED_JSON.values(), ids=REFUSED_JSON.keys())
def test_json_is_refused_with(document: bytes) -> None:
    assert isinstance(strict_json(document), Malformed)


@pytest.mark.parametrize(("document", "value"), ACCEPTED_JSON.values(), ids=ACCEPTED_JSON.keys())
def test_json_is_accepted_with(document: bytes, value: dict[str, object]) -> None:
    assert strict_json(document) == value


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"[" * LARGE, id="open brackets only"),
        pytest.param(b'{"a":' * (LARGE // 5), id="open objects only"),
        pytest.param(b'{"a":[' + b"[]," * (LARGE // 3) + b"[]]}", id="very many small arrays"),
        pytest.param(b"[" * 33 + b'"' + b"\\" * LARGE, id="an unfinished string of backslashes"),
        pytest.param(b"[" * 33 + b'"' + b'\\"' * (LARGE // 2), id="an unfinished string of escaped quotes"),
        pytest.param(b"[" * 33 + b'"' * LARGE, id="quotes only"),
        pytest.param(b'{"a":' + b"9" * LARGE + b"}", id="one long integer"),
        pytest.param(b'{"a":0.' + b"9" * LARGE + b"}", id="one long fraction"),
        pytest.param(b'{"a":"' + b"\\ud83d\\ude00" * (LARGE // 12) + b'"}', id="very many surrogate pairs"),
        pytest.param(b'{"a":"' + b"x" * LARGE + b'"}', id="one long string"),
    ],
)
def test_a_megabyte_of_json_is_answered_quickly_with(document: bytes) -> None:
    started = time.perf_counter()
    strict_json(document)
    assert time.perf_counter() - started < 2


@given(st.binary())
@example(b'{"a":NaN}')
def test_any_bytes_give_an_object_or_a_refusal(document: bytes) -> None:
    value = strict_json(document)
    assert isinstance(value, (dict, Malformed))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_what_another_implementation_wrote_is_read_as_it_was_meant(value: dict[str, object]) -> None:
    assert strict_json(json.dumps(value).encode()) == value
    assert strict_json(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value


@given(st.binary())
def test_base64url_gives_back_what_was_encoded(octets: bytes) -> None:
    assert decode_base64url(urlsafe_b64encode(octets).rstrip(b"=")) == octets


@given(st.binary() | st.text("AQgwZ-_+/=. \n", max_size=8).map(str.encode))
@example(b"QR")
@example(b"QQ==")
def test_every_octets_have_one_spelling_in_base64url(encoded: bytes) -> None:
    octets = decode_base64url(encoded)
    assert octets is None or urlsafe_b64encode(octets).rstrip(b"=") == encoded


@pytest.mark.parametrize("octet", range(256))
def test_base64url_has_64_characters_and_no_other(octet: int) -> None:
    expected = chr(octet) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert (decode_base64url(bytes([octet]) * 4) is not None) == expected


@pytest.mark.parametrize("value", [None, 1, b"QQ", ["QQ"], "é", "QQ\ud800"], ids=repr)
def test_only_ascii_strings_are_decoded(value: object) -> None:
    assert decode_text(value) is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param(HEADER, id="one segment"),
        pytest.param(f"{HEADER}.QQ", id="two segments"),
        pytest.param(f"{HEADER}.QQ.QQ.QQ", id="four segments"),
        pytest.param(f"{HEADER}.QQ.QQ.QQ.QQ", id="the five segments of a JWE"),
        pytest.param(f".{HEADER}.QQ", id="no header"),
        pytest.param(f"{HEADER}..QQ", id="a detached payload"),
        pytest.param(f"{HEADER}.QQ.", id="no signature"),
        pytest.param(f"{HEADER}.QQ==.QQ", id="padding"),
        pytest.param(f"{HEADER}.QR.QQ", id="unused bits that are set in the payload"),
        pytest.param(f"{HEADER}.QQ.QR", id="unused bits that are set in the signature"),
        pytest.param(f"{HEADER}.Q.QQ", id="a length that no octets have"),
        pytest.param(f"{HEADER}.Q+QQ.QQ", id="the plain alphabet"),
        pytest.param(f"{HEADER}.Q QQ.QQ", id="a space"),
        pytest.param(f"{HEADER}.QQ\n.QQ", id="a line feed"),
        pytest.param(f"{HEADER}.QQ.QQ\n", id="a line feed at the end"),
        pytest.param(f"{HEADER}.é.QQ", id="a letter outside ASCII"),
        pytest.param(f"{HEADER}.\ud800.QQ", id="a lone surrogate"),
        pytest.param('{"payload":"QQ","signature":"QQ"}', id="the JSON serialization"),
        pytest.param("." * LARGE, id="a megabyte of dots"),
    ],
)
def test_a_compact_jws_is_refused_with(value: str) -> None:
    assert isinstance(parse_compact(value), Malformed)


def test_a_compact_jws_has_its_segments_decoded_but_for_the_header() -> None:
    assert parse_compact(f"{HEADER}.QQ.Qg") == Compact(HEADER, b"A", b"B", f"{HEADER}.QQ".encode())


@given(st.text())
def test_any_text_gives_a_compact_jws_or_a_refusal(value: str) -> None:
    assert isinstance(parse_compact(value), (Compact, Malformed))


@given(st.text())
def test_any_text_gives_a_header_or_a_refusal(segment: str) -> None:
    assert isinstance(decode_header(segment), (dict, Malformed))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"crit": ["exp"], "exp": 1}, id="a critical parameter"),
        pytest.param({"crit": []}, id="an empty crit"),
        pytest.param({"crit": ["b64"], "b64": True}, id="b64 marked as critical"),
        pytest.param({"b64": False}, id="b64 false"),
        pytest.param({"b64": 1}, id="b64 that is no boolean"),
        pytest.param({"kid": 1}, id="a kid that is a number"),
        pytest.param({"kid": None}, id="a kid that is null"),
        pytest.param({"kid": ["a"]}, id="a kid that is a list"),
    ],
)
def test_a_header_is_refused_with(header: dict[str, object]) -> None:
    assert isinstance(check_header(header), Malformed)


def test_a_header_may_have_parameters_that_nobody_knows() -> None:
    assert check_header({"alg": "ES256", "kid": "a", "b64": True, "x-unknown": {}}) is None
