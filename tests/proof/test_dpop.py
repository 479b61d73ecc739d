"""A DPoP proof at the resource server: each check of RFC 9449 §4.3, each fault by itself, and which is told first."""

import math
from dataclasses import replace
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from stepguard_service.core.model import DpopSettings, Proof, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.limits import PROOF_LENGTH
from stepguard_service.proof.dpop import NonceCheck

from tests.support.proofs import verify_proof
from tests.support.tokens import ABSENT, ClientKey, ath, base64url
from tests.support.trust import ALGORITHMS

NOW: Final = 1_800_000_000
URL: Final = "https://api.example.com/transfers"
TOKEN: Final = "token-1"
CLIENT: Final = ClientKey()
SETTINGS: Final = DpopSettings(ALGORITHMS, proof_max_age=60, clock_skew=10)
WITH_NONCE: Final = replace(SETTINGS, nonce_required=True)


def proof(client: ClientKey = CLIENT, *, method: str = "POST", url: str = URL, now: float = NOW, **parts: Any) -> str:
    """A good proof for POST /transfers, but for the parts that are given."""
    return client.proof(method, url, now=now, token=parts.pop("token", TOKEN), **parts)


def verify(
    value: str,
    settings: DpopSettings = SETTINGS,
    *,
    method: str = "POST",
    target: str = URL,
    token: str = TOKEN,
    nonce: NonceCheck | None = None,
    now: int = NOW,
) -> Proof | Rejected:
    return verify_proof(value, settings=settings, method=method, target=target, ath=ath(token), nonce=nonce, now=now)


def reason(outcome: Proof | Rejected) -> Reason:
    assert isinstance(outcome, Rejected)
    return outcome.reason


def fresh(nonce: str) -> float | None:
    """The one good nonce is 7 seconds old."""
    return 7.0 if nonce.encode() == b"good" else None


def ecdsa_key() -> ec.EllipticCurvePrivateKey:
    assert isinstance(CLIENT.key.private, ec.EllipticCurvePrivateKey)
    return CLIENT.key.private


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_proof_is_accepted_under(algorithm: str) -> None:
    client = ClientKey(algorithm)
    accepted = verify(proof(client, claims={"jti": "one"}))
    assert accepted == Proof(client.jkt, "one", NOW)


ACCEPTED: Final[dict[str, dict[str, Any]]] = {
    "claims and header parameters that nobody knows": {"claims": {"x": {}, "sub": 1}, "header": {"x": [1]}},
    "a kid beside the key": {"header": {"kid": "another", "jku": "https://evil.example", "x5c": ["QQ"]}},
    "a use and a key_ops that allow verifying": {
        "header": {"jwk": {**CLIENT.key.public_jwk, "use": "sig", "key_ops": ["verify"], "alg": "ES256"}}
    },
    "a query and a fragment in htu": {"url": f"{URL}?x=1#y"},
    "an htu in another spelling": {"url": "HTTPS://API.example.com:443/a/../%74ransfers"},
    "an iat as old as allowed": {"claims": {"iat": NOW - 60}},
    "an iat as far in the future as allowed": {"claims": {"iat": NOW + 10}},
    "an iat with a fraction": {"claims": {"iat": NOW - 59.9}},
    "an exp that is not yet over": {"claims": {"exp": NOW - 9}},
    "an exp far away": {"claims": {"exp": NOW + 10**9}},
    "an nbf within the skew": {"claims": {"nbf": NOW + 10}},
    "a jti of 512 bytes": {"claims": {"jti": "é" * 256}},
    "a nonce that nobody asked for": {"nonce": "x"},
    "a nonce of a wrong type that nobody asked for": {"claims": {"nonce": 1}},
    "acr and auth_time, which do not count": {"claims": {"acr": "x", "auth_time": "x"}},
}


@pytest.mark.parametrize("parts", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_proof_may_have(parts: dict[str, Any]) -> None:
    assert isinstance(verify(proof(**parts)), Proof)


OTHER: Final = ClientKey()
HEADER_FAULTS: Final[dict[str, tuple[dict[str, Any], Reason]]] = {
    "no typ": ({"typ": ABSENT}, Reason.PROOF_TYPE),
    "typ JWT": ({"typ": "JWT"}, Reason.PROOF_TYPE),
    "the typ of an access token": ({"typ": "at+jwt"}, Reason.PROOF_TYPE),
    "typ in upper case": ({"typ": "DPOP+JWT"}, Reason.PROOF_TYPE),
    "typ as a full media type": ({"typ": "application/dpop+jwt"}, Reason.PROOF_TYPE),
    "typ in a list": ({"typ": ["dpop+jwt"]}, Reason.PROOF_TYPE),
    "no alg": ({"alg": ABSENT}, Reason.PROOF_ALGORITHM),
    "alg none": ({"alg": "none"}, Reason.PROOF_ALGORITHM),
    "alg noNE": ({"alg": "noNE"}, Reason.PROOF_ALGORITHM),
    "alg HS256": ({"alg": "HS256"}, Reason.PROOF_ALGORITHM),
    "alg HS256 with a symmetric key": ({"alg": "HS256", "jwk": {"kty": "oct", "k": "QQ"}}, Reason.PROOF_ALGORITHM),
    "alg in lower case": ({"alg": "es256"}, Reason.PROOF_ALGORITHM),
    "alg in a list": ({"alg": ["ES256"]}, Reason.PROOF_ALGORITHM),
    "alg ES256K": ({"alg": "ES256K"}, Reason.PROOF_ALGORITHM),
    "alg of another curve": ({"alg": "ES384"}, Reason.PROOF_ALGORITHM),
    "alg of another type": ({"alg": "PS256"}, Reason.PROOF_ALGORITHM),
    "no jwk": ({"jwk": ABSENT}, Reason.PROOF_KEY),
    "a kid instead of a jwk": ({"jwk": ABSENT, "kid": "key-1"}, Reason.PROOF_KEY),
    "a jwk that is text": ({"jwk": "{}"}, Reason.PROOF_KEY),
    "a jwk that is null": ({"jwk": None}, Reason.PROOF_KEY),
    "a symmetric jwk": ({"jwk": {"kty": "oct", "k": "QQ"}}, Reason.PROOF_KEY),
    "a private jwk": ({"jwk": CLIENT.key.private_jwk}, Reason.PROOF_KEY),
    "a jwk for encryption": ({"jwk": {**CLIENT.key.public_jwk, "use": "enc"}}, Reason.PROOF_KEY),
    "a jwk of another alg": ({"jwk": {**CLIENT.key.public_jwk, "alg": "ES384"}}, Reason.PROOF_KEY),
    "the jwk of another client": ({"jwk": OTHER.key.public_jwk}, Reason.PROOF_SIGNATURE),
    "a critical parameter": ({"crit": ["x"], "x": 1}, Reason.PROOF_MALFORMED),
    "b64 false": ({"b64": False}, Reason.PROOF_MALFORMED),
    "a kid that is a number": ({"kid": 1}, Reason.PROOF_MALFORMED),
}


@pytest.mark.parametrize(("header", "expected"), HEADER_FAULTS.values(), ids=HEADER_FAULTS.keys())
def test_a_proof_is_refused_with(header: dict[str, Any], expected: Reason) -> None:
    assert reason(verify(proof(header=header))) is expected


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_private_members_are_refused_for_every_type_of_key(algorithm: str) -> None:
    client = ClientKey(algorithm)
    assert reason(verify(proof(client, header={"jwk": client.key.private_jwk}))) is Reason.PROOF_KEY


def test_a_proof_of_an_rsa_key_with_1024_bits_is_refused() -> None:
    assert reason(verify(proof(ClientKey("PS256", bits=1024, name="small")))) is Reason.PROOF_KEY


def test_a_signature_by_another_key_is_refused() -> None:
    assert reason(verify(proof(signed_by=OTHER.key))) is Reason.PROOF_SIGNATURE


REQUIRED: Final = ("jti", "htm", "htu", "iat", "ath")
WRONG_TYPES: Final[dict[str, tuple[object, ...]]] = {
    "jti": (None, 1, True, [], {}, ["a"], "", "é" * 257, "x" * 513),
    "htm": (None, 1, True, ["POST"], {}),
    "htu": (None, 1, True, [URL], {}),
    "ath": (None, 1, True, [ath(TOKEN)], {}),
    "iat": (None, str(NOW), True, [NOW], {}),
    "exp": (None, str(NOW), False, [NOW], {}),
    "nbf": (None, str(NOW), True, [NOW], {}),
}


@pytest.mark.parametrize("claim", REQUIRED)
def test_every_claim_is_required(claim: str) -> None:
    assert reason(verify(proof(claims={claim: ABSENT}))) is Reason.PROOF_CLAIM_MISSING


@pytest.mark.parametrize(
    ("claim", "value"), [(claim, value) for claim, values in WRONG_TYPES.items() for value in values], ids=str
)
def test_a_claim_of_a_wrong_type_is_refused(claim: str, value: object) -> None:
    assert reason(verify(proof(claims={claim: value}))) is Reason.PROOF_CLAIM_INVALID


CLAIM_FAULTS: Final[dict[str, tuple[dict[str, Any], Reason]]] = {
    "htm in lower case": ({"htm": "post"}, Reason.PROOF_METHOD),
    "htm of another method": ({"htm": "GET"}, Reason.PROOF_METHOD),
    "an empty htm": ({"htm": ""}, Reason.PROOF_METHOD),
    "htm with a space": ({"htm": "POST "}, Reason.PROOF_METHOD),
    "htu of another host": ({"htu": "https://evil.example/transfers"}, Reason.PROOF_TARGET),
    "htu of another port": ({"htu": "https://api.example.com:8443/transfers"}, Reason.PROOF_TARGET),
    "htu of another scheme": ({"htu": "http://api.example.com/transfers"}, Reason.PROOF_TARGET),
    "htu of another path": ({"htu": "https://api.example.com/transfer"}, Reason.PROOF_TARGET),
    "htu in another case": ({"htu": "https://api.example.com/Transfers"}, Reason.PROOF_TARGET),
    "htu with a trailing slash": ({"htu": f"{URL}/"}, Reason.PROOF_TARGET),
    "a relative htu": ({"htu": "/transfers"}, Reason.PROOF_TARGET),
    "htu with a user": ({"htu": "https://u@api.example.com/transfers"}, Reason.PROOF_TARGET),
    "an empty htu": ({"htu": ""}, Reason.PROOF_TARGET),
    "htu with a TAB that a lenient parser drops": ({"htu": "https://api.example.com/tran\tsfers"}, Reason.PROOF_TARGET),
    "ath of another token": ({"ath": ath("another")}, Reason.PROOF_TOKEN_HASH),
    "ath of the whole header value": ({"ath": ath(f"DPoP {TOKEN}")}, Reason.PROOF_TOKEN_HASH),
    "an empty ath": ({"ath": ""}, Reason.PROOF_TOKEN_HASH),
    "a padded ath": ({"ath": f"{ath(TOKEN)}="}, Reason.PROOF_TOKEN_HASH),
    "ath outside ASCII": ({"ath": "é"}, Reason.PROOF_TOKEN_HASH),
    "iat a second too old": ({"iat": NOW - 61}, Reason.PROOF_TOO_OLD),
    "iat a second too far in the future": ({"iat": NOW + 11}, Reason.PROOF_FROM_FUTURE),
    "iat in milliseconds": ({"iat": NOW * 1000}, Reason.PROOF_FROM_FUTURE),
    "iat of 300 digits": ({"iat": 10**299}, Reason.PROOF_FROM_FUTURE),
    "iat before the epoch": ({"iat": -1}, Reason.PROOF_TOO_OLD),
    "an old iat that exp would excuse": ({"iat": NOW - 61, "exp": NOW + 60}, Reason.PROOF_TOO_OLD),
    "an exp that has passed": ({"exp": NOW - 10}, Reason.PROOF_TOO_OLD),
    "an nbf a second too far": ({"nbf": NOW + 11}, Reason.PROOF_FROM_FUTURE),
}


@pytest.mark.parametrize(("claims", "expected"), CLAIM_FAULTS.values(), ids=CLAIM_FAULTS.keys())
def test_a_proof_is_refused_for(claims: dict[str, Any], expected: Reason) -> None:
    assert reason(verify(proof(claims=claims))) is expected


def test_head_is_not_get() -> None:
    assert reason(verify(proof(method="GET"), method="HEAD")) is Reason.PROOF_METHOD


def test_a_request_that_has_no_uri_fits_no_proof() -> None:
    assert reason(verify(proof(claims={"htu": ""}), target="")) is Reason.PROOF_TARGET
    assert reason(verify(proof(claims={"htu": "/"}), target="")) is Reason.PROOF_TARGET


RAW_FAULTS: Final[dict[str, dict[str, Any]]] = {
    "claims that are an array": {"raw_claims": "[]"},
    "claims that are text": {"raw_claims": "POST"},
    "a claim twice": {"raw_claims": '{"jti":"a","jti":"b","htm":"POST","htu":"","iat":1,"ath":""}'},
    "an iat that is NaN": {"raw_claims": '{"jti":"a","htm":"POST","htu":"","iat":NaN,"ath":""}'},
    "an iat that is infinite": {"raw_claims": '{"jti":"a","htm":"POST","htu":"","iat":1e999,"ath":""}'},
    "an iat of 5 000 digits": {"raw_claims": '{"iat":' + "9" * 2000 + "}"},
    "a lone surrogate in jti": {"raw_claims": '{"jti":"\\ud800","htm":"POST","htu":"","iat":1,"ath":""}'},
    "claims nested 100 deep": {"raw_claims": '{"x":' + "[" * 100 + "]" * 100 + "}"},
    "claims in Latin-1": {"raw_claims": b'{"jti":"\xe9"}'},
    "claims after a byte order mark": {"raw_claims": b"\xef\xbb\xbf{}"},
    "a header that is an array": {"raw_header": "[]"},
    "a header parameter twice": {"raw_header": '{"typ":"dpop+jwt","alg":"none","alg":"ES256"}'},
    "a header nested 100 deep": {"raw_header": '{"jwk":' + "[" * 100 + "]" * 100 + "}"},
}


@pytest.mark.parametrize("parts", RAW_FAULTS.values(), ids=RAW_FAULTS.keys())
def test_a_proof_is_malformed_with(parts: dict[str, Any]) -> None:
    assert reason(verify(proof(**parts))) is Reason.PROOF_MALFORMED


GOOD: Final = proof()
HEAD, BODY, SIGNATURE = GOOD.split(".")
DER: Final = ecdsa_key().sign(f"{HEAD}.{BODY}".encode(), ec.ECDSA(hashes.SHA256()))
TEXT_FAULTS: Final[dict[str, tuple[str, Reason]]] = {
    "nothing": ("", Reason.PROOF_MISSING),
    "a space": (" ", Reason.PROOF_MALFORMED),
    "two proofs, joined as Envoy does": (f"{GOOD},{GOOD}", Reason.PROOF_REPEATED),
    "a comma at the end": (f"{GOOD},", Reason.PROOF_REPEATED),
    "only a comma": (",", Reason.PROOF_REPEATED),
    "as long as allowed": ("x" * PROOF_LENGTH, Reason.PROOF_MALFORMED),
    "one character too long": ("x" * (PROOF_LENGTH + 1), Reason.PROOF_TOO_LONG),
    "a megabyte": (f"{HEAD}.{'A' * 1024 * 1024}.{SIGNATURE}", Reason.PROOF_TOO_LONG),
    "two segments": (f"{HEAD}.{BODY}", Reason.PROOF_MALFORMED),
    "five segments": (f"{HEAD}.{BODY}.{BODY}.{BODY}.{SIGNATURE}", Reason.PROOF_MALFORMED),
    "no signature": (f"{HEAD}.{BODY}.", Reason.PROOF_MALFORMED),
    "a detached payload": (f"{HEAD}..{SIGNATURE}", Reason.PROOF_MALFORMED),
    "padding after the signature": (f"{GOOD}==", Reason.PROOF_MALFORMED),
    "a space before it": (f" {GOOD}", Reason.PROOF_MALFORMED),
    "a line feed after it": (f"{GOOD}\n", Reason.PROOF_MALFORMED),
    "a scheme before it": (f"DPoP {GOOD}", Reason.PROOF_MALFORMED),
    "quotes around it": (f'"{GOOD}"', Reason.PROOF_MALFORMED),
    "a letter outside ASCII": (f"{HEAD}.é.{SIGNATURE}", Reason.PROOF_MALFORMED),
    "a signature of 63 octets": (f"{HEAD}.{BODY}.{base64url(bytes(63))}", Reason.PROOF_SIGNATURE),
    "a signature of 65 octets": (f"{HEAD}.{BODY}.{base64url(bytes(65))}", Reason.PROOF_SIGNATURE),
    "a signature in DER": (f"{HEAD}.{BODY}.{base64url(DER)}", Reason.PROOF_SIGNATURE),
    "the signature of another proof": (f"{HEAD}.{BODY}.{proof().split('.')[2]}", Reason.PROOF_SIGNATURE),
}


@pytest.mark.parametrize(("value", "expected"), TEXT_FAULTS.values(), ids=TEXT_FAULTS.keys())
def test_a_header_is_refused_that_is(value: str, expected: Reason) -> None:
    assert reason(verify(value)) is expected


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_that_the_policy_does_not_name_is_refused(algorithm: str) -> None:
    others = replace(SETTINGS, algorithms=tuple(name for name in ALGORITHMS if name != algorithm))
    assert reason(verify(proof(ClientKey(algorithm)), others)) is Reason.PROOF_ALGORITHM


def test_a_policy_without_algorithms_accepts_no_proof() -> None:
    assert reason(verify(GOOD, replace(SETTINGS, algorithms=()))) is Reason.PROOF_ALGORITHM


def test_a_window_of_no_width_is_the_second_itself() -> None:
    exact = replace(SETTINGS, proof_max_age=0, clock_skew=0)
    verdicts = [isinstance(verify(proof(claims={"iat": NOW + shift}), exact), Proof) for shift in (-1, 0, 1)]
    assert verdicts == [False, True, False]


# --- nonces ---


def test_a_good_nonce_is_accepted_and_its_age_told() -> None:
    accepted = verify(proof(nonce="good"), WITH_NONCE, nonce=fresh)
    assert isinstance(accepted, Proof)
    assert accepted.nonce_age == 7.0


NONCE_FAULTS: Final[dict[str, tuple[object, Reason]]] = {
    "none": (ABSENT, Reason.NONCE_MISSING),
    "null": (None, Reason.NONCE_MISSING),
    "another": ("bad", Reason.NONCE_INVALID),
    "an empty one": ("", Reason.NONCE_INVALID),
    "a number": (1, Reason.NONCE_INVALID),
    "a list": (["good"], Reason.NONCE_INVALID),
}


@pytest.mark.parametrize(("nonce", "expected"), NONCE_FAULTS.values(), ids=NONCE_FAULTS.keys())
def test_where_a_nonce_is_required_a_proof_does_not_pass_with(nonce: object, expected: Reason) -> None:
    assert reason(verify(proof(claims={"nonce": nonce}), WITH_NONCE, nonce=fresh)) is expected


def test_where_a_nonce_is_required_a_missing_proof_asks_for_it() -> None:
    assert reason(verify("", WITH_NONCE, nonce=fresh)) is Reason.NONCE_MISSING


def test_a_nonce_is_not_looked_at_where_none_is_required() -> None:
    accepted = verify(proof(nonce="bad"), nonce=fresh)
    assert isinstance(accepted, Proof)
    assert accepted.nonce_age is None


def test_a_required_nonce_that_nobody_can_check_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="nothing to check them with"):
        verify(proof(nonce="good"), WITH_NONCE)


def test_a_good_nonce_does_not_excuse_an_old_iat() -> None:
    old = proof(nonce="good", claims={"iat": NOW - 61})
    assert reason(verify(old, WITH_NONCE, nonce=fresh)) is Reason.PROOF_TOO_OLD


# --- which fault is told first ---

FAULTS_IN_ORDER: Final[list[tuple[Reason, dict[str, Any], dict[str, Any]]]] = [
    (Reason.PROOF_CLAIM_INVALID, {"jti": 1}, {}),
    (Reason.PROOF_TYPE, {}, {"typ": "JWT"}),
    (Reason.PROOF_ALGORITHM, {}, {"alg": "HS256"}),
    (Reason.PROOF_KEY, {}, {"jwk": {}}),
    (Reason.PROOF_SIGNATURE, {}, {"jwk": OTHER.key.public_jwk}),
    (Reason.PROOF_METHOD, {"htm": "GET"}, {}),
    (Reason.PROOF_TARGET, {"htu": "https://evil.example"}, {}),
    (Reason.PROOF_TOKEN_HASH, {"ath": "x"}, {}),
    (Reason.NONCE_INVALID, {"nonce": "bad"}, {}),
    (Reason.PROOF_TOO_OLD, {"iat": 1}, {}),
]


@pytest.mark.parametrize("first", range(len(FAULTS_IN_ORDER)), ids=[fault[0].value for fault in FAULTS_IN_ORDER])
def test_of_several_faults_the_first_in_order_is_told(first: int) -> None:
    """Form, key, signature, htm, htu, ath, nonce, iat: all faults from this one on are in the proof."""
    claims: dict[str, Any] = {"nonce": "good"}
    header: dict[str, Any] = {}
    for _, wrong_claims, wrong_header in reversed(FAULTS_IN_ORDER[first:]):
        claims |= wrong_claims
        header |= wrong_header
    assert reason(verify(proof(claims=claims, header=header), WITH_NONCE, nonce=fresh)) is FAULTS_IN_ORDER[first][0]


# --- another implementation ---


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "Ed25519"])
def test_a_proof_that_pyjwt_made_is_accepted(algorithm: str) -> None:
    client = ClientKey(algorithm)
    claims = {"jti": "1", "htm": "POST", "htu": URL, "iat": NOW, "ath": ath(TOKEN)}
    header = {"typ": "dpop+jwt", "jwk": client.key.public_jwk}
    value = jwt.encode(claims, client.key.private, algorithm, headers=header)
    assert verify(value) == Proof(client.jkt, "1", NOW)


def test_what_pyjwt_lets_through_is_refused() -> None:
    """A private member in jwk, an iat that is a string, a padded segment: PyJWT decodes all of them."""
    odd = proof(header={"jwk": CLIENT.key.private_jwk}, claims={"iat": "1700000000"}) + "=="
    assert jwt.decode(odd, ecdsa_key().public_key(), ["ES256"])["htm"] == "POST"
    assert reason(verify(odd)) is Reason.PROOF_MALFORMED


def test_the_largest_iat_of_json_is_compared_without_an_error() -> None:
    assert reason(verify(proof(claims={"iat": math.nextafter(math.inf, 0)}))) is Reason.PROOF_FROM_FUTURE
