"""Public keys in JSON: which are taken, which are refused, and what they are called (RFC 7517, 7518, 7638, 8037)."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.keys import KeySet, PublicKey
from stepguard_service.core.model import Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.proof.jwk import parse_jwk, parse_jwk_set, thumbprint

from tests.support import tokens
from tests.support.tokens import ABSENT, ClientKey, Signer, base64url, jwk_set, merged
from tests.support.trust import ALGORITHMS, key_set

EC = ClientKey("ES256").key
RSA = ClientKey("RS256").key
OKP = ClientKey("EdDSA").key
PRIME = 2**255 - 19
SAME_KEY = ({name for name in ALGORITHMS if name[1] == "S" and name[0] != "E"}, {"EdDSA", "Ed25519"})
PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


POINT = b"".join(urlsafe_b64decode(f"{EC.public_jwk[name]}=") for name in ("x", "y"))


def number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


def parsed(members: dict[str, Any]) -> PublicKey:
    key = parse_jwk(members)
    assert isinstance(key, PublicKey)
    return key


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no kty": (EC.public_jwk, {"kty": ABSENT}),
    "a kty in lower case": (EC.public_jwk, {"kty": "ec"}),
    "a kty that is a list": (EC.public_jwk, {"kty": ["EC"]}),
    "a symmetric kty": ({}, {"kty": "oct"}),
    "a symmetric key": ({}, {"kty": "oct", "k": "QQ"}),
    "a kid that is no string": (EC.public_jwk, {"kid": 1}),
    "use enc": (EC.public_jwk, {"use": "enc"}),
    "a use that is null": (EC.public_jwk, {"use": None}),
    "key_ops without verify": (EC.public_jwk, {"key_ops": ["sign"]}),
    "no key_ops at all in the list": (EC.public_jwk, {"key_ops": []}),
    "key_ops that is a string": (EC.public_jwk, {"key_ops": "verify"}),
    "key_ops twice the same": (EC.public_jwk, {"key_ops": ["verify", "verify"]}),
    "key_ops with a list in it": (EC.public_jwk, {"key_ops": ["verify", []]}),
    "alg of another curve": (EC.public_jwk, {"alg": "ES384"}),
    "alg of another type": (EC.public_jwk, {"alg": "RS256"}),
    "alg of an encryption": (RSA.public_jwk, {"alg": "RSA-OAEP"}),
    "alg none": (EC.public_jwk, {"alg": "none"}),
    "alg that is no string": (EC.public_jwk, {"alg": ["ES256"]}),
    "alg that is null": (EC.public_jwk, {"alg": None}),
    "no curve": (EC.public_jwk, {"crv": ABSENT}),
    "an unknown curve": (EC.public_jwk, {"crv": "secp256k1"}),
    "a curve that is a number": (EC.public_jwk, {"crv": 256}),
    "a curve that is a list": (EC.public_jwk, {"crv": ["P-256"]}),
    "a larger curve than its coordinates": (EC.public_jwk, {"crv": "P-384"}),
    "no x": (EC.public_jwk, {"x": ABSENT}),
    "no y": (EC.public_jwk, {"y": ABSENT}),
    "an x that is a number": (EC.public_jwk, {"x": 1}),
    "a padded x": (EC.public_jwk, {"x": f"{EC.public_jwk['x']}="}),
    "an x of 31 octets": (EC.public_jwk, {"x": base64url(b"\1" * 31)}),
    "an x of 33 octets": (EC.public_jwk, {"x": base64url(b"\0" + b"\1" * 32)}),
    "coordinates that are a point only together": (
        EC.public_jwk,
        {"x": base64url(POINT[:31]), "y": base64url(POINT[31:])},
    ),
    "a point that is not on the curve": (EC.public_jwk, {"x": base64url(b"\1" * 32)}),
    "the point zero": (EC.public_jwk, {"x": base64url(b"\0" * 32), "y": base64url(b"\0" * 32)}),
    "a coordinate beyond the field": (EC.public_jwk, {"x": base64url(b"\xff" * 32)}),
    "no modulus": (RSA.public_jwk, {"n": ABSENT}),
    "a modulus of 1024 bits": (tokens.SigningKey("RS256", tokens.rsa_key(1024, "short")).public_jwk, {}),
    "a modulus of 2047 bits": (RSA.public_jwk, {"n": number(2**2047 - 1)}),
    "a modulus of 8193 bits": (RSA.public_jwk, {"n": number(2**8193 - 1)}),
    "an even modulus": (RSA.public_jwk, {"n": number(2**2047)}),
    "a modulus with a leading zero octet": (RSA.public_jwk, {"n": base64url(b"\0" + b"\xff" * 256)}),
    "an empty modulus": (RSA.public_jwk, {"n": ""}),
    "no exponent": (RSA.public_jwk, {"e": ABSENT}),
    "exponent 0": (RSA.public_jwk, {"e": "AA"}),
    "exponent 1": (RSA.public_jwk, {"e": "AQ"}),
    "exponent 2": (RSA.public_jwk, {"e": "Ag"}),
    "an even exponent": (RSA.public_jwk, {"e": number(65536)}),
    "an exponent of 65 bits": (RSA.public_jwk, {"e": number(2**65 - 1)}),
    "an exponent with a leading zero octet": (RSA.public_jwk, {"e": base64url(b"\0\1\0\1")}),
    "Ed448": (OKP.public_jwk, {"crv": "Ed448"}),
    "a key for key agreement": (OKP.public_jwk, {"crv": "X25519"}),
    "no x of an Edwards curve": (OKP.public_jwk, {"x": ABSENT}),
    "a short x of an Edwards curve": (OKP.public_jwk, {"x": base64url(b"\1" * 31)}),
}


@pytest.mark.parametrize(("members", "changes"), REFUSED.values(), ids=REFUSED.keys())
def test_a_key_is_refused_with(members: dict[str, Any], changes: dict[str, Any]) -> None:
    refused = parse_jwk(merged(members, changes))
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.PROOF_KEY


@pytest.mark.parametrize("member", PRIVATE)
@pytest.mark.parametrize("key", [EC, RSA, OKP], ids=["EC", "RSA", "OKP"])
@pytest.mark.parametrize("value", ["QQ", "", None], ids=["text", "empty text", "null"])
def test_private_members_are_refused_by_their_presence(key: tokens.SigningKey, member: str, value: str | None) -> None:
    assert isinstance(parse_jwk({**key.public_jwk, member: value}), Rejected)


@pytest.mark.parametrize("key", [EC, RSA, OKP], ids=["EC", "RSA", "OKP"])
def test_a_whole_private_key_is_refused(key: tokens.SigningKey) -> None:
    assert isinstance(parse_jwk(key.private_jwk), Rejected)


SMALL_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


@pytest.mark.parametrize("sign", [0, 1 << 255], ids=["even", "odd"])
@pytest.mark.parametrize(
    "y",
    [0, 1, PRIME - 1, SMALL_ORDER_8, PRIME - SMALL_ORDER_8, PRIME, PRIME + 1, 2**255 - 1],
    ids=["0", "1", "-1", "of order 8", "of order 8 negated", "0 respelt", "1 respelt", "beyond the field"],
)
def test_an_edwards_key_is_no_point_of_small_order_and_spelt_in_one_way(y: int, sign: int) -> None:
    x = base64url((y | sign).to_bytes(32, "little"))
    assert isinstance(parse_jwk({"kty": "OKP", "crv": "Ed25519", "x": x}), Rejected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_verifies_what_its_private_half_signed_and_nothing_else(algorithm: str) -> None:
    client = ClientKey(algorithm)
    key = parsed(client.key.public_jwk)
    signature = client.key.signature(b"signed")
    assert key.verify(algorithm, signature, b"signed")
    assert not key.verify(algorithm, signature, b"other")
    assert not key.verify(algorithm, bytes([signature[0] ^ 1]) + signature[1:], b"signed")
    assert ClientKey(algorithm, name="another").key.thumbprint != key.thumbprint


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("key", ALGORITHMS)
def test_a_key_names_the_algorithms_that_fit_it(key: str, algorithm: str) -> None:
    fits = key == algorithm or any({key, algorithm} <= family for family in SAME_KEY)
    assert (algorithm in parsed(ClientKey(key).key.public_jwk).algorithms) == fits


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "none", "HS256", ""])
@pytest.mark.parametrize("key", ALGORITHMS)
def test_a_signature_verifies_under_no_other_algorithm_than_it_was_made_with(key: str, algorithm: str) -> None:
    client = ClientKey(key)
    same = key == algorithm or {key, algorithm} == {"EdDSA", "Ed25519"}
    assert parsed(client.key.public_jwk).verify(algorithm, client.key.signature(b"x"), b"x") == same


@pytest.mark.parametrize("width", [31, 33])
def test_an_ecdsa_signature_has_two_numbers_of_exactly_full_width(width: int) -> None:
    """Wider ones are the same numbers after a zero octet; narrower ones are those that happen to be small."""
    key = parsed(EC.public_jwk)
    good = next(made for made in (EC.signature(b"x") for _ in range(5000)) if width > 32 or made[32] == 0)
    respelt = good[:32] + (b"\0" + good[32:] if width > 32 else good[33:])
    assert key.verify("ES256", good, b"x")
    assert not key.verify("ES256", respelt, b"x")


@pytest.mark.parametrize("signature", [b"\0" * 64, b"\0" * 32 + b"\1" * 32, b"\1" * 32 + b"\0" * 32, b"\xff" * 64])
def test_an_ecdsa_signature_of_zeros_or_beyond_the_order_is_wrong(signature: bytes) -> None:
    assert not parsed(EC.public_jwk).verify("ES256", signature, b"signed")


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_ecdsa_signatures_verify_whatever_their_leading_octets_are(algorithm: str) -> None:
    """Numbers with leading zero octets and with a set sign bit need different DER: 300 signatures have them all."""
    client = ClientKey(algorithm)
    key = parsed(client.key.public_jwk)
    assert all(
        key.verify(algorithm, client.key.signature(bytes([i % 256, i // 256])), bytes([i % 256, i // 256]))
        for i in range(300)
    )


@pytest.mark.parametrize("change", [-1, 1])
def test_an_rsa_signature_is_as_long_as_the_modulus(change: int) -> None:
    signature = RSA.signature(b"signed")
    changed = signature[:-1] if change < 0 else b"\0" + signature
    assert not parsed(RSA.public_jwk).verify("RS256", changed, b"signed")


def test_a_pss_salt_has_the_length_of_the_hash() -> None:
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 20)
    signature = tokens.rsa_key(2048, "client").sign(b"signed", scheme, hashes.SHA256())
    assert not parsed(RSA.public_jwk).verify("PS256", signature, b"signed")


def test_rsa_of_8192_bits_is_accepted() -> None:
    assert isinstance(parse_jwk({**RSA.public_jwk, "n": number(2**8192 - 1), "e": number(2**64 - 1)}), PublicKey)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_with_alg_is_for_that_algorithm_alone(algorithm: str) -> None:
    assert parsed({**ClientKey(algorithm).key.public_jwk, "alg": algorithm}).algorithms == {algorithm}


def test_rsa_with_the_exponent_3_is_accepted() -> None:
    assert isinstance(parse_jwk({**RSA.public_jwk, "e": "Aw"}), PublicKey)


def test_what_a_browser_exports_is_accepted() -> None:
    assert isinstance(parse_jwk({**EC.public_jwk, "ext": True, "key_ops": ["verify"]}), PublicKey)


@pytest.mark.parametrize("key", [EC, RSA, OKP], ids=["EC", "RSA", "OKP"])
def test_the_thumbprint_is_of_the_required_members_alone(key: tokens.SigningKey) -> None:
    shown = {"use": "sig", "kid": "a", **reversed_members(key.public_jwk)}
    assert parsed(shown).thumbprint == thumbprint(key.private_jwk) == tokens.thumbprint(key.public_jwk)


def reversed_members(members: dict[str, object]) -> dict[str, object]:
    return dict(reversed(members.items()))


@pytest.mark.parametrize("members", [{"kty": "oct", "k": "QQ"}, {"kty": "EC", "crv": "P-256", "x": "QQ"}, {}], ids=str)
def test_what_is_no_key_has_no_thumbprint(members: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        thumbprint(members)


def test_single_bad_keys_are_skipped_and_reported() -> None:
    good = Signer()
    keys = key_set(good.jwk(crv="P-999"), good, {"kty": "oct", "k": "QQ"}, good.jwk(use="enc"))
    assert [key.kid for key in keys.keys] == [good.kid]
    assert [problem.partition(":")[0] for problem in keys.problems] == ["keys[0]", "keys[2]", "keys[3]"]


def test_an_entry_that_is_no_object_is_skipped() -> None:
    keys = parse_jwk_set(json.dumps({"keys": [1, None, "x", [], Signer().jwk()]}).encode())
    assert isinstance(keys, KeySet)
    assert (len(keys.keys), len(keys.problems)) == (1, 4)


def test_64_keys_and_256_kib_are_within_the_bounds() -> None:
    document = jwk_set(*[Signer().jwk(kid=str(position)) for position in range(64)]).encode()
    keys = parse_jwk_set(document + b" " * (256 * 1024 - len(document)))
    assert isinstance(keys, KeySet)
    assert (len(keys.keys), keys.problems) == (64, ())


def test_only_the_first_64_keys_count() -> None:
    keys = key_set(*[Signer().jwk(kid=str(position)) for position in range(66)])
    assert len(keys.keys) == 64
    assert keys.problems == ("only the first 64 of 66 keys count",)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="a web page"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"{}", id="no keys"),
        pytest.param(b'{"keys":{}}', id="keys that are an object"),
        pytest.param(b'{"keys":[],"keys":[]}', id="keys twice"),
        pytest.param(b'{"keys":[]}' + b" " * 256 * 1024, id="more than 256 KiB"),
        pytest.param(b'{"keys":' + b"[" * 100_000, id="deep nesting"),
        pytest.param(b"\xff", id="what is not UTF-8"),
    ],
)
def test_a_jwk_set_is_refused_whole_with(document: bytes) -> None:
    refused = parse_jwk_set(document)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.KEYS_UNAVAILABLE


def test_an_empty_jwk_set_has_no_keys() -> None:
    assert key_set().keys == ()


def test_the_version_changes_exactly_with_the_keys() -> None:
    one, other = Signer(), Signer()
    version = key_set(one).version
    assert key_set(merged(reversed_members(one.jwk()), {"x-note": 1})).version == version
    assert key_set(other).version != version
    assert key_set(one, other).version != version
    assert key_set(one.jwk(kid="key-2")).version != version
    assert key_set(one.jwk(alg=ABSENT, use=ABSENT)).version == version
    assert key_set(Signer("EdDSA").jwk(alg=ABSENT)).version != version


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "use", "key_ops", "alg", "kid", *PRIVATE]) | st.text(
    max_size=4
)
texts = st.sampled_from(
    ["EC", "RSA", "OKP", "P-256", "P-384", "P-521", "Ed25519", "sig", "verify", "ES256", "", "AQAB"]
)
encoded = st.binary(max_size=70).map(base64url)


@given(
    st.sampled_from([{}, EC.public_jwk, RSA.public_jwk, OKP.public_jwk]),
    st.dictionaries(names, texts | encoded | json_values),
)
def test_any_members_give_a_key_or_a_refusal(members: dict[str, object], changes: dict[str, object]) -> None:
    assert isinstance(parse_jwk({**members, **changes}), (PublicKey, Rejected))


@given(
    st.binary() | st.lists(st.dictionaries(names, json_values)).map(lambda keys: json.dumps({"keys": keys}).encode())
)
def test_any_document_gives_a_key_set_or_a_refusal(document: bytes) -> None:
    assert isinstance(parse_jwk_set(document), (KeySet, Rejected))


@given(st.data())
def test_a_jwk_set_that_was_cut_off_is_refused(data: st.DataObject) -> None:
    document = jwk_set(Signer()).encode()
    assert isinstance(parse_jwk_set(document[: data.draw(st.integers(0, len(document) - 1))]), Rejected)
