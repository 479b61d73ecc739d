"""Audit mode: nothing is blocked, and everything is said as if it were."""

from typing import Any

import pytest
from stepguard_service.core.model import (
    Access,
    Allow,
    Answer,
    ClaimHeader,
    Mode,
    Outcome,
    Refuse,
    Request,
    UpstreamAuthorization,
)
from stepguard_service.core.reasons import Reason

from tests.support.deciding import (
    Deciding,
    access_token,
    signer,
    with_proof,
)
from tests.support.policies import When, candidate, dpop_settings, exact, host_rules, policy, request, rule, rule_set

ORIGIN = "https://app.example"


def _audited(one: Any = None, **fields: Any) -> Deciding:
    of = policy(mode=Mode.AUDIT, **fields)
    return Deciding(rule_set(host_rules(candidate(one or rule(of=of)), allow_origins=frozenset({ORIGIN}))))


def _would_be(answer: Answer) -> tuple[object, ...]:
    return isinstance(answer.response, Allow), answer.outcome, answer.reason, answer.audited, answer.mode


def test_an_audited_policy_blocks_nothing_and_says_what_it_would_have_done() -> None:
    """The outcome, the reason and the metadata are those of Enforce."""
    answer = _audited().answer(request())
    assert _would_be(answer) == (True, Outcome.CHALLENGE, Reason.NO_CREDENTIALS, True, Mode.AUDIT)
    assert answer.metadata["decision"] == "challenge"


def test_an_audited_policy_that_would_allow_is_not_called_audited() -> None:
    """The two answers do not differ in kind."""
    answer = _audited().answer(with_proof(access_token()))
    assert _would_be(answer) == (True, Outcome.ALLOW, Reason.OK, False, Mode.AUDIT)


def test_an_audited_policy_claims_proofs() -> None:
    """And sees the replay that Enforce would have refused."""
    service, asked = _audited(), with_proof(access_token())
    service.answer(asked)
    assert _would_be(service.answer(asked._replace(id="2"))) == (
        True, Outcome.CHALLENGE, Reason.REPLAYED, True, Mode.AUDIT,
    )  # fmt: skip


HOST_ROWS = {
    "row 3": request(target="/a%2f"),
    "row 3a": request("get"),
    "row 4, no rule": request(target="/elsewhere"),
    "row 4, Denied": request(target="/denied"),
}


def _host(*modes: Mode) -> Deciding:
    policies = tuple(policy(f"bank/{at}", mode=mode) for at, mode in enumerate(modes))
    denied = exact(rule(of=policies[0], access=Access.DENIED), "/denied")
    return Deciding(rule_set(host_rules(denied, policies=policies)))


@pytest.mark.parametrize("asked", HOST_ROWS.values(), ids=HOST_ROWS.keys())
def test_a_host_is_audited_only_where_all_its_policies_are(asked: Request) -> None:
    """Rows 3 and 4 belong to the host, not to one policy."""
    audited = _host(Mode.AUDIT, Mode.AUDIT).answer(asked)
    assert (isinstance(audited.response, Allow), audited.outcome, audited.audited) == (True, Outcome.DENY, True)
    enforced = _host(Mode.AUDIT, Mode.ENFORCE).answer(asked)
    assert (isinstance(enforced.response, Refuse), enforced.audited) == (True, False)


def test_an_audited_refusal_sets_identity_headers_only_from_proven_credentials() -> None:
    """Those that passed rows 10 to 23: lacking scope is no doubt about who it is, a bad proof is."""
    of = policy(mode=Mode.AUDIT, claim_headers=(ClaimHeader("sub", "x-sub"),))
    service = Deciding(rule_set(host_rules(candidate(rule(of=of, scopes=("write",))))))
    proven = service.answer(with_proof(access_token(sub="alice"))).response
    stolen = service.answer(with_proof(access_token(sub="alice"), proof={"signed_by": signer().key})).response
    assert isinstance(proven, Allow)
    assert isinstance(stolen, Allow)
    assert (proven.set_headers, stolen.set_headers) == ((("x-sub", "alice"),), ())


def test_an_audited_refusal_makes_no_bearer_token_of_unproven_credentials() -> None:
    """They reach the application as they came, without the proof that it does not understand."""
    of = policy(mode=Mode.AUDIT, authorization=UpstreamAuthorization.BEARER)
    answer = Deciding(rule_set(host_rules(candidate(rule(of=of))))).answer(with_proof(access_token(exp=1)))
    assert answer.response == Allow(remove_headers=("dpop",))


def test_an_audited_host_hides_proofs_where_no_rule_applies() -> None:
    """Any policy of the host may hide them."""
    of = policy(mode=Mode.AUDIT, authorization=UpstreamAuthorization.REMOVE)
    answer = Deciding(rule_set(host_rules(exact(rule(of=of), "/a")))).answer(request())
    assert answer.response == Allow(remove_headers=("dpop",))


def test_an_audited_policy_tells_clients_of_nonces() -> None:
    """Where row 22 would answer, the nonce is put on the response, readable for listed origins."""
    service = _audited(dpop=dpop_settings(nonce_required=True))
    response = service.answer(with_proof(access_token(), headers={"origin": ORIGIN})).response
    assert isinstance(response, Allow)
    assert [(header.name, header.action.name) for header in response.response_headers] == [
        ("dpop-nonce", "OVERWRITE"),
        ("cache-control", "OVERWRITE"),
        ("access-control-allow-origin", "OVERWRITE"),
        ("vary", "APPEND"),
        ("access-control-expose-headers", "APPEND"),
    ]


def test_a_failed_condition_is_audited_too() -> None:
    """Row 23a has a rule, and that a policy."""
    one = rule(of=policy(mode=Mode.AUDIT), when=When(lambda _: None))
    assert _would_be(_audited(one).answer(request()))[:3] == (True, Outcome.DENY, Reason.CONDITION_ERROR)
