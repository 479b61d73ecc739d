"""The table of refusals is complete, and each answer made of it keeps to the rules that hold for all."""

import ast
import inspect
import json
import re

import pytest
from stepguard_service.core import reasons
from stepguard_service.core.challenge import parse_challenge, terms_of
from stepguard_service.core.model import Outcome, Refuse, Scheme
from stepguard_service.core.reasons import Reason
from stepguard_service.core.refusal import refusal
from stepguard_service.core.rulings import ALLOWED, RULINGS, Placement

from tests.support.policies import rule

TERMS = terms_of(rule(acr_values=("urn:phr",), max_age=300, scopes=("write",)))
REFUSALS = sorted(RULINGS)


def test_every_reason_is_a_refusal_or_allows() -> None:
    """And none is both."""
    assert set(RULINGS) | ALLOWED == set(Reason)
    assert not set(RULINGS) & ALLOWED


def _headers(answer: Refuse, name: str) -> list[str]:
    return [value for header, value in answer.headers if header == name]


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_refusal_is_well_formed(reason: Reason) -> None:
    """The body says what the table says; a 401 always has a challenge, a 503 never; nothing is cached."""
    ruling = RULINGS[reason]
    answer = refusal(reason, TERMS, scheme=Scheme.BEARER)
    assert answer.status == ruling.status in {400, 401, 403, 503}
    assert _headers(answer, "cache-control") == ["no-store"]
    challenges = _headers(answer, "www-authenticate")
    assert len(challenges) == (2 if ruling.challenges else 0)
    assert ruling.challenges or answer.status != 401
    assert not ruling.challenges or answer.status != 503
    if reason is not Reason.NO_CREDENTIALS:
        assert json.loads(answer.body) == {"error": ruling.error, "error_description": ruling.description}
        assert _headers(answer, "content-type") == ["application/json"]


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_description_is_static_text_of_allowed_characters(reason: Reason) -> None:
    """RFC 6750 §3: no quote, no backslash, nothing beyond ASCII."""
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]*", RULINGS[reason].description + RULINGS[reason].error)


@pytest.mark.parametrize("reason", REFUSALS)
def test_the_reason_names_the_row_that_the_table_has(reason: Reason) -> None:
    """The vocabulary's own sentences and the table agree."""
    source = re.findall(r"Rows? ([0-9aF, ]+)", _sentence(reason))[0]
    assert RULINGS[reason].row in [one.strip() for one in source.split(",")]


def _sentence(reason: Reason) -> str:
    body = ast.parse(inspect.getsource(reasons.Reason)).body[0]
    assert isinstance(body, ast.ClassDef)
    for statement, comment in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == reason.name:
            assert isinstance(comment, ast.Expr)
            return str(ast.literal_eval(comment.value))
    raise AssertionError(reason)


def test_no_credentials_has_no_body_and_no_error() -> None:
    """Row 6: RFC 6750 §3.1 wants no error where nothing was presented."""
    answer = refusal(Reason.NO_CREDENTIALS, TERMS)
    assert (answer.body, _headers(answer, "content-type")) == ("", [])
    challenges = [parse_challenge(line) for line in _headers(answer, "www-authenticate")]
    assert [(one.scheme, one.realm, one.error, one.algs) for one in challenges if one] == [
        (Scheme.DPOP, "bank/payments", "", ("ES256", "EdDSA")),
        (Scheme.BEARER, "bank/payments", "", ()),
    ]


@pytest.mark.parametrize("reason", REFUSALS)
def test_grpc_clients_get_no_body_and_never_a_400_for_credentials(reason: Reason) -> None:
    """Envoy makes INTERNAL of a 400, and UNAUTHENTICATED of a 401."""
    answer = refusal(reason, TERMS, scheme=Scheme.DPOP, grpc=True)
    ruling = RULINGS[reason]
    assert (answer.body, _headers(answer, "content-type")) == ("", [])
    assert answer.status == (401 if ruling.challenges and ruling.status == 400 else ruling.status)


STEP_UP = {
    "row 24 with all scopes": (Reason.INSUFFICIENT_ACR, False, (("urn:phr",), 300, ())),
    "row 24 with scope lacking too": (Reason.STALE_AUTHENTICATION, True, (("urn:phr",), 300, ("write",))),
    "row 25": (Reason.INSUFFICIENT_SCOPE, True, ((), None, ("write",))),
    "any other row": (Reason.TOKEN_EXPIRED, False, ((), None, ())),
}


@pytest.mark.parametrize(("reason", "lacking", "expected"), STEP_UP.values(), ids=STEP_UP.keys())
def test_step_up_challenges_carry_the_complete_requirement(reason: Reason, expected: object, *, lacking: bool) -> None:
    """In the challenge that tells what is wrong, and in no other."""
    answer = refusal(reason, TERMS, scheme=Scheme.BEARER, scope_lacking=lacking)
    dpop, bearer = (parse_challenge(line) for line in _headers(answer, "www-authenticate"))
    assert dpop is not None
    assert bearer is not None
    assert (bearer.acr_values, bearer.max_age, bearer.scope) == expected
    assert (dpop.acr_values, dpop.max_age, dpop.scope, dpop.error) == ((), None, (), "")


def test_outcomes_are_told_apart() -> None:
    """Challenge where the client is told how to authenticate, unavailable for 503, else deny."""
    outcomes = {RULINGS[reason].outcome for reason in REFUSALS}
    assert outcomes == {Outcome.CHALLENGE, Outcome.DENY, Outcome.UNAVAILABLE}
    assert RULINGS[Reason.INSUFFICIENT_SCOPE].outcome is Outcome.CHALLENGE
    assert RULINGS[Reason.KEYS_UNAVAILABLE].outcome is Outcome.UNAVAILABLE
    assert all(RULINGS[reason].placement is Placement.NONE for reason in REFUSALS if RULINGS[reason].status == 503)


def test_refusals_that_are_equal_are_one_object() -> None:
    """So that who encodes them may remember what it made of them."""
    assert refusal(Reason.NO_CREDENTIALS, TERMS) is refusal(Reason.NO_CREDENTIALS, TERMS)
