"""A decision that stops at the signature, so that a batch verifies its signatures in a row, is the same decision."""

from collections.abc import Callable

import pytest
from stepguard_service.authorize import ClaimStep, SignatureStep
from stepguard_service.core.model import Request
from stepguard_service.core.reasons import Reason

from tests.support.deciding import NOW, Deciding, access_token, client, deciding, signed, with_bearer, with_proof
from tests.support.policies import candidate, host_rules, rule, rule_set
from tests.support.tokens import ClientKey

RULE = {"dpop_required": True, "scopes": ("write",)}
THIEF = ClientKey()


def proven(*, scope: str = "write", jkt: str = "", **faults: object) -> Request:
    """A request with a bound token and a proof that has these faults."""
    return with_proof(access_token(scope=scope, cnf={"jkt": jkt or client().jkt}), proof=faults)


REQUESTS: dict[str, tuple[Callable[[], Request], bool]] = {
    "a good proof": (proven, True),
    "a proof of another method": (lambda: proven(claims={"htm": "DELETE"}), True),
    "a proof that is too old": (lambda: proven(claims={"iat": NOW - 3600}), True),
    "a proof that somebody else signed": (lambda: proven(signed_by=THIEF.key), True),
    "a proof of another key than the token's": (lambda: proven(jkt=THIEF.jkt), True),
    "a token without the scope": (lambda: proven(scope="read"), True),
    "a proof without a claim, which costs no signature": (lambda: proven(claims={"htm": 7}), False),
    "an expired token, which costs no signature": (lambda: with_proof(access_token(exp=1)), False),
    "a bearer token, which has none": (lambda: with_bearer(access_token(bound=False)), False),
}


@pytest.mark.parametrize(("make", "stops"), REQUESTS.values(), ids=REQUESTS)
def test_stopping_at_the_signature_changes_no_answer(make: Callable[[], Request], *, stops: bool) -> None:
    """And it stops only where everything before the signature passed."""
    asked = make()
    stopping = Deciding(deciding(**RULE).rules)
    step = stopping.authorizer.begin(asked, NOW)
    assert isinstance(step, SignatureStep) is stops
    at_once = Deciding(stopping.rules, in_batches=False).answer(asked)
    assert stopping.finish(signed(step)) == at_once


def test_a_signature_is_verified_before_a_condition_over_claims_sees_them() -> None:
    """There the decision does not stop: what follows depends on the claims."""

    class Seen:
        mentions_claims = True

        def evaluate(self, given: object) -> bool | None:
            del given
            raise AssertionError("it must not be asked")

    conditional = rule(when=Seen(), dpop_required=True)
    service = Deciding(rule_set(host_rules(candidate(conditional))))
    step = service.authorizer.begin(proven(signed_by=THIEF.key), NOW)
    assert not isinstance(step, SignatureStep | ClaimStep)
    assert service.finish(step).reason is Reason.PROOF_SIGNATURE


def test_who_resumes_without_verifying_gets_a_verified_answer_all_the_same() -> None:
    """The evidence verifies what nobody has: no caller can skip the signature."""
    service = deciding(dpop_required=True)
    step = service.authorizer.begin(proven(signed_by=THIEF.key), NOW)
    assert isinstance(step, SignatureStep)
    assert service.finish(step.resume()).reason is Reason.PROOF_SIGNATURE
    assert client().jkt != THIEF.jkt
