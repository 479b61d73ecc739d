"""What an allowed DPoP request leaves behind: its claim at the replay store, and a new nonce when one is due."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from stepguard_service.authorize import ClaimStep, Options
from stepguard_service.core.model import Allow, Answer, HeaderAction, Outcome, Refuse, Request, ResponseHeader
from stepguard_service.core.reasons import Reason
from stepguard_service.proof.certificate import CertificateSource
from stepguard_service.proof.nonce import NonceKeys
from stepguard_service.stores.replay import Claimed

from tests.support.deciding import (
    NONCES,
    NOW,
    Deciding,
    access_token,
    challenges_of,
    client,
    deciding,
    headers_of,
    status_of,
    with_bearer,
    with_proof,
)
from tests.support.policies import HOST, candidate, dpop_settings, host_rules, policy, rule, rule_set

# --- replay -----------------------------------------------------------------------------------------------------------


def _claim(service: Deciding, asked: Request) -> ClaimStep:
    step = service.begin(asked)
    assert isinstance(step, ClaimStep)
    return step


def test_a_proof_is_claimed_by_its_key_and_jti() -> None:
    """docs/decisions.md, *Replay*: the key, who claims it, and until when it could pass."""
    asked = with_proof(access_token(), proof={"claims": {"jti": "jti-1", "iat": NOW - 3.5}})
    claim = _claim(deciding(), asked).claim
    expected = sha256(b"stepguard-replay-v1\0" + client().jkt.encode() + b"\0jti-1").digest()
    assert (claim.key, claim.jkt, claim.request_id) == (expected, client().jkt, "1001")
    assert claim.until == NOW - 3 + 60 + 10 + 1


CLAIMED = {
    "first use": (Claimed.CLAIMED, 0, Outcome.ALLOW, Reason.OK),
    "the same request again": (Claimed.REPEATED, 0, Outcome.ALLOW, Reason.OK),
    "row 27": (Claimed.REPLAYED, 401, Outcome.CHALLENGE, Reason.REPLAYED),
    "row 28, full": (Claimed.FULL, 503, Outcome.UNAVAILABLE, Reason.REPLAY_STORE_FULL),
    "row 28, over its share": (Claimed.OVER_SHARE, 503, Outcome.UNAVAILABLE, Reason.REPLAY_QUOTA),
    "row 28, unavailable": (Claimed.UNAVAILABLE, 503, Outcome.UNAVAILABLE, Reason.REPLAY_STORE_UNAVAILABLE),
}


@pytest.mark.parametrize(("claimed", "status", "outcome", "reason"), CLAIMED.values(), ids=CLAIMED.keys())
def test_the_claim_decides_last(claimed: Claimed, status: int, outcome: Outcome, reason: Reason) -> None:
    """Everything else has passed."""
    answer = _claim(deciding(), with_proof(access_token())).finish(claimed)
    assert (status_of(answer), answer.outcome, answer.reason) == (status, outcome, reason)


def test_a_replay_is_told_in_the_dpop_challenge() -> None:
    """Row 27: the proof is at fault; Bearer stands beside it without error."""
    answer = _claim(deciding(), with_proof(access_token())).finish(Claimed.REPLAYED)
    assert {scheme.value: one.error for scheme, one in challenges_of(answer).items()} == {
        "DPoP": "invalid_dpop_proof",
        "Bearer": "",
    }


OUTAGE = {
    Claimed.UNAVAILABLE: (0, Outcome.ALLOW, Reason.REPLAY_STORE_UNAVAILABLE),
    Claimed.FULL: (503, Outcome.UNAVAILABLE, Reason.REPLAY_STORE_FULL),
    Claimed.OVER_SHARE: (503, Outcome.UNAVAILABLE, Reason.REPLAY_QUOTA),
    Claimed.REPLAYED: (401, Outcome.CHALLENGE, Reason.REPLAYED),
}


@pytest.mark.parametrize("claimed", OUTAGE, ids=lambda claimed: claimed.value)
def test_the_outage_switch_lets_only_outages_through(claimed: Claimed) -> None:
    """`--replay-on-outage unsafe-allow`: full and over its share never."""
    service = replace(deciding(), options=Options(allow_on_replay_outage=True))
    answer = _claim(service, with_proof(access_token())).finish(claimed)
    assert (status_of(answer), answer.outcome, answer.reason) == OUTAGE[claimed]


def test_a_proof_that_fails_the_requirement_is_not_claimed() -> None:
    """Nothing that is refused reaches the store; the client may use it for what it is good for."""
    assert isinstance(deciding(scopes=("write",)).begin(with_proof(access_token())), Answer)


def test_bearer_tokens_claim_nothing() -> None:
    """There is no proof."""
    assert isinstance(deciding().begin(with_bearer(access_token(bound=False))), Answer)


def test_a_policy_may_leave_replay_to_another_hop() -> None:
    """`dpop.replay: Skip`."""
    one = rule(of=policy(dpop=dpop_settings(skip_replay=True)))
    answer = Deciding(rule_set(host_rules(candidate(one)))).begin(with_proof(access_token()))
    assert isinstance(answer, Answer)
    assert answer.reason is Reason.OK


# --- nonces -----------------------------------------------------------------------------------------------------------


def _requiring(nonces: NonceKeys | None = NONCES, **host: Any) -> Deciding:
    one = rule(of=policy(dpop=dpop_settings(nonce_required=True)))
    return Deciding(rule_set(host_rules(candidate(one), **host)), nonces=nonces)


def _using(nonce: str, headers: dict[str, str] | None = None) -> Request:
    return with_proof(access_token(), proof={"nonce": nonce}, headers=headers)


def _response_headers(answer: Answer) -> tuple[ResponseHeader, ...]:
    assert isinstance(answer.response, Allow)
    return answer.response.response_headers


@pytest.mark.parametrize(
    "asked",
    [with_proof(access_token()), _using("made-up"), _using(NONCES.issue(HOST, NOW - 301))],
    ids=["missing", "unknown", "too old"],
)
def test_who_is_told_to_use_a_nonce_gets_one_that_works(asked: Request) -> None:
    """Rows 19 and 22: one DPoP-Nonce, for this host."""
    service = _requiring()
    (nonce,) = headers_of(service.answer(asked), "dpop-nonce")
    assert service.answer(_using(nonce)).outcome is Outcome.ALLOW


def test_other_refusals_carry_no_nonce() -> None:
    """Only `use_dpop_nonce` does."""
    answer = _requiring().answer(with_proof(access_token(exp=1)))
    assert headers_of(answer, "dpop-nonce") == []


AGES = {"fresh": (0, False), "half of its life": (150, False), "past half of its life": (151, True), "old": (300, True)}


@pytest.mark.parametrize(("age", "renewed"), AGES.values(), ids=AGES.keys())
def test_a_nonce_is_renewed_past_half_of_its_life(age: int, *, renewed: bool) -> None:
    """RFC 9449 §8.2: on the response to the allowed request, so that no round trip is lost."""
    headers = _response_headers(_requiring().answer(_using(NONCES.issue(HOST, NOW - age))))
    assert [header.name for header in headers] == (["dpop-nonce", "cache-control"] if renewed else [])
    assert {header.action for header in headers} <= {HeaderAction.OVERWRITE}


def test_a_renewed_nonce_is_readable_for_pages_of_listed_origins() -> None:
    """Else a browser's script never sees it."""
    service = _requiring(allow_origins=frozenset({"https://app.example"}))
    old = NONCES.issue(HOST, NOW - 200)
    headers = _response_headers(service.answer(_using(old, {"origin": "https://app.example"})))
    assert {header.name: header.value for header in headers}["access-control-allow-origin"] == "https://app.example"


def test_a_nonce_is_for_the_host_without_its_port() -> None:
    """In lower case, as it was made."""
    asked = _using(NONCES.issue(HOST, NOW))._replace(authority="API.example.com:443")
    assert _requiring().answer(asked).outcome is Outcome.ALLOW


def test_no_nonce_is_renewed_where_the_keys_are_gone_meanwhile() -> None:
    """The request passed with the keys it began with."""
    service = _requiring()
    step = _claim(service, _using(NONCES.issue(HOST, NOW - 200)))
    service.nonces = None
    assert _response_headers(step.finish(Claimed.CLAIMED)) == ()


def test_nonces_of_policies_that_do_not_require_them_are_ignored() -> None:
    """Whatever they say."""
    assert deciding().answer(_using("made-up")).outcome is Outcome.ALLOW


# --- certificates -----------------------------------------------------------------------------------------------------

HASH = "0f" * 32
X5T = "Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8"
CERTIFICATES = {
    "the bound one": (f"Hash={HASH}", X5T, None),
    "another": (f"Hash={HASH}", "A" * 43, Reason.CERTIFICATE_MISMATCH),
    "none": ("", X5T, Reason.CERTIFICATE_MISMATCH),
}


@pytest.mark.parametrize(("xfcc", "bound", "reason"), CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_a_certificate_bound_token_needs_its_certificate(xfcc: str, bound: str, reason: Reason | None) -> None:
    """Row 18 (RFC 8705 §3), where the platform says that certificates come from."""
    service = replace(deciding(), certificates=CertificateSource.XFCC_FIRST)
    token = access_token(bound=False, cnf={"x5t#S256": bound})
    answer = service.answer(with_bearer(token, {"x-forwarded-client-cert": xfcc}))
    assert answer.reason is (reason or Reason.OK)


def test_a_token_bound_to_both_must_pass_both() -> None:
    """Key and certificate."""
    service = replace(deciding(), certificates=CertificateSource.XFCC_FIRST)
    token = access_token(cnf={"jkt": client().jkt, "x5t#S256": X5T})
    good = service.answer(with_proof(token, headers={"x-forwarded-client-cert": f"Hash={HASH}"}))
    assert good.outcome is Outcome.ALLOW
    assert service.answer(with_proof(token)).reason is Reason.CERTIFICATE_MISMATCH


def test_a_certificate_bound_token_is_no_dpop_token() -> None:
    """Rows 15 and 16 are about keys."""
    token = access_token(bound=False, cnf={"x5t#S256": X5T})
    assert deciding().answer(with_proof(token)).reason is Reason.UNBOUND_TOKEN_AS_DPOP
    assert deciding(dpop_required=True).answer(with_bearer(token)).reason is Reason.DPOP_REQUIRED


# --- step-up ----------------------------------------------------------------------------------------------------------

TIMES = {
    "now": (NOW, True),
    "exactly max_age ago": (NOW - 300, True),
    "a second more": (NOW - 301, False),
    "as far in the future as the skew": (NOW + 5, True),
    "further in the future": (NOW + 6, False),
    "a string": ("1800000000", False),
    "a fraction": (NOW - 299.5, True),
}


@pytest.mark.parametrize(("auth_time", "passes"), TIMES.values(), ids=TIMES.keys())
def test_authentication_is_fresh_for_max_age(auth_time: object, *, passes: bool) -> None:
    """Row 24 (RFC 9470 §3): edges included; `iat` never stands in for it."""
    answer = deciding(max_age=300).answer(with_proof(access_token(auth_time=auth_time)))
    assert answer.reason is (Reason.OK if passes else Reason.STALE_AUTHENTICATION)


ACRS = {
    "one of them": ("urn:b", True),
    "in another case": ("URN:B", False),
    "a longer one": ("urn:bb", False),
    "not a string": (["urn:b"], False),
}


@pytest.mark.parametrize(("acr", "passes"), ACRS.values(), ids=ACRS.keys())
def test_acr_is_one_of_the_values(acr: object, *, passes: bool) -> None:
    """Row 24: compared as strings, no hierarchy."""
    answer = deciding(acr_values=("urn:a", "urn:b")).answer(with_proof(access_token(acr=acr)))
    assert answer.reason is (Reason.OK if passes else Reason.INSUFFICIENT_ACR)


def test_all_scopes_are_needed() -> None:
    """Row 25: in any order, beside others."""
    service = deciding(scopes=("a", "b"))
    assert service.answer(with_proof(access_token(scope="c b a"))).outcome is Outcome.ALLOW
    answer = service.answer(with_proof(access_token(scope="a c")))
    assert isinstance(answer.response, Refuse)
    assert (answer.reason, status_of(answer)) == (Reason.INSUFFICIENT_SCOPE, 403)
