"""What an introspection answer is worth (RFC 7662, RFC 9449 §6.2, RFC 9470 §6.2)."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.model import (
    AccessToken,
    Binding,
    Discovery,
    DpopSettings,
    Introspection,
    Issuer,
    Mode,
    Origin,
    Policy,
    Rejected,
)
from stepguard_service.core.reasons import Reason
from stepguard_service.proof.claims import build_token
from stepguard_service.proof.introspection import accept_introspection, confirm_jwt, lifetime

NOW = 1_800_000_000
TOKEN = "opaque-token"
INTROSPECTION = Introspection(
    endpoint="https://as.example/introspect",
    client_id="stepguard",
    secret_name="as-client",
    secret_key="secret",
    always=False,
    cache_ttl=30,
    required_claims=(),
)
ISSUER = Issuer(
    name="main",
    hash="1",
    issuer="https://as.example",
    audiences=frozenset({"api"}),
    keys=Discovery(600),
    algorithms=frozenset({"ES256"}),
    token_types=frozenset({"at+jwt"}),
    clock_skew=5,
    required_claims=("exp", "sub", "client_id"),
    introspection=INTROSPECTION,
)
POLICY = Policy(
    name="bank/payments",
    mode=Mode.ENFORCE,
    issuers={ISSUER.issuer: ISSUER},
    audiences=frozenset(),
    dpop=DpopSettings(("ES256",)),
    origin=Origin(),
    opaque_issuer=ISSUER,
)


def demanding(*required: str) -> Issuer:
    return replace(ISSUER, introspection=replace(INTROSPECTION, required_claims=required))


def accept(
    members: Mapping[str, object], issuer: Issuer = ISSUER, policy: Policy = POLICY, now: int = NOW
) -> AccessToken | Rejected:
    return accept_introspection(members, issuer, policy=policy, token=TOKEN, now=now)


def test_an_active_token_is_what_the_answer_says() -> None:
    token = accept(
        {
            "active": True,
            "sub": "alice",
            "scope": "a b",
            "acr": "urn:acr:phr",
            "auth_time": NOW - 5,
            "exp": NOW + 60,
            "cnf": {"jkt": "J"},
        }
    )
    assert isinstance(token, AccessToken)
    assert token.opaque
    assert token.scopes == {"a", "b"}
    assert (token.acr, token.auth_time) == ("urn:acr:phr", NOW - 5)
    assert (token.binding, token.expires) == (Binding(jkt="J"), NOW + 60)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param({"active": False}, Reason.TOKEN_INACTIVE, id="inactive"),
        pytest.param({"sub": "alice"}, Reason.TOKEN_INACTIVE, id="no word about it"),
        pytest.param({"active": "true"}, Reason.TOKEN_INACTIVE, id="active as a string"),
        pytest.param({"active": 1}, Reason.TOKEN_INACTIVE, id="active as a number"),
        pytest.param({"active": True, "iss": "https://other.example"}, Reason.TOKEN_ISSUER, id="another issuer"),
        pytest.param({"active": True, "iss": None}, Reason.TOKEN_ISSUER, id="an issuer that is no string"),
        pytest.param({"active": True, "aud": "other"}, Reason.TOKEN_AUDIENCE, id="another audience"),
        pytest.param({"active": True, "aud": []}, Reason.TOKEN_AUDIENCE, id="no audience at all in aud"),
        pytest.param({"active": True, "aud": 7}, Reason.TOKEN_CLAIM_INVALID, id="aud of the wrong type"),
        pytest.param({"active": True, "exp": NOW - 5}, Reason.TOKEN_EXPIRED, id="expired by the whole skew"),
        pytest.param({"active": True, "exp": "soon"}, Reason.TOKEN_CLAIM_INVALID, id="exp of the wrong type"),
        pytest.param({"active": True, "nbf": NOW + 6}, Reason.TOKEN_NOT_YET_VALID, id="not yet valid"),
        pytest.param(
            {"active": True, "token_type": "Bearer", "cnf": {"jkt": "J"}},
            Reason.TOKEN_BINDING_CONTRADICTION,
            id="a bound token that calls itself bearer",
        ),
        pytest.param(
            {"active": True, "token_type": "DPoP"},
            Reason.TOKEN_BINDING_CONTRADICTION,
            id="a DPoP token without a key",
        ),
        pytest.param({"active": True, "token_type": ["DPoP"]}, Reason.TOKEN_CLAIM_INVALID, id="token_type of a list"),
    ],
)
def test_an_answer_is_refused_for_what_it_says(members: Mapping[str, object], reason: Reason) -> None:
    rejected = accept(members)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is reason


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"active": True}, id="nothing but active: what is not there is not checked"),
        pytest.param({"active": True, "iss": "https://as.example"}, id="our issuer"),
        pytest.param({"active": True, "aud": ["x", "api"]}, id="one of our audiences"),
        pytest.param({"active": True, "exp": NOW - 4}, id="expired within the skew"),
        pytest.param({"active": True, "token_type": "bearer"}, id="an unbound bearer token"),
        pytest.param({"active": True, "token_type": "DPOP", "cnf": {"jkt": "J"}}, id="token_type in any case"),
        pytest.param({"active": True, "token_type": "Bearer", "cnf": {"x5t#S256": "X"}}, id="bound to a certificate"),
    ],
)
def test_an_answer_is_accepted(members: Mapping[str, object]) -> None:
    assert isinstance(accept(members), AccessToken)


def test_required_members_must_be_there_and_those_of_jwts_need_not() -> None:
    """`requiredClaims` of the issuer (exp, sub, client_id here) is for JWTs only."""
    assert isinstance(accept({"active": True}), AccessToken)
    refused = accept({"active": True}, demanding("sub"))
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOKEN_CLAIM_MISSING
    assert isinstance(accept({"active": True, "sub": "a"}, demanding("sub")), AccessToken)


def test_a_required_member_that_is_null_is_not_there() -> None:
    refused = accept({"active": True, "tenant": None}, demanding("tenant"))
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOKEN_CLAIM_MISSING


@pytest.mark.parametrize(
    ("aud", "accepted"), [({}, False), ({"aud": "api"}, False), ({"aud": ["api", "pay"]}, True)], ids=str
)
def test_a_policy_with_audiences_makes_aud_required(aud: Mapping[str, object], accepted: bool) -> None:  # noqa: FBT001
    outcome = accept({"active": True, **aud}, policy=replace(POLICY, audiences=frozenset({"pay"})))
    assert isinstance(outcome, AccessToken) is accepted


def test_nothing_in_an_empty_answer_is_true() -> None:
    assert isinstance(accept({}), Rejected)


# --- JWTs of issuers with use: Always ---------------------------------------------------------------------------------


def jwt(**claims: object) -> AccessToken:
    stated = {
        "iss": ISSUER.issuer,
        "aud": "api",
        "exp": NOW + 60,
        "sub": "alice",
        "scope": "a b",
        "acr": "low",
        **claims,
    }
    token = build_token(stated, issuer=ISSUER, token=TOKEN, kid="key-1")
    assert isinstance(token, AccessToken)
    return token


def confirm(token: AccessToken, members: Mapping[str, object]) -> AccessToken | Rejected:
    return confirm_jwt(token, members, policy=POLICY, token=TOKEN, now=NOW)


def test_a_confirmed_jwt_stays_what_it_was() -> None:
    token = jwt()
    assert confirm(token, {"active": True}) is token


def test_a_revoked_jwt_is_refused() -> None:
    refused = confirm(jwt(), {"active": False})
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOKEN_INACTIVE


@pytest.mark.parametrize(
    ("own", "answered"),
    [
        pytest.param({"cnf": {"jkt": "J"}}, {"cnf": {"jkt": "K"}}, id="another key"),
        pytest.param({}, {"cnf": {"jkt": "K"}}, id="a key that the JWT does not have"),
        pytest.param({"cnf": {"jkt": "J"}}, {"cnf": {"x5t#S256": "X"}}, id="a certificate instead of a key"),
        pytest.param({"cnf": {"jkt": "J"}}, {"cnf": {}}, id="a cnf that says nothing"),
        pytest.param({"cnf": {"jkt": "J"}}, {"cnf": None}, id="a cnf that is null"),
    ],
)
def test_jwt_and_answer_must_not_disagree_about_the_key(
    own: Mapping[str, object], answered: Mapping[str, object]
) -> None:
    refused = confirm(jwt(**own), {"active": True, **answered})
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOKEN_BINDING_CONTRADICTION


def test_an_answer_silent_about_the_key_leaves_the_binding() -> None:
    confirmed = confirm(jwt(cnf={"jkt": "J"}), {"active": True})
    assert isinstance(confirmed, AccessToken)
    assert confirmed.binding == Binding(jkt="J")


def test_the_answers_word_about_scope_and_authentication_is_the_newer_one() -> None:
    confirmed = confirm(jwt(), {"active": True, "scope": "a", "acr": "high", "auth_time": NOW})
    assert isinstance(confirmed, AccessToken)
    assert confirmed.scopes == {"a"}
    assert (confirmed.acr, confirmed.auth_time) == ("high", NOW)
    assert (confirmed.claims["sub"], confirmed.kid, confirmed.expires) == ("alice", "key-1", NOW + 60)


# --- how long an answer is remembered ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        pytest.param({"active": True}, 30, id="without exp for cacheTTL"),
        pytest.param({"active": True, "exp": NOW + 300}, 30, id="far from exp for cacheTTL"),
        pytest.param({"active": True, "exp": NOW + 7}, 7, id="never beyond exp"),
        pytest.param({"active": True, "exp": NOW - 1}, 0, id="an expired one not at all"),
        pytest.param({"active": False}, 10, id="an inactive one for 10 s"),
        pytest.param({"active": True, "iss": "https://other.example"}, 0, id="another issuer's not at all"),
        pytest.param({"active": True, "aud": "other"}, 0, id="one made for another API not at all"),
        pytest.param({"active": True, "exp": "x"}, 0, id="a malformed one not at all"),
    ],
)
def test_an_answer_is_remembered(members: Mapping[str, object], seconds: float) -> None:
    assert lifetime(members, ISSUER, token=TOKEN, now=NOW) == seconds


def test_nothing_active_is_remembered_with_a_cache_ttl_of_zero() -> None:
    issuer = replace(ISSUER, introspection=replace(INTROSPECTION, cache_ttl=0))
    assert lifetime({"active": True}, issuer, token=TOKEN, now=NOW) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        ["active", "iss", "aud", "exp", "nbf", "cnf", "scope", "acr", "auth_time", "sub", "token_type", "jti"]
    ),
    JSON | st.just(True) | st.just({"jkt": "J"}),  # noqa: FBT003 - a JSON value
)


@given(MEMBERS)
def test_fuzz_any_answer_gives_a_token_or_a_refusal(members: Mapping[str, object]) -> None:
    """Any JSON object gives an AccessToken, and only where `active` is true, or a Rejected, never an exception."""
    outcome = accept(json.loads(json.dumps(members)))
    assert isinstance(outcome, Rejected) or members["active"] is True
    assert lifetime(members, ISSUER, token=TOKEN, now=NOW) >= 0
    assert isinstance(confirm(jwt(), members), AccessToken | Rejected)
