"""What no input does to the verifiers of tokens and proofs, each in one sentence."""

import json
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from stepguard_service.core.model import AccessToken, DpopSettings, Proof, Rejected
from stepguard_service.core.slow import NeedIntrospection, NeedKeys
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.dpop import header_cache
from stepguard_service.proof.jose import strict_json

from tests.support.proofs import verify_proof
from tests.support.tokens import ClientKey, Signer, SigningKey, ath, base64url
from tests.support.trust import issuer, key_set, policy

NOW: Final = 1_800_000_000
URL: Final = "https://api.example.com/a"
TOKEN: Final = "token-1"
CLIENT: Final = ClientKey("EdDSA")
"""Edwards signatures have one spelling; an ECDSA signature (r, s) has a twin (r, -s), which is no single change."""
SETTINGS: Final = DpopSettings(("EdDSA", "ES256"))
HEADERS: Final = header_cache()
SIGNER: Final = Signer()
MAIN: Final = issuer()
ASKING: Final = policy(MAIN, opaque_issuer=MAIN)
VERIFIER: Final = TokenVerifier(lambda _: key_set(SIGNER))

GOOD_HEADER: Final[dict[str, object]] = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": CLIENT.key.public_jwk}
GOOD_CLAIMS: Final[dict[str, object]] = {"jti": "1", "htm": "GET", "htu": URL, "iat": NOW, "ath": ath(TOKEN)}
PROOF: Final = CLIENT.key.compact(GOOD_HEADER, GOOD_CLAIMS)
ECDSA_PROOF: Final = ClientKey().proof("GET", URL, now=NOW, token=TOKEN)
ACCESS_TOKEN: Final = SIGNER.access_token(NOW)


def verify(value: str) -> Proof | Rejected:
    """With the headers of good proofs remembered."""
    return verify_proof(
        value, settings=SETTINGS, method="GET", target=URL, ath=ath(TOKEN), nonce=None, now=NOW, headers=HEADERS
    )


def verify_token(value: str) -> object:
    return VERIFIER.verify(value, ASKING, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
header_names = st.sampled_from(["typ", "alg", "jwk", "crit", "b64", "kid", "jku", "x5c"]) | st.text(max_size=5)
claim_names = st.sampled_from(["jti", "htm", "htu", "iat", "ath", "exp", "nbf", "nonce"]) | st.text(max_size=5)
token_names = st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "client_id", "scope", "acr", "cnf"])
changed_headers = st.dictionaries(header_names, json_values, max_size=3)
segments = st.text("AQgwZ-_eyJ0", max_size=12) | st.binary(max_size=20).map(base64url) | st.text(max_size=5)
shapes = st.lists(segments, max_size=6).map(".".join)
characters = st.sampled_from("ABCxyz012-_.=+/~, \n") | st.characters()


@st.composite
def changes_of_one_character(draw: st.DrawFn, text: str) -> str:
    """`text` with one character replaced, left out, or put in."""
    position = draw(st.integers(0, len(text) - 1))
    kind = draw(st.sampled_from(["replace", "remove", "insert"]))
    new = "" if kind == "remove" else draw(characters)
    return text[:position] + new + text[position + (kind != "insert") :]


def json_text(members: dict[str, object]) -> str:
    """As JSON, NaN and lone surrogates included: what a client may send."""
    return json.dumps(members)


@given(st.text() | shapes)
@example("." * 5000)
@example(f"{base64url(b'[' * 2000)}.QQ.QQ")
@example(f"{PROOF.split('.')[0]}.{base64url(b'{' * 1000)}.QQ")
def test_no_text_is_a_proof_without_a_signature_or_ends_in_an_error(value: str) -> None:
    assert isinstance(verify(value), Rejected)


@given(st.text() | shapes)
@example(f"{ACCESS_TOKEN.split('.')[0]}.{base64url(b'{' * 1000)}.QQ")
def test_no_text_is_an_access_token_without_a_signature_or_ends_in_an_error(value: str) -> None:
    assert isinstance(verify_token(value), (Rejected, NeedIntrospection))


@given(changed_headers, st.dictionaries(claim_names, json_values, max_size=3))
def test_a_signed_proof_passes_only_with_what_was_asked_for(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    outcome = verify(CLIENT.key.compact(json_text(GOOD_HEADER | header), json_text(GOOD_CLAIMS | claims)))
    assert isinstance(outcome, (Proof, Rejected))
    if isinstance(outcome, Proof):
        shown, said = GOOD_HEADER | header, GOOD_CLAIMS | claims
        assert (shown["typ"], shown["jwk"]) == ("dpop+jwt", CLIENT.key.public_jwk)
        assert (said["htm"], said["ath"]) == ("GET", ath(TOKEN))
        assert isinstance(said["iat"], (int, float))
        assert NOW - SETTINGS.proof_max_age <= said["iat"] <= NOW + SETTINGS.clock_skew
        assert (outcome.jkt, outcome.jti) == (CLIENT.jkt, said["jti"])


@given(st.sampled_from(["typ", "alg", "kid", "x"]), json_values, st.dictionaries(token_names, json_values, max_size=3))
def test_signed_claims_give_a_token_or_a_refusal(name: str, value: object, claims: dict[str, object]) -> None:
    token = SIGNER.access_token(
        NOW,
        raw_header=json_text({"typ": "at+jwt", "alg": "ES256", "kid": SIGNER.kid, name: value}),
        raw_claims=json_text({"iss": MAIN.issuer, "aud": [*MAIN.audiences], "sub": "a", "exp": NOW + 9, **claims}),
    )
    assert isinstance(verify_token(token), (AccessToken, Rejected, NeedKeys))


@given(changes_of_one_character(PROOF))
@settings(max_examples=500)
def test_no_change_of_one_character_leaves_a_proof_acceptable(value: str) -> None:
    assert isinstance(verify(PROOF), Proof)
    assert isinstance(verify(value), Rejected) or value == PROOF


@given(changes_of_one_character(ECDSA_PROOF))
@settings(max_examples=300)
def test_no_change_of_one_character_leaves_an_ecdsa_proof_acceptable(value: str) -> None:
    assert isinstance(verify(value), Rejected) or value == ECDSA_PROOF


@given(changes_of_one_character(ACCESS_TOKEN))
@settings(max_examples=500)
def test_no_change_of_one_character_leaves_a_token_acceptable(value: str) -> None:
    assert isinstance(verify_token(ACCESS_TOKEN), AccessToken)
    assert not isinstance(verify_token(value), AccessToken) or value == ACCESS_TOKEN


@given(st.permutations([*PROOF.split("."), *ECDSA_PROOF.split(".")]))
def test_no_parts_of_two_proofs_make_a_third(parts: list[str]) -> None:
    value = ".".join(parts[:3])
    assert isinstance(verify(value), Rejected) or value in {PROOF, ECDSA_PROOF}


@given(st.binary(min_size=1, max_size=64))
def test_no_octets_are_a_signature_of_somebody_else(signature: bytes) -> None:
    head, body, _ = PROOF.split(".")
    assert isinstance(verify(f"{head}.{body}.{base64url(signature)}"), Rejected)


@given(st.dictionaries(claim_names, json_values, max_size=3))
def test_who_lacks_the_key_cannot_sign_with_another(claims: dict[str, object]) -> None:
    stranger = SigningKey("EdDSA", ClientKey("EdDSA").key.private)
    assert isinstance(verify(stranger.compact(GOOD_HEADER, json_text(GOOD_CLAIMS | claims))), Rejected)


@given(st.dictionaries(claim_names, json_values, max_size=3))
def test_what_a_proof_is_accepted_with_is_what_strict_json_reads(claims: dict[str, object]) -> None:
    """Lone surrogates, NaN and numbers without bounds never get as far as a Proof."""
    text = json_text(GOOD_CLAIMS | claims)
    accepted = isinstance(verify(CLIENT.key.compact(GOOD_HEADER, text)), Proof)
    assert not accepted or isinstance(strict_json(text.encode()), dict)
