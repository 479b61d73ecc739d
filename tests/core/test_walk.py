"""The walk over candidates: which condition is evaluated when and with what; bad credentials never fall through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.model import Access, Candidate, ConditionInput, Outcome, Request, Scheme
from stepguard_service.core.query import decode_query
from stepguard_service.core.reasons import Reason

from tests.support.deciding import Deciding, access_token, challenges_of, with_bearer, with_proof
from tests.support.policies import When, candidate, exact, host_rules, policy, request, rule, rule_set, template

PUBLIC = rule("public", access=Access.ANONYMOUS)


def _deciding(*candidates: Candidate) -> Deciding:
    return Deciding(rule_set(host_rules(*candidates)))


def _true(_: ConditionInput) -> bool:
    return True


def _false(_: ConditionInput) -> bool:
    return False


def test_a_false_condition_passes_on() -> None:
    """The next candidate governs."""
    service = _deciding(candidate(rule("first", when=When(_false))), candidate(PUBLIC))
    assert service.answer(request()).rule == "public"


def test_a_true_condition_chooses() -> None:
    """The rule asks for credentials though a weaker one follows."""
    service = _deciding(candidate(rule("first", when=When(_true))), candidate(PUBLIC))
    answer = service.answer(request())
    assert (answer.rule, answer.reason) == ("first", Reason.NO_CREDENTIALS)


def test_a_condition_without_claims_sees_none() -> None:
    """It is evaluated before anybody looks at credentials."""
    when = When(_true)
    _deciding(candidate(rule(when=when))).answer(with_proof(access_token()))
    assert when.seen[0].claims is None


def test_a_condition_over_claims_sees_those_of_the_verified_token() -> None:
    """And the rule it chooses needs no second look at the credentials."""
    of = policy()
    when = When(lambda given_: (given_.claims or {}).get("amr") == ["mfa"], mentions_claims=True)
    service = _deciding(candidate(rule("first", of, when=when)), candidate(rule("second", of)))
    assert service.answer(with_proof(access_token(amr=["mfa"]))).rule == "first"
    assert service.answer(with_proof(access_token(amr=["pwd"]))).rule == "second"


BAD = {
    "none": (request(), Reason.NO_CREDENTIALS),
    "malformed": (request(headers={"authorization": "DPoP @"}), Reason.MALFORMED_AUTHORIZATION),
    "a bad token": (with_bearer("not-a-token"), Reason.TOKEN_MALFORMED),
    "a bound token as bearer": (with_bearer(access_token()), Reason.BOUND_TOKEN_AS_BEARER),
    "a bad proof": (with_proof(access_token(), proof={"token": "other"}), Reason.PROOF_TOKEN_HASH),
}


@pytest.mark.parametrize(("asked", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_credentials_never_fall_through_to_a_weaker_rule(asked: Request, reason: Reason) -> None:
    """They get the challenge of the candidate whose condition needs claims; the condition is not evaluated."""
    when = When(_false, mentions_claims=True)
    answer = _deciding(candidate(rule("first", when=when)), candidate(PUBLIC)).answer(asked)
    assert (answer.rule, answer.reason, when.seen) == ("first", reason, [])


def test_the_challenge_is_that_of_the_candidate_whose_condition_needs_claims() -> None:
    """Realm and offered schemes are its own, not those of a rule further on."""
    first = rule("first", policy("bank/first"), when=When(_true, mentions_claims=True), dpop_required=True)
    answer = _deciding(candidate(first), candidate(rule("second", policy("bank/second")))).answer(request())
    assert {scheme: one.realm for scheme, one in challenges_of(answer).items()} == {Scheme.DPOP: "bank/first"}


def test_credentials_that_pass_one_candidate_are_judged_again_by_the_next() -> None:
    """A bearer token that the first would take is refused where the second asks for DPoP."""
    first = rule("first", when=When(_false, mentions_claims=True))
    answer = _deciding(candidate(first), candidate(rule("second", dpop_required=True))).answer(
        with_bearer(access_token(bound=False))
    )
    assert (answer.rule, answer.reason) == ("second", Reason.DPOP_REQUIRED)


def test_credentials_are_judged_by_the_policy_of_each_candidate() -> None:
    """An audience that the first policy takes is refused by the second."""
    first = rule("first", policy("bank/first"), when=When(_false, mentions_claims=True))
    second = rule("second", policy("bank/second", audiences=frozenset({"https://narrow.example"})))
    answer = _deciding(candidate(first), candidate(second)).answer(with_proof(access_token()))
    assert (answer.rule, answer.reason) == ("second", Reason.TOKEN_AUDIENCE)


def test_one_proof_serves_all_candidates_and_is_claimed_once() -> None:
    """The walk over two policies ends with one claim for the proof."""
    first = rule("first", policy("bank/first"), when=When(_false, mentions_claims=True))
    service = _deciding(candidate(first), candidate(rule("second", policy("bank/second"))))
    answer = service.answer(with_proof(access_token()))
    assert (answer.rule, answer.outcome, service.replay.entries()) == ("second", Outcome.ALLOW, 1)


def test_no_rule_left_denies() -> None:
    """All conditions false is as good as no rule."""
    answer = _deciding(candidate(rule(when=When(_false))), exact(PUBLIC, "/elsewhere")).answer(request())
    assert answer.reason is Reason.NO_RULE


def test_a_failing_condition_denies_and_ends_the_walk() -> None:
    """Never to a weaker rule: what made it fail may be the client's doing."""
    answer = _deciding(candidate(rule("first", when=When(lambda _: None))), candidate(PUBLIC)).answer(request())
    assert (answer.rule, answer.reason) == ("first", Reason.CONDITION_ERROR)


def test_a_condition_sees_the_request_as_rules_do() -> None:
    """Method, path in normal form without query, host without port, decoded query, headers, captures."""
    when = When(_true)
    service = _deciding(template(rule(when=when), "/users/{id}/{rest=**}"))
    service.answer(request("POST", "/users//%37/a/b?x=1&x=%32&y", {"x-a": "1,2"}, authority="API.Example.com.:8443"))
    assert when.seen == [
        ConditionInput(
            method="POST",
            path="/users/7/a/b",
            host="api.example.com",
            query={"x": ["1", "2"], "y": [""]},
            headers={"x-a": "1,2"},
            params={"id": "7", "rest": "a/b"},
            claims=None,
        )
    ]


def test_captures_without_a_name_are_no_params() -> None:
    """`{**}` only matches."""
    when = When(_true)
    _deciding(template(rule(when=when), "/{a}/{**}")).answer(request(target="/x/y/z"))
    assert when.seen[0].params == {"a": "x"}


QUERIES = {
    "nothing": ("", {}),
    "empty parts": ("&&", {}),
    "a name without a value": ("a&b=", {"a": [""], "b": [""]}),
    "several values in order": ("a=2&b=x&a=1", {"a": ["2", "1"], "b": ["x"]}),
    "percent and plus": ("a+b=%20%2B+", {"a b": [" + "]}),
    "an equals sign in the value": ("a=b=c", {"a": ["b=c"]}),
    "a semicolon separates nothing": ("a=1;b=2", {"a": ["1;b=2"]}),
    "what is no escape stays": ("a=%zz", {"a": ["%zz"]}),
    "octets that are no UTF-8": ("a=%ff", {"a": ["\ufffd"]}),
    "escaped separators separate nothing": ("a%3Db=c%26d", {"a=b": ["c&d"]}),
}


@pytest.mark.parametrize(("query", "decoded"), QUERIES.values(), ids=QUERIES.keys())
def test_the_query_is_decoded(query: str, decoded: dict[str, list[str]]) -> None:
    """Name to list of values, as conditions see it."""
    assert decode_query(query) == decoded


@given(st.text() | st.text("ab=&%+2zé"))
def test_any_query_can_be_decoded(query: str) -> None:
    """Any text gives names with at least one value each, and as many values as it has parts."""
    decoded = decode_query(query)
    assert sum(len(values) for values in decoded.values()) == sum(1 for part in query.split("&") if part)
