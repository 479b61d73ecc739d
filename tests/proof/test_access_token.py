"""JWT access tokens: whose they are, who signed them, whether they are for us and for now (RFC 9068, RFC 8725)."""

import json
from typing import Any, Final

import jwt
import pytest
from stepguard_service.core.keys import KeySet
from stepguard_service.core.model import AccessToken, Binding, Policy, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import NeedIntrospection, NeedKeys
from stepguard_service.limits import TOKEN_LENGTH
from stepguard_service.proof.access_token import TokenVerifier

from tests.support.tokens import ABSENT, AUDIENCE, ISSUER, ClientKey, Signer, ath, base64url
from tests.support.trust import ALGORITHMS, issuer, key_set, policy

NOW: Final = 1_800_000_000
SIGNER: Final = Signer()
KEYS: Final = key_set(SIGNER)
MAIN: Final = issuer()
POLICY: Final = policy(MAIN)
ASKING: Final = policy(MAIN, opaque_issuer=MAIN)

Outcome = AccessToken | Rejected | NeedKeys | NeedIntrospection


def token(signer: Signer = SIGNER, **parts: Any) -> str:
    """A good access token, but for the parts that are given."""
    return signer.access_token(NOW, **parts)


def verify(value: str, trusting: Policy = POLICY, *, keys: KeySet | None = KEYS, now: int = NOW) -> Outcome:
    return TokenVerifier(lambda _: keys).verify(value, trusting, now)


def accepted(outcome: Outcome) -> AccessToken:
    assert isinstance(outcome, AccessToken)
    return outcome


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Rejected)
    return outcome.reason


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_is_accepted_under(algorithm: str) -> None:
    signer = Signer(algorithm)
    assert isinstance(verify(token(signer), keys=key_set(signer)), AccessToken)


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "Ed25519"])
def test_a_token_that_pyjwt_made_is_accepted_and_read_alike(algorithm: str) -> None:
    signer = Signer(algorithm)
    claims = {"iss": ISSUER, "aud": [AUDIENCE, "x"], "sub": "é", "exp": NOW + 1}
    value = jwt.encode(claims, signer.key.private, algorithm, headers={"typ": "at+jwt", "kid": signer.kid})
    assert accepted(verify(value, keys=key_set(signer))).claims == claims


def test_a_token_says_what_decisions_need() -> None:
    claims = {"scope": "a b  c", "acr": "urn:acr:phr", "auth_time": NOW - 5, "nbf": NOW - 1, "aud": [AUDIENCE, "x"]}
    value = token(jkt="J", claims=claims)
    said = accepted(verify(value))
    assert (said.issuer, said.kid, said.opaque) == (MAIN, SIGNER.kid, False)
    assert said.ath == ath(value)
    assert said.binding == Binding(jkt="J")
    assert said.audiences == {AUDIENCE, "x"}
    assert said.scopes == {"a", "b", "c"}
    assert (said.acr, said.auth_time) == ("urn:acr:phr", NOW - 5)
    assert (said.expires, said.not_before) == (NOW + 300, NOW - 1)


ACCEPTED: Final[dict[str, dict[str, Any]]] = {
    "typ in another case": {"header": {"typ": "AT+JWT"}},
    "typ as a full media type": {"header": {"typ": "application/at+jwt"}},
    "typ as a full media type in another case": {"header": {"typ": "Application/At+JWT"}},
    "header parameters that nobody knows": {"header": {"x": 1, "jku": "https://evil.example"}},
    "claims that nobody knows": {"claims": {"x": {"y": []}}},
    "several audiences": {"claims": {"aud": ["x", AUDIENCE]}},
    "an exp whose skew is not over": {"claims": {"exp": NOW - 4}},
    "an exp with a fraction": {"claims": {"exp": NOW + 0.5}},
    "an nbf within the skew": {"claims": {"nbf": NOW + 5}},
    "an iat in the future": {"claims": {"iat": NOW + 1000}},
    "no iat, jti or client_id": {"claims": {"iat": ABSENT, "jti": ABSENT, "client_id": ABSENT}},
    "an empty scope": {"claims": {"scope": ""}},
}


@pytest.mark.parametrize("parts", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_token_may_have(parts: dict[str, Any]) -> None:
    assert isinstance(verify(token(**parts)), AccessToken)


HEADER_FAULTS: Final[dict[str, tuple[dict[str, Any], Reason]]] = {
    "no typ": ({"typ": ABSENT}, Reason.TOKEN_TYPE),
    "typ JWT": ({"typ": "JWT"}, Reason.TOKEN_TYPE),
    "the typ of a proof": ({"typ": "dpop+jwt"}, Reason.TOKEN_TYPE),
    "typ with another prefix": ({"typ": "text/at+jwt"}, Reason.TOKEN_TYPE),
    "typ in a list": ({"typ": ["at+jwt"]}, Reason.TOKEN_TYPE),
    "an empty typ": ({"typ": ""}, Reason.TOKEN_TYPE),
    "no alg": ({"alg": ABSENT}, Reason.TOKEN_ALGORITHM),
    "alg none": ({"alg": "none"}, Reason.TOKEN_ALGORITHM),
    "alg noNE": ({"alg": "noNE"}, Reason.TOKEN_ALGORITHM),
    "alg HS256": ({"alg": "HS256"}, Reason.TOKEN_ALGORITHM),
    "alg in lower case": ({"alg": "es256"}, Reason.TOKEN_ALGORITHM),
    "alg in a list": ({"alg": ["ES256"]}, Reason.TOKEN_ALGORITHM),
    "alg in an object": ({"alg": {}}, Reason.TOKEN_ALGORITHM),
    "alg of another curve": ({"alg": "ES384"}, Reason.TOKEN_ALGORITHM),
    "alg of another type": ({"alg": "RS256"}, Reason.TOKEN_ALGORITHM),
    "a critical parameter": ({"crit": ["x"], "x": 1}, Reason.TOKEN_MALFORMED),
    "b64 false": ({"b64": False}, Reason.TOKEN_MALFORMED),
    "a kid that is a number": ({"kid": 1}, Reason.TOKEN_MALFORMED),
    "a kid that is null": ({"kid": None}, Reason.TOKEN_MALFORMED),
    "its own key in jwk": ({"kid": ABSENT, "jwk": ClientKey().key.public_jwk}, Reason.TOKEN_SIGNATURE),
}


@pytest.mark.parametrize(("header", "expected"), HEADER_FAULTS.values(), ids=HEADER_FAULTS.keys())
def test_a_token_is_refused_with(header: dict[str, Any], expected: Reason) -> None:
    signed_by = ClientKey().key if "jwk" in header else None
    assert reason(verify(token(header=header, signed_by=signed_by))) is expected


CLAIM_FAULTS: Final[dict[str, tuple[dict[str, Any], Reason]]] = {
    "no iss": ({"iss": ABSENT}, Reason.TOKEN_CLAIM_MISSING),
    "an iss that is a list": ({"iss": [ISSUER]}, Reason.TOKEN_CLAIM_INVALID),
    "an iss with a slash at the end": ({"iss": f"{ISSUER}/"}, Reason.TOKEN_ISSUER),
    "an iss in another case": ({"iss": ISSUER.upper()}, Reason.TOKEN_ISSUER),
    "the iss of somebody else": ({"iss": "https://evil.example"}, Reason.TOKEN_ISSUER),
    "no aud": ({"aud": ABSENT}, Reason.TOKEN_AUDIENCE),
    "another aud": ({"aud": "https://other.example"}, Reason.TOKEN_AUDIENCE),
    "aud with a slash at the end": ({"aud": f"{AUDIENCE}/"}, Reason.TOKEN_AUDIENCE),
    "an empty list of audiences": ({"aud": []}, Reason.TOKEN_AUDIENCE),
    "an aud that is null": ({"aud": None}, Reason.TOKEN_CLAIM_INVALID),
    "an aud that is an object": ({"aud": {AUDIENCE: 1}}, Reason.TOKEN_CLAIM_INVALID),
    "an aud with a number in it": ({"aud": [AUDIENCE, 1]}, Reason.TOKEN_CLAIM_INVALID),
    "no exp": ({"exp": ABSENT}, Reason.TOKEN_CLAIM_MISSING),
    "an exp that is null": ({"exp": None}, Reason.TOKEN_CLAIM_MISSING),
    "an exp that is text": ({"exp": str(NOW + 300)}, Reason.TOKEN_CLAIM_INVALID),
    "an exp that is true": ({"exp": True}, Reason.TOKEN_CLAIM_INVALID),
    "an exp that is over, skew included": ({"exp": NOW - 5}, Reason.TOKEN_EXPIRED),
    "an nbf beyond the skew": ({"nbf": NOW + 6}, Reason.TOKEN_NOT_YET_VALID),
    "an nbf that is text": ({"nbf": "0"}, Reason.TOKEN_CLAIM_INVALID),
    "an nbf that is null": ({"nbf": None}, Reason.TOKEN_CLAIM_INVALID),
    "an iat that is text": ({"iat": "0"}, Reason.TOKEN_CLAIM_INVALID),
    "no sub": ({"sub": ABSENT}, Reason.TOKEN_CLAIM_MISSING),
    "an empty sub": ({"sub": ""}, Reason.TOKEN_CLAIM_INVALID),
    "a sub that is a number": ({"sub": 1}, Reason.TOKEN_CLAIM_INVALID),
    "a scope that is a list": ({"scope": ["a"]}, Reason.TOKEN_CLAIM_INVALID),
    "a jti that is a number": ({"jti": 1}, Reason.TOKEN_CLAIM_INVALID),
    "a client_id that is a number": ({"client_id": 1}, Reason.TOKEN_CLAIM_INVALID),
}


@pytest.mark.parametrize(("claims", "expected"), CLAIM_FAULTS.values(), ids=CLAIM_FAULTS.keys())
def test_a_token_is_refused_for(claims: dict[str, Any], expected: Reason) -> None:
    assert reason(verify(token(claims=claims))) is expected


@pytest.mark.parametrize("claim", ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"])
def test_every_claim_of_rfc_9068_can_be_required(claim: str) -> None:
    strict = issuer(required_claims=("iss", "exp", "aud", "sub", "client_id", "iat", "jti"))
    assert isinstance(verify(token(), policy(strict)), AccessToken)
    assert reason(verify(token(claims={claim: ABSENT}), policy(strict))) is Reason.TOKEN_CLAIM_MISSING


@pytest.mark.parametrize("value", [ABSENT, None, True, ["a"], {}], ids=["none", "null", "true", "a list", "an object"])
def test_acr_and_auth_time_count_as_missing_with(value: object) -> None:
    said = accepted(verify(token(claims={"acr": value, "auth_time": value})))
    assert (said.acr, said.auth_time) == (None, None)


def test_acr_is_no_number_and_auth_time_no_text() -> None:
    said = accepted(verify(token(claims={"acr": 1, "auth_time": str(NOW)})))
    assert (said.acr, said.auth_time) == (None, None)


GOOD: Final = token()
HEAD, BODY, SIGNATURE = GOOD.split(".")
TEXTS: Final = {
    "nothing": "",
    "one word": "opaque",
    "three words with dots": "abc.def.ghi",
    "random text with a dot": "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
    "a header that is an empty object": f"{base64url(b'{}')}.{BODY}.{SIGNATURE}",
    "a header that is an array": f"{base64url(b'[]')}.{BODY}.{SIGNATURE}",
    "a header alone": HEAD,
}
BROKEN_JWTS: Final = {
    "a header parameter twice": SIGNER.key.compact('{"typ":"at+jwt","alg":"none","alg":"ES256"}', {}),
    "a header parameter that is NaN": SIGNER.key.compact('\n{ "alg":"ES256","x":NaN}\n', {}),
    "a header nested 100 deep": SIGNER.key.compact('{"alg":"ES256","x":' + "[" * 100 + "]" * 100 + "}", {}),
    "two segments": f"{HEAD}.{BODY}",
    "no signature": f"{HEAD}.{BODY}.",
    "no claims": f"{HEAD}..{SIGNATURE}",
    "the five segments of a JWE": f"{HEAD}.{BODY}.{BODY}.{BODY}.{SIGNATURE}",
    "padding": f"{GOOD}=",
    "a character of another alphabet": f"{HEAD}.{BODY}.{SIGNATURE[:-1]}~",
    "claims that are an array": SIGNER.key.compact({"alg": "ES256"}, "[]"),
    "claims that are no JSON": SIGNER.key.compact({"alg": "ES256"}, "{"),
    "a claim twice": SIGNER.key.compact({"alg": "ES256"}, '{"iss":"a","iss":"b"}'),
    "a claim that is NaN": SIGNER.key.compact({"alg": "ES256"}, '{"exp":NaN}'),
    "claims nested 1000 deep": SIGNER.key.compact({"alg": "ES256"}, '{"a":' + "[" * 1000 + "]" * 1000 + "}"),
    "a lone surrogate": SIGNER.key.compact({"alg": "ES256"}, '{"sub":"\\ud800"}'),
}


@pytest.mark.parametrize("value", [*TEXTS.values(), *BROKEN_JWTS.values()], ids=[*TEXTS, *BROKEN_JWTS])
def test_where_nobody_can_be_asked_a_token_is_malformed_that_is(value: str) -> None:
    assert reason(verify(value)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("value", TEXTS.values(), ids=TEXTS.keys())
def test_the_issuer_is_asked_about(value: str) -> None:
    assert verify(value, ASKING) == NeedIntrospection(MAIN, value)


@pytest.mark.parametrize("value", BROKEN_JWTS.values(), ids=BROKEN_JWTS.keys())
def test_no_issuer_is_asked_about_a_broken_jwt_with(value: str) -> None:
    assert reason(verify(value, ASKING)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("value", ["é", "\ud800", "\u0661"], ids=repr)
def test_no_issuer_is_asked_about_what_is_not_ascii(value: str) -> None:
    assert reason(verify(value, ASKING)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "value", ["x" * (TOKEN_LENGTH + 1), "." * 1024 * 1024], ids=["one byte too long", "a megabyte"]
)
def test_a_token_beyond_its_limit_is_not_looked_at(value: str) -> None:
    assert reason(verify(value, ASKING)) is Reason.TOKEN_TOO_LONG


def test_a_token_as_long_as_allowed_is_looked_at() -> None:
    assert reason(verify("x" * TOKEN_LENGTH)) is Reason.TOKEN_MALFORMED


def test_a_proof_is_no_access_token() -> None:
    """J10: even one by the issuer's own key, with all claims of a token."""
    claims = json.loads(jwt.utils.base64url_decode(BODY))
    value = token(header={"typ": "dpop+jwt"}, claims={**claims, "htm": "GET", "htu": "https://x"})
    assert reason(verify(value)) is Reason.TOKEN_TYPE


def test_an_id_token_is_an_access_token_only_where_its_type_is_accepted_and_its_audience_ours() -> None:
    lenient = policy(issuer(token_types=frozenset({"at+jwt", "JWT"})))
    id_token = token(header={"typ": "JWT"}, claims={"aud": "client-1", "nonce": "n"})
    assert reason(verify(id_token)) is Reason.TOKEN_TYPE
    assert reason(verify(id_token, lenient)) is Reason.TOKEN_AUDIENCE
    assert isinstance(verify(token(header={"typ": "jwt"}), lenient), AccessToken)
    assert isinstance(verify(token(header={"typ": ABSENT}), lenient), AccessToken)
    for typ in ("", None, ["JWT"], "dpop+jwt"):
        assert reason(verify(token(header={"typ": typ}), lenient)) is Reason.TOKEN_TYPE


# --- keys ---


def test_keys_that_were_never_fetched_are_asked_for() -> None:
    assert verify(token(), keys=None) == NeedKeys(MAIN, None)


def test_a_kid_that_nobody_knows_is_asked_for() -> None:
    assert verify(token(header={"kid": "new"})) == NeedKeys(MAIN, "new")


def test_a_kid_is_compared_with_its_case() -> None:
    assert verify(token(header={"kid": SIGNER.kid.upper()})) == NeedKeys(MAIN, SIGNER.kid.upper())


def test_no_key_is_asked_for_a_token_that_cannot_pass() -> None:
    assert reason(verify(token(header={"alg": "none"}), keys=None)) is Reason.TOKEN_ALGORITHM
    assert reason(verify(token(header={"typ": "JWT"}), keys=None)) is Reason.TOKEN_TYPE
    assert reason(verify(token(claims={"iss": "x"}), keys=None)) is Reason.TOKEN_ISSUER


def test_a_token_by_another_key_of_that_kid_is_refused() -> None:
    assert reason(verify(token(Signer()))) is Reason.TOKEN_SIGNATURE


def test_a_kid_names_the_key_whatever_other_keys_would_say() -> None:
    other = Signer(kid="other")
    assert reason(verify(token(header={"kid": "other"}), keys=key_set(SIGNER, other))) is Reason.TOKEN_SIGNATURE


def test_of_two_keys_with_one_kid_the_fitting_one_is_used() -> None:
    rsa, ec = Signer("RS256"), Signer("ES256")
    assert isinstance(verify(token(ec), keys=key_set(rsa, ec)), AccessToken)
    assert isinstance(verify(token(rsa), keys=key_set(ec, rsa)), AccessToken)


def test_without_a_kid_the_fitting_keys_are_tried() -> None:
    others = [Signer(kid=str(number)) for number in range(3)]
    keys = key_set(Signer("RS256"), *others, SIGNER)
    assert isinstance(verify(token(header={"kid": ABSENT}), keys=keys), AccessToken)


def test_without_a_kid_no_more_than_four_keys_are_tried() -> None:
    keys = key_set(*[Signer(kid=str(number)) for number in range(4)], SIGNER)
    assert reason(verify(token(header={"kid": ABSENT}), keys=keys)) is Reason.TOKEN_SIGNATURE


def test_a_key_for_another_algorithm_does_not_verify() -> None:
    keys = key_set(SIGNER.jwk(alg="ES256"), Signer("RS256", kid="rsa").jwk(alg="RS512"))
    rs256 = token(Signer("RS256", kid="rsa"))
    assert reason(verify(rs256, keys=keys)) is Reason.TOKEN_ALGORITHM


def test_a_set_without_keys_verifies_nothing() -> None:
    assert reason(verify(token(header={"kid": ABSENT}), keys=key_set())) is Reason.TOKEN_ALGORITHM


def test_the_algorithms_of_the_issuer_hold() -> None:
    assert reason(verify(token(), policy(issuer(algorithms=frozenset({"PS256"}))))) is Reason.TOKEN_ALGORITHM
    assert reason(verify(token(), policy(issuer(algorithms=frozenset())))) is Reason.TOKEN_ALGORITHM


def test_keys_of_one_issuer_never_verify_tokens_of_another() -> None:
    """Who holds a key of the second issuer cannot speak for the first, with or without a kid."""
    second = issuer(name="second", hash="second-1", issuer="https://second.example")
    signer = Signer(kid="second", issuer="https://second.example")
    verifier = TokenVerifier(lambda asked: key_set(signer) if asked is second else KEYS)
    both = policy(MAIN, second)
    assert isinstance(verifier.verify(token(signer), both, NOW), AccessToken)
    assert verifier.verify(token(signer, claims={"iss": ISSUER}), both, NOW) == NeedKeys(MAIN, "second")
    forged = token(signer, claims={"iss": ISSUER}, header={"kid": ABSENT})
    assert reason(verifier.verify(forged, both, NOW)) is Reason.TOKEN_SIGNATURE


# --- audiences ---


def test_a_policy_narrows_the_audiences_of_its_issuer() -> None:
    narrow = policy(issuer(audiences=frozenset({AUDIENCE, "x"})), audiences=frozenset({"x"}))
    assert reason(verify(token(), narrow)) is Reason.TOKEN_AUDIENCE
    assert isinstance(verify(token(claims={"aud": ["x"]}), narrow), AccessToken)


def test_a_policy_cannot_widen_the_audiences_of_its_issuer() -> None:
    wide = policy(MAIN, audiences=frozenset({"x"}))
    assert reason(verify(token(claims={"aud": ["x"]}), wide)) is Reason.TOKEN_AUDIENCE


def test_an_issuer_without_audiences_has_no_tokens_for_us() -> None:
    assert reason(verify(token(), policy(issuer(audiences=frozenset())))) is Reason.TOKEN_AUDIENCE


def test_a_policy_without_issuers_accepts_no_token() -> None:
    assert reason(verify(token(), policy())) is Reason.TOKEN_ISSUER
