"""Every row of docs/decisions.md, by its sentence: status, error and the challenges that carry it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from stepguard_service.core.model import Access, Origin, Request, Rule
from stepguard_service.core.reasons import Reason

from tests.support.deciding import (
    NONCES,
    NOW,
    Deciding,
    access_token,
    client,
    deciding,
    headers_of,
    status_of,
    told_of,
    with_bearer,
    with_proof,
)
from tests.support.policies import (
    HOST,
    When,
    candidate,
    dpop_settings,
    exact,
    host_rules,
    policy,
    request,
    rule,
    rule_set,
)
from tests.support.tokens import ABSENT, ClientKey, Signer

BOTH = {"DPoP": "", "Bearer": ""}
OTHER_KEY = ClientKey(name="somebody else's")


def _governed_by(one: Rule) -> Deciding:
    return Deciding(rule_set(host_rules(candidate(one))))


def _unbound(**claims: Any) -> str:
    return access_token(bound=False, **claims)


def _dpop_only() -> Deciding:
    return deciding(dpop_required=True)


def _with_nonces(**fields: Any) -> Deciding:
    asked = rule(of=policy(dpop=dpop_settings(nonce_required=True)))
    return replace(_governed_by(asked), **fields)


def _stepped_up() -> Deciding:
    return deciding(acr_values=("urn:phr", "urn:mfa"), max_age=300, scopes=("write", "read"))


def _signed_by_stranger() -> str:
    return Signer(kid="key-1").access_token(NOW, jkt=client().jkt)


@dataclass(frozen=True)
class Row:
    """One case: what is asked of whom, and what must come back."""

    reason: Reason
    status: int
    asked: Request
    service: Deciding
    told: dict[str, str] | None = None


def _row(
    reason: Reason,
    status: int,
    told: dict[str, str] | None,
    asked: Request,
    service: Deciding | None = None,
) -> Callable[[], Row]:
    return lambda: Row(reason, status, asked, service or deciding(), told)


def _in_dpop(error: str) -> dict[str, str]:
    return {"DPoP": error, "Bearer": ""}


def _in_bearer(error: str) -> dict[str, str]:
    return {"DPoP": "", "Bearer": error}


def _authorization(value: str, **headers: str) -> Request:
    return request(headers={"authorization": value, **headers})


ROWS: dict[str, Callable[[], Row]] = {
    "1: a path that does not start with a slash": _row(Reason.MALFORMED_REQUEST, 400, {}, request(target="accounts")),
    "1: no HTTP attributes": _row(Reason.MALFORMED_REQUEST, 400, {}, Request("", "", "", "", {})),
    "1a: an authority that is not a host with an optional port": _row(
        Reason.BAD_AUTHORITY, 400, {}, request(authority="user@api.example.com")
    ),
    "2: a host of no policy": _row(Reason.UNKNOWN_HOST, 403, {}, request(authority="other.example")),
    "3: a path that normalisation refuses": _row(Reason.PATH_REFUSED, 400, {}, request(target="/a%2Fb")),
    "3a: a method that is not upper-case letters": _row(Reason.BAD_METHOD, 400, {}, request("post")),
    "4: no rule": _row(
        Reason.NO_RULE, 403, {}, request(), Deciding(rule_set(host_rules(exact(rule(), "/somewhere/else"))))
    ),
    "4: a host table without rules denies": _row(
        Reason.NO_RULE, 403, {}, with_proof(access_token()), Deciding(rule_set(host_rules()))
    ),
    "4: access Denied, whatever the credentials": _row(
        Reason.ACCESS_DENIED, 403, {}, with_proof(access_token()), _governed_by(rule(access=Access.DENIED))
    ),
    "6: no Authorization": _row(Reason.NO_CREDENTIALS, 401, BOTH, request()),
    "6: no Authorization where the rule asks for DPoP": _row(
        Reason.NO_CREDENTIALS, 401, {"DPoP": ""}, request(), _dpop_only()
    ),
    "6: a scheme that we do not know": _row(Reason.NO_CREDENTIALS, 401, BOTH, _authorization("Basic dTpw")),
    "6: a bare JWT without a scheme is a scheme that we do not know": _row(
        Reason.NO_CREDENTIALS, 401, BOTH, _authorization(access_token())
    ),
    "6: an access token in the query is ignored": _row(
        Reason.NO_CREDENTIALS, 401, BOTH, request(target=f"/accounts?access_token={_unbound()}")
    ),
    "6: a DPoP header alone is no credential": _row(
        Reason.NO_CREDENTIALS, 401, BOTH, request(headers={"dpop": "a.b.c"})
    ),
    "7: two Authorization values": _row(
        Reason.AMBIGUOUS_CREDENTIALS,
        400,
        {"DPoP": "invalid_request", "Bearer": "invalid_request"},
        _authorization("Bearer a,Bearer a"),
    ),
    "7: both schemes": _row(
        Reason.AMBIGUOUS_CREDENTIALS,
        400,
        {"DPoP": "invalid_request", "Bearer": "invalid_request"},
        _authorization("Bearer a, DPoP b"),
    ),
    "7: both schemes where the rule asks for DPoP": _row(
        Reason.AMBIGUOUS_CREDENTIALS, 400, {"DPoP": "invalid_request"}, _authorization("Bearer a,DPoP b"), _dpop_only()
    ),
    "8: a known scheme without token68": _row(
        Reason.MALFORMED_AUTHORIZATION, 400, _in_dpop("invalid_request"), _authorization("DPoP @@@.e30.x")
    ),
    "8: a known scheme without anything": _row(
        Reason.MALFORMED_AUTHORIZATION, 400, _in_bearer("invalid_request"), _authorization("Bearer")
    ),
    "9: an Authorization header over 8 KiB": _row(
        Reason.TOKEN_TOO_LONG, 400, _in_bearer("invalid_request"), _authorization("Bearer " + "a" * 8192)
    ),
    "9: a proof over 4 KiB": _row(
        Reason.PROOF_TOO_LONG, 401, _in_dpop("invalid_dpop_proof"), _authorization("DPoP a", dpop="a" * 4097)
    ),
    "10: not a JWS": _row(Reason.TOKEN_MALFORMED, 401, _in_bearer("invalid_token"), with_bearer("opaque")),
    "10: a bad signature": _row(
        Reason.TOKEN_SIGNATURE, 401, _in_dpop("invalid_token"), with_proof(_signed_by_stranger())
    ),
    "10: expired": _row(Reason.TOKEN_EXPIRED, 401, _in_dpop("invalid_token"), with_proof(access_token(exp=NOW - 5))),
    "10: for another audience": _row(
        Reason.TOKEN_AUDIENCE, 401, _in_dpop("invalid_token"), with_proof(access_token(aud="https://other.example"))
    ),
    "10: under Bearer where the rule asks for DPoP, in the DPoP challenge": _row(
        Reason.TOKEN_EXPIRED, 401, {"DPoP": "invalid_token"}, with_bearer(_unbound(exp=NOW - 5)), _dpop_only()
    ),
    "11: an issuer that is not the policy's": _row(
        Reason.TOKEN_ISSUER, 401, _in_dpop("invalid_token"), with_proof(access_token(iss="https://other.example"))
    ),
    "13: a binding that we do not understand": _row(
        Reason.TOKEN_BINDING_UNKNOWN,
        401,
        _in_bearer("invalid_token"),
        with_bearer(_unbound(cnf={"kid": "x"})),
    ),
    "13: a jkt of the wrong type": _row(
        Reason.TOKEN_BINDING_UNKNOWN, 401, _in_dpop("invalid_token"), with_proof(_unbound(cnf={"jkt": 7}))
    ),
    "14: a bound token under Bearer": _row(
        Reason.BOUND_TOKEN_AS_BEARER, 401, _in_bearer("invalid_token"), with_bearer(access_token())
    ),
    "14: a bound token under Bearer with a proof": _row(
        Reason.BOUND_TOKEN_AS_BEARER, 401, _in_bearer("invalid_token"), with_bearer(access_token(), {"dpop": "a.b.c"})
    ),
    "14: a bound token under Bearer where only DPoP is offered": _row(
        Reason.BOUND_TOKEN_AS_BEARER, 401, {"DPoP": "invalid_token"}, with_bearer(access_token()), _dpop_only()
    ),
    "15: an unbound token under DPoP": _row(
        Reason.UNBOUND_TOKEN_AS_DPOP, 401, _in_dpop("invalid_token"), with_proof(_unbound())
    ),
    "16: the rule asks for DPoP and the token is unbound": _row(
        Reason.DPOP_REQUIRED, 401, {"DPoP": "invalid_token"}, with_bearer(_unbound()), _dpop_only()
    ),
    "17: an unbound bearer token with a stray DPoP header": _row(
        Reason.STRAY_PROOF,
        400,
        {"DPoP": "invalid_request", "Bearer": "invalid_request"},
        with_bearer(_unbound(), {"dpop": "a.b.c"}),
    ),
    "18: a certificate-bound token without its certificate": _row(
        Reason.CERTIFICATE_MISMATCH,
        401,
        _in_bearer("invalid_token"),
        with_bearer(_unbound(cnf={"x5t#S256": "A" * 43})),
    ),
    "18a: nonces are required and there are no keys for them": _row(
        Reason.NONCE_KEYS_MISSING, 503, {}, with_proof(access_token()), _with_nonces(nonces=None)
    ),
    "19: no DPoP header": _row(
        Reason.PROOF_MISSING, 401, _in_dpop("invalid_dpop_proof"), _authorization(f"DPoP {access_token()}")
    ),
    "19: an empty DPoP header": _row(
        Reason.PROOF_MISSING, 401, _in_dpop("invalid_dpop_proof"), _authorization(f"DPoP {access_token()}", dpop=" ")
    ),
    "19: no DPoP header where nonces are required": _row(
        Reason.NONCE_MISSING, 401, _in_dpop("use_dpop_nonce"), _authorization(f"DPoP {access_token()}"), _with_nonces()
    ),
    "20: more than one DPoP header": _row(
        Reason.PROOF_REPEATED,
        401,
        _in_dpop("invalid_dpop_proof"),
        _authorization(f"DPoP {access_token()}", dpop="a.b.c,a.b.c"),
    ),
    "21: a proof that is no JWT": _row(
        Reason.PROOF_MALFORMED,
        401,
        _in_dpop("invalid_dpop_proof"),
        _authorization(f"DPoP {access_token()}", dpop="a.b.c"),
    ),
    "21: a proof for another method": _row(
        Reason.PROOF_METHOD,
        401,
        _in_dpop("invalid_dpop_proof"),
        with_proof(access_token(), proof={"claims": {"htm": "POST"}}),
    ),
    "21: a proof for another URI": _row(
        Reason.PROOF_TARGET,
        401,
        _in_dpop("invalid_dpop_proof"),
        with_proof(access_token(), proof={"claims": {"htu": f"https://{HOST}/other"}}),
    ),
    "21: an origin that no proof can name": _row(
        Reason.PROOF_TARGET,
        401,
        _in_dpop("invalid_dpop_proof"),
        with_proof(access_token()),
        _governed_by(rule(of=policy(origin=Origin(host="not a host")))),
    ),
    "21: ath of another token": _row(
        Reason.PROOF_TOKEN_HASH,
        401,
        _in_dpop("invalid_dpop_proof"),
        with_proof(access_token(), proof={"token": "other"}),
    ),
    "21: ath missing": _row(
        Reason.PROOF_CLAIM_MISSING,
        401,
        _in_dpop("invalid_dpop_proof"),
        with_proof(access_token(), proof={"claims": {"ath": ABSENT}}),
    ),
    "21: too old": _row(
        Reason.PROOF_TOO_OLD,
        401,
        _in_dpop("invalid_dpop_proof"),
        with_proof(access_token(), proof={"claims": {"iat": NOW - 61}}),
    ),
    "22: the nonce is missing": _row(
        Reason.NONCE_MISSING, 401, _in_dpop("use_dpop_nonce"), with_proof(access_token()), _with_nonces()
    ),
    "22: the nonce is not ours, and the iat not looked at": _row(
        Reason.NONCE_INVALID,
        401,
        _in_dpop("use_dpop_nonce"),
        with_proof(access_token(), proof={"nonce": "made-up", "claims": {"iat": NOW - 5000}}),
        _with_nonces(),
    ),
    "22: the nonce is another host's": _row(
        Reason.NONCE_INVALID,
        401,
        _in_dpop("use_dpop_nonce"),
        with_proof(access_token(), proof={"nonce": NONCES.issue("other.example", NOW)}),
        _with_nonces(),
    ),
    "23: the proof's key is not cnf.jkt": _row(
        Reason.PROOF_KEY_MISMATCH, 401, _in_dpop("invalid_token"), with_proof(access_token(cnf={"jkt": OTHER_KEY.jkt}))
    ),
    "23a: when gave neither true nor false": _row(
        Reason.CONDITION_ERROR, 403, {}, request(), _governed_by(rule(when=When(lambda _: None)))
    ),
    "23a: when over claims gave neither true nor false": _row(
        Reason.CONDITION_ERROR,
        403,
        {},
        with_proof(access_token()),
        _governed_by(rule(when=When(lambda _: None, mentions_claims=True))),
    ),
    "24: acr is none of the rule's": _row(
        Reason.INSUFFICIENT_ACR,
        401,
        _in_dpop("insufficient_user_authentication"),
        with_proof(access_token(acr="urn:pwd", auth_time=NOW, scope="read write")),
        _stepped_up(),
    ),
    "24: auth_time is missing": _row(
        Reason.STALE_AUTHENTICATION,
        401,
        _in_dpop("insufficient_user_authentication"),
        with_proof(access_token(acr="urn:phr", scope="read write")),
        _stepped_up(),
    ),
    "24: under Bearer, in the Bearer challenge": _row(
        Reason.INSUFFICIENT_ACR,
        401,
        _in_bearer("insufficient_user_authentication"),
        with_bearer(_unbound()),
        _stepped_up(),
    ),
    "25: only scope is lacking": _row(
        Reason.INSUFFICIENT_SCOPE,
        403,
        _in_dpop("insufficient_scope"),
        with_proof(access_token(acr="urn:phr", auth_time=NOW, scope="read")),
        _stepped_up(),
    ),
    "F2: no snapshot yet": _row(Reason.NO_SNAPSHOT, 503, {}, request(), Deciding(None)),
}


@pytest.mark.parametrize("make", ROWS.values(), ids=ROWS.keys())
def test_row(make: Callable[[], Row]) -> None:
    """The status, the error and the challenges that carry it are those of the row."""
    row = make()
    answer = row.service.answer(row.asked)
    assert (answer.reason, status_of(answer)) == (row.reason, row.status)
    assert told_of(answer) == row.told
    assert headers_of(answer, "cache-control") == ["no-store"]
