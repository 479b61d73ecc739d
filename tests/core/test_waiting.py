"""What a decision waits for: keys, and introspection; and what becomes of it afterwards (rows 10 to 12)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from stepguard_service.authorize import ClaimStep, Step, WaitStep
from stepguard_service.core.matching import RuleSet
from stepguard_service.core.model import Answer, Introspection, Mode, Outcome
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import Introspected, KeysLooked, NeedIntrospection, NeedKeys, Unavailable

from tests.support.deciding import (
    NOW,
    Deciding,
    access_token,
    client,
    deciding,
    key_set,
    signed,
    status_of,
    with_bearer,
    with_proof,
)
from tests.support.policies import When, candidate, host_rules, issuer, policy, rule, rule_set
from tests.support.tokens import AUDIENCE, ClientKey, Signer

OTHER = ClientKey(name="other")


def _wait(step: Step) -> WaitStep:
    assert isinstance(step, WaitStep)
    return step


def _answer(step: Step) -> Answer:
    assert isinstance(step, Answer)
    return step


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_that_were_never_fetched_are_waited_for() -> None:
    """Then the token is verified with them."""
    service = replace(deciding(), keys={})
    step = _wait(service.begin(with_proof(access_token())))
    assert isinstance(step.need, NeedKeys)
    assert (step.need.issuer.name, step.need.kid) == ("main", None)
    service.keys["main"] = key_set()
    assert service.finish(signed(step.resume(KeysLooked(), NOW))).outcome is Outcome.ALLOW


KEYS = {
    "the server did not answer": (Unavailable(), 503, Reason.KEYS_UNAVAILABLE),
    "a look brought no keys": (KeysLooked(), 503, Reason.KEYS_UNAVAILABLE),
}


@pytest.mark.parametrize(("waited", "status", "reason"), KEYS.values(), ids=KEYS.keys())
def test_without_keys_the_answer_is_503(waited: Unavailable | KeysLooked, status: int, reason: Reason) -> None:
    """Row 12."""
    service = replace(deciding(), keys={})
    answer = _answer(_wait(service.begin(with_proof(access_token()))).resume(waited, NOW))
    assert (status_of(answer), answer.reason) == (status, reason)


def _unknown_kid() -> WaitStep:
    stranger = Signer(kid="key-2").access_token(NOW, jkt=client().jkt)
    return _wait(deciding().begin(with_proof(stranger)))


def test_an_unknown_kid_is_waited_for_once_and_then_refused() -> None:
    """Row 10: the keys now in force are all there is."""
    step = _unknown_kid()
    assert isinstance(step.need, NeedKeys)
    assert step.need.kid == "key-2"
    answer = _answer(step.resume(KeysLooked(), NOW))
    assert (status_of(answer), answer.reason) == (401, Reason.TOKEN_KEY_UNKNOWN)


def test_an_unknown_kid_whose_look_up_fails_is_503() -> None:
    """Row 12: nobody knows whether the key is good."""
    assert _answer(_unknown_kid().resume(Unavailable(), NOW)).reason is Reason.KEYS_UNAVAILABLE


def test_a_resumed_decision_is_made_at_its_own_time() -> None:
    """What expired meanwhile has expired."""
    service = replace(deciding(), keys={})
    step = _wait(service.begin(with_proof(access_token(exp=NOW + 1))))
    service.keys["main"] = key_set()
    assert _answer(step.resume(KeysLooked(), NOW + 6)).reason is Reason.TOKEN_EXPIRED


def test_a_resumed_decision_is_made_by_the_rules_then_in_force() -> None:
    """Trust that was taken away meanwhile is gone."""
    service = replace(deciding(), keys={})
    step = _wait(service.begin(with_proof(access_token())))
    service.keys["main"] = key_set()
    service.store.current = rule_set(host_rules(candidate(rule(of=policy(issuers=())))))
    assert _answer(step.resume(KeysLooked(), NOW)).reason is Reason.TOKEN_ISSUER


def test_a_condition_over_claims_waits_too() -> None:
    """It is reached before any rule is chosen."""
    when = When(lambda _: True, mentions_claims=True)
    service = Deciding(rule_set(host_rules(candidate(rule(when=when)))), keys={})
    _wait(service.begin(with_proof(access_token())))
    assert when.seen == []


# --- introspection ----------------------------------------------------------------------------------------------------


def _introspection(*, always: bool) -> Introspection:
    return Introspection("https://as.example/introspect", "stepguard", "as", "secret", always, 30, ())


def _rules(*, always: bool = False, mode: Mode = Mode.ENFORCE, **require: Any) -> RuleSet:
    of = policy(issuers=[issuer(introspection=_introspection(always=always))], mode=mode)
    return rule_set(host_rules(candidate(rule(of=of, **require))))


def _members(**members: object) -> Introspected:
    return Introspected({"active": True, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 60, **members})


def _opaque() -> WaitStep:
    return _wait(Deciding(_rules()).begin(with_bearer("opaque-token")))


def test_an_opaque_token_is_asked_about() -> None:
    """At the one issuer of the policy that has introspection."""
    need = _opaque().need
    assert isinstance(need, NeedIntrospection)
    assert (need.issuer.name, need.token) == ("main", "opaque-token")


OPAQUE = {
    "active": (_members(), 0, Reason.OK),
    "inactive": (Introspected({"active": False}), 401, Reason.TOKEN_INACTIVE),
    "bound to a key, but presented as a bearer token": (
        _members(cnf={"jkt": "A" * 43}), 401, Reason.BOUND_TOKEN_AS_BEARER,
    ),
    "no answer": (Unavailable(), 503, Reason.INTROSPECTION_UNAVAILABLE),
    "an answer to another question": (KeysLooked(), 503, Reason.INTROSPECTION_UNAVAILABLE),
}  # fmt: skip


@pytest.mark.parametrize(("waited", "status", "reason"), OPAQUE.values(), ids=OPAQUE.keys())
def test_an_opaque_token_is_worth_what_its_issuer_says(
    waited: Introspected | Unavailable | KeysLooked, status: int, reason: Reason
) -> None:
    """Rows 10 and 12; the binding is checked as for any token."""
    answer = _answer(_opaque().resume(waited, NOW))
    assert (status_of(answer), answer.reason) == (status, reason)


def test_a_bound_opaque_token_comes_with_a_proof() -> None:
    """And the claim is made for it."""
    step = _wait(Deciding(_rules()).begin(with_proof("opaque-token")))
    assert isinstance(signed(step.resume(_members(cnf={"jkt": client().jkt}), NOW)), ClaimStep)


def _always(asked: str) -> WaitStep:
    return _wait(Deciding(_rules(always=True)).begin(with_proof(asked)))


ALWAYS: dict[str, tuple[Mapping[str, object], Reason]] = {
    "revoked": ({"active": False}, Reason.TOKEN_INACTIVE),
    "bound to another key": ({"cnf": {"jkt": OTHER.jkt}}, Reason.TOKEN_BINDING_CONTRADICTION),
}


@pytest.mark.parametrize(("members", "reason"), ALWAYS.values(), ids=ALWAYS.keys())
def test_a_jwt_is_confirmed_where_the_issuer_is_always_asked(members: Mapping[str, object], reason: Reason) -> None:
    """`use: Always`, rows 10 and 11a."""
    assert _answer(_always(access_token()).resume(_members(**members), NOW)).reason is reason


def test_a_confirmed_jwt_passes() -> None:
    """The claims of both belong to it."""
    confirmed = _always(access_token()).resume(_members(cnf={"jkt": client().jkt}), NOW)
    assert isinstance(signed(confirmed), ClaimStep)


def test_a_jwt_that_nobody_confirms_is_503() -> None:
    """Row 12."""
    assert _answer(_always(access_token()).resume(Unavailable(), NOW)).reason is Reason.INTROSPECTION_UNAVAILABLE


def test_a_bad_jwt_is_not_asked_about() -> None:
    """It is refused before it costs a round trip."""
    assert _answer(Deciding(_rules(always=True)).begin(with_proof(access_token(exp=1)))).reason is Reason.TOKEN_EXPIRED


def test_a_decision_may_wait_for_keys_and_then_for_introspection() -> None:
    """What was waited for first is still known."""
    service = Deciding(_rules(always=True), keys={})
    keys = _wait(service.begin(with_proof(access_token())))
    service.keys["main"] = key_set()
    asked = _wait(keys.resume(KeysLooked(), NOW))
    assert isinstance(asked.need, NeedIntrospection)
    assert isinstance(signed(asked.resume(_members(), NOW)), ClaimStep)


def test_an_audited_policy_lets_through_what_cannot_be_checked() -> None:
    """Row 12 is a row like others; it would have been a 503."""
    answer = _answer(_wait(Deciding(_rules(mode=Mode.AUDIT)).begin(with_bearer("opaque"))).resume(Unavailable(), NOW))
    assert (status_of(answer), answer.outcome, answer.audited) == (0, Outcome.UNAVAILABLE, True)
