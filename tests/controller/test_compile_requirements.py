"""Merging `defaults` into rules, and who decided what."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_policy.compile import Decider, effective_requirement
from stepguard_policy.compile.requirements import Effective, Part, merge_requirement
from stepguard_policy.resources import DpopRequirement, Require

from tests.support.resources import HOST, compiled, match, policy, policy_spec, rule, tables, verdict_on

RULE, DEFAULTS, BOTH = (Decider.RULE,), (Decider.DEFAULTS,), (Decider.RULE, Decider.DEFAULTS)

MERGED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Part[Any]]]] = {
    "nothing is asked by nobody": ({}, {}, {"dpop_required": Part(False), "max_age": Part(None), "scopes": Part(())}),  # noqa: FBT003
    "a rule may ask for DPoP": ({"dpop": "Required"}, {}, {"dpop_required": Part(True, RULE)}),  # noqa: FBT003
    "a rule cannot take DPoP back": (
        {"dpop": "IfBound"},
        {"dpop": "Required"},
        {"dpop_required": Part(True, DEFAULTS)},  # noqa: FBT003
    ),
    "the smaller maxAge counts, the rule's": ({"maxAge": "1m"}, {"maxAge": "5m"}, {"max_age": Part(60, RULE)}),
    "the smaller maxAge counts, the defaults'": ({"maxAge": "5m"}, {"maxAge": "1m"}, {"max_age": Part(60, DEFAULTS)}),
    "equal maxAges are both's": ({"maxAge": "60s"}, {"maxAge": "1m"}, {"max_age": Part(60, BOTH)}),
    "scopes add up, the rule's first": (
        {"scopes": ["b", "a"]},
        {"scopes": ["c", "a"]},
        {"scopes": Part(("b", "a", "c"), BOTH)},
    ),
    "acrValues keep the rule's order and lose what the defaults lack": (
        {"acrValues": ["mfa", "pwd", "phr"]},
        {"acrValues": ["phr", "mfa"]},
        {"acr_values": Part(("mfa", "phr"), BOTH)},
    ),
    "a rule without acrValues takes those of the defaults": (
        {},
        {"acrValues": ["phr", "mfa"]},
        {"acr_values": Part(("phr", "mfa"), DEFAULTS)},
    ),
}


@pytest.mark.parametrize(("of_rule", "of_defaults", "expected"), MERGED.values(), ids=MERGED.keys())
def test_how_a_rule_and_the_defaults_merge(
    of_rule: dict[str, Any], of_defaults: dict[str, Any], expected: dict[str, Part[Any]]
) -> None:
    """The effective requirement, with where each part came from."""
    spec = policy_spec(rule(require=of_rule), defaults={"require": of_defaults})
    effective = effective_requirement(spec, spec.rules[0])
    assert {name: getattr(effective, name) for name in expected} == expected


def test_no_common_acr_value_is_an_error_of_the_policy() -> None:
    """It could never be met."""
    spec = policy_spec(
        rule("ok", match("/a"), require={"acrValues": ["phr"]}),
        rule("bad", match("/b"), require={"acrValues": ["pwd"]}),
        defaults={"require": {"acrValues": ["phr", "mfa"]}},
    )
    verdict = verdict_on(compiled(policy("a/p", spec)), "a/p")
    assert verdict.message == ("spec.rules[1].require.acrValues: none of these is in spec.defaults.require.acrValues")


def test_defaults_are_for_authenticated_rules_only() -> None:
    """Public and denied rules ask for nothing."""
    spec = policy_spec(
        rule("health", match("/health"), access="Anonymous"), rule(), defaults={"require": {"dpop": "Required"}}
    )
    everything, health = tables(compiled(policy("a/p", spec)))[HOST].policies[0].rules
    assert (everything.require.dpop_required, health.HasField("require")) == (True, False)


VALUES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True).map(tuple)
REQUIRES = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "dpop": st.sampled_from(DpopRequirement),
        "acrValues": VALUES,
        "maxAge": st.sampled_from(["1s", "1m", "1h"]),
        "scopes": VALUES,
    },
).map(Require.model_validate)


@given(of_rule=REQUIRES, of_defaults=REQUIRES)
def test_what_meets_the_merged_requirement_meets_both(of_rule: Require | None, of_defaults: Require | None) -> None:
    """The defaults are a floor: merging never weakens the rule nor the defaults."""
    merged = merge_requirement(of_rule, of_defaults)
    assert merged.unmeetable or all(_implies(merged, part) for part in (of_rule, of_defaults) if part is not None)


def _implies(merged: Effective, require: Require) -> bool:
    return (
        (merged.dpop_required.value or require.dpop is DpopRequirement.IF_BOUND)
        and (not require.acr_values or set(merged.acr_values.value) <= set(require.acr_values))
        and (require.max_age is None or (merged.max_age.value or require.max_age + 1) <= require.max_age)
        and set(merged.scopes.value) >= set(require.scopes or ())
    )
