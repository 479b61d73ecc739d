"""What is legal and still worth a word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_policy.compile import CompileOptions, Compiler
from stepguard_policy.compile.hints import hints

from tests.support.resources import HOST, compiled, issuer, match, policy, policy_spec, rule, verdict_on

AMOUNT = '"amount" in request.query'
STRICT = {"dpop": "Required", "acrValues": ["phr", "mfa"], "maxAge": "5m", "scopes": ["pay"]}

WEAKER: dict[str, dict[str, Any]] = {
    "no requirement": {},
    "no DPoP": {"require": STRICT | {"dpop": "IfBound"}},
    "an acr value more": {"require": STRICT | {"acrValues": ["phr", "mfa", "pwd"]}},
    "no acr value": {"require": {name: value for name, value in STRICT.items() if name != "acrValues"}},
    "a longer maxAge": {"require": STRICT | {"maxAge": "6m"}},
    "no maxAge": {"require": {name: value for name, value in STRICT.items() if name != "maxAge"}},
    "another scope": {"require": STRICT | {"scopes": ["read"]}},
    "public access": {"access": "Anonymous"},
}


def warnings(*rules: dict[str, Any], **fields: Any) -> list[str]:
    """What is said about a policy with these rules."""
    return [str(one) for one in verdict_on(compiled(policy("a/p", policy_spec(*rules, **fields))), "a/p").warnings]


@pytest.mark.parametrize("fields", WEAKER.values(), ids=WEAKER.keys())
def test_a_condition_before_a_weaker_rule_leaves_the_choice_to_the_client(fields: dict[str, Any]) -> None:
    """The warning stands at the condition and names the weaker rule."""
    said = warnings(rule("big", match("/pay"), when=AMOUNT, require=STRICT), rule("rest", match("/pay"), **fields))
    expected = (
        "spec.rules[0].when: where this is false, the weaker rule rest of a/p applies to the same match (Exact /pay,"
        " any method): the client chooses by what it sends"
    )
    assert said == [expected]


STRONGER: dict[str, dict[str, Any]] = {
    "the same requirement": {"require": STRICT},
    "fewer acr values": {"require": STRICT | {"acrValues": ["phr"]}},
    "a shorter maxAge and a scope more": {"require": STRICT | {"maxAge": "1m", "scopes": ["pay", "read"]}},
    "no access": {"access": "Denied"},
}


@pytest.mark.parametrize("fields", STRONGER.values(), ids=STRONGER.keys())
def test_a_condition_before_a_rule_that_is_no_weaker_is_fine(fields: dict[str, Any]) -> None:
    """Whatever the client sends, it meets at least this much."""
    said = warnings(rule("big", match("/pay"), when=AMOUNT, require=STRICT), rule("rest", match("/pay"), **fields))
    assert said == []


def test_a_condition_alone_on_its_match_is_fine() -> None:
    """The next rule is about other requests as well: that it is weaker is what rules are for."""
    assert warnings(rule("big", match("/pay"), when=AMOUNT, require=STRICT), rule("rest")) == []


METHODS = {
    "the same method": (("POST",), ("POST",), True),
    "any method after a named one": (("POST",), (), True),
    "GET after HEAD": (("HEAD",), ("GET",), True),
    "a named method before any": ((), ("POST",), False),
    "another method": (("POST",), ("PUT",), False),
}


@pytest.mark.parametrize(("methods", "others", "expected"), METHODS.values(), ids=METHODS.keys())
def test_only_a_rule_that_the_request_can_reach_counts(
    methods: tuple[str, ...], others: tuple[str, ...], *, expected: bool
) -> None:
    """By method, as the walk goes."""
    rules = [rule("big", match("/pay", *methods), when=AMOUNT, require=STRICT), rule("rest", match("/pay", *others))]
    assert bool(warnings(*rules)) is expected


def test_a_weaker_rule_of_another_policy_counts_too() -> None:
    """Once, however many hosts both have."""
    hosts = [HOST, "b.example.com"]
    strict = policy("a/strict", policy_spec(rule("big", match("/pay"), when=AMOUNT, require=STRICT), hosts=hosts))
    result = compiled(strict, policy("a/weak", policy_spec(rule("rest", match("/pay")), hosts=hosts)))
    (warning,) = verdict_on(result, "a/strict").warnings
    assert "the weaker rule rest of a/weak" in warning.message
    assert verdict_on(result, "a/weak").warnings == ()


def test_the_defaults_of_a_policy_count() -> None:
    """They are part of what its rules ask for."""
    rules = [rule("big", match("/pay"), when=AMOUNT, require={"dpop": "Required"}), rule("rest", match("/pay"))]
    assert warnings(*rules, defaults={"require": {"dpop": "Required"}}) == []


def test_a_warning_follows_its_rule_to_another_place_in_the_list() -> None:
    """Also where a compiler remembers the host's table, which did not change."""
    rules = [rule("big", match("/pay"), when=AMOUNT, require=STRICT), rule("rest", match("/pay"))]
    compiler = Compiler()
    fields = []
    for order in (rules, rules[::-1]):
        result = compiler.compile([policy("a/p", policy_spec(*order)), issuer()], CompileOptions())
        fields += [warning.field for warning in verdict_on(result, "a/p").warnings]
    assert fields == ["spec.rules[0].when", "spec.rules[1].when"]


HINTS = {
    "a header in upper case": (
        '"X-Admin" in request.headers',
        ["names of headers are in lower case here: write x-admin instead of X-Admin"],
    ),
    "a look-up that may find nothing": (
        'request.query["amount"].exists(a, int(a) > 1)',
        ['a request without "amount" is denied: ask \'"amount" in request.query\' first'],
    ),
    "a header that may be missing": (
        "request.headers['x-a'] == 'b'",
        ['a request without "x-a" is denied: ask \'"x-a" in request.headers\' first'],
    ),
    "a look-up that is asked for first": ("'amount' in request.query && request.query[\"amount\"].size() > 1", []),
    "names of other maps": ('claims["Role"] == "Admin" && params["Id"] == "X"', []),
    "values in upper case": ('"a" in request.headers && request.headers["a"] == "B"', []),
}


@pytest.mark.parametrize(("expression", "expected"), HINTS.values(), ids=HINTS.keys())
def test_what_a_condition_probably_does_not_mean(expression: str, expected: list[str]) -> None:
    """Said beside the verdict, which stays what it is."""
    assert list(hints(expression)) == expected
    assert warnings(rule(when=expression)) == [f"spec.rules[0].when: {hint}" for hint in expected]


@given(st.text() | st.text("request.queryhadsin[]\"' X"))
def test_any_text_gives_hints_in_one_line_each(text: str) -> None:
    """Hints never fail, whatever the expression is."""
    assert all("\n" not in hint or "\n" in text for hint in hints(text))
