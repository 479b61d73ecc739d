"""Two policies want the same: who wins, and what becomes of the other."""

from typing import Any

import pytest
from stepguard_policy.compile import AcceptedReason
from stepguard_policy.resources import PolicyResource

from tests.support.resources import (
    HOST,
    compiled,
    issuer,
    match,
    policy,
    policy_spec,
    rule,
    served_by,
    tables,
    verdict_on,
    walk,
)

AMOUNT = '"amount" in request.query'


def with_rules(name: str, *rules: dict[str, Any], day: float = 1, **fields: Any) -> PolicyResource:
    """A policy with these rules."""
    return policy(name, policy_spec(*rules, **fields), day=day)


SAME = {
    "an equal exact path": (match("/a"), match("/a")),
    "a trailing slash": (match("/a"), match("/a/")),
    "a prefix with a trailing slash": (match("/a", kind="PathPrefix"), match("/a/", kind="PathPrefix")),
    "other names of captures": (match("/u/{id}", kind="Template"), match("/u/{user}", kind="Template")),
    "a named and an unnamed rest": (match("/f/{path=**}", kind="Template"), match("/f/{**}", kind="Template")),
    "one of several methods": (match("/a", "GET", "POST"), match("/a", "POST", "PUT")),
}


@pytest.mark.parametrize(("older", "younger"), SAME.values(), ids=SAME.keys())
def test_the_younger_of_two_policies_with_the_same_match_is_conflicted(older: Any, younger: Any) -> None:
    """Its message names the winner; it serves nothing."""
    result = compiled(with_rules("a/old", rule("x", older), day=1), with_rules("a/young", rule("y", younger), day=2))
    assert verdict_on(result, "a/young").reason is AcceptedReason.CONFLICTED
    assert "rule x of the older policy a/old" in verdict_on(result, "a/young").message
    assert served_by(result) == {HOST: ["a/old"]}


DIFFERENT = {
    "another path": (match("/a"), match("/b")),
    "another kind of path": (match("/a"), match("/a", kind="PathPrefix")),
    "another method": (match("/a", "GET"), match("/a", "POST")),
    "a method against any": (match("/a", "GET"), match("/a")),
    "HEAD against GET": (match("/a", "GET"), match("/a", "HEAD")),
    "a capture against a literal": (match("/u/{id}", kind="Template"), match("/u/me", kind="Template")),
    "a capture against the rest": (match("/u/{id}", kind="Template"), match("/u/{**}", kind="Template")),
    "another case": (match("/a"), match("/A")),
}


@pytest.mark.parametrize(("older", "younger"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_two_policies_share_a_host_where_their_matches_differ(older: Any, younger: Any) -> None:
    """Then the more specific one applies."""
    result = compiled(with_rules("a/old", rule("x", older), day=1), with_rules("a/young", rule("y", younger), day=2))
    assert served_by(result) == {HOST: ["a/old", "a/young"]}


def test_the_same_match_on_other_hosts_is_no_conflict() -> None:
    """Hosts are compared first."""
    result = compiled(policy("a/x", policy_spec(hosts=["x.example"])), policy("a/y", policy_spec(hosts=["y.example"])))
    assert served_by(result) == {"x.example": ["a/x"], "y.example": ["a/y"]}


def test_the_same_match_with_a_condition_is_no_conflict() -> None:
    """The walk reaches those with `when` first, the older policy's before the younger's."""
    result = compiled(
        with_rules("a/plain", rule("plain", match("/a")), day=1),
        with_rules("a/old", rule("old", match("/a"), when=AMOUNT), day=2),
        with_rules("a/young", rule("young", match("/a"), when=AMOUNT), day=3),
    )
    assert walk(tables(result)[HOST]) == ["old /a", "young /a", "plain /a"]


AGES = {
    "the earlier creationTimestamp": (("b/x", 1), ("a/x", 2), "b/x"),
    "the namespace at equal times": (("b/x", 1), ("a/x", 1), "a/x"),
    "the name in one namespace": (("a/y", 1), ("a/x", 1), "a/x"),
}


@pytest.mark.parametrize(("one", "other", "winner"), AGES.values(), ids=AGES.keys())
def test_who_is_older(one: tuple[str, float], other: tuple[str, float], winner: str) -> None:
    """creationTimestamp, then namespace/name."""
    result = compiled(*(policy(name, day=day) for name, day in (one, other)))
    assert served_by(result) == {HOST: [winner]}


def test_a_loser_is_looked_at_again_when_the_winner_is_gone() -> None:
    """Nothing remembers a defeat."""
    young = policy("a/young", day=2)
    assert not verdict_on(compiled(policy("a/old"), young), "a/young").accepted
    assert verdict_on(compiled(young), "a/young").accepted


def test_the_other_hosts_of_a_loser_are_denied() -> None:
    """A policy that cannot serve leaves no host of its own open to a wider pattern."""
    wide = policy("a/wide", policy_spec(hosts=["*.example.com"]), day=1)
    old, young = policy("a/old", day=2), policy("a/young", policy_spec(hosts=[HOST, "alone.example.com"]), day=3)
    result = compiled(wide, old, young)
    assert served_by(result) == {HOST: ["a/old"], "*.example.com": ["a/wide"], "alone.example.com": []}


SETTINGS = {
    "pathMatching": {"pathMatching": {"ignoreCase": True}},
    "origin": {"origin": {"port": 8443}},
    "cors": {"cors": {"allowOrigins": ["https://app.example"]}},
}


@pytest.mark.parametrize(("field", "fields"), SETTINGS.items(), ids=SETTINGS.keys())
def test_policies_of_one_host_have_equal_settings(field: str, fields: dict[str, Any]) -> None:
    """The younger one that differs is refused; the message says in which, and from whom."""
    result = compiled(
        with_rules("a/old", rule("x", match("/a")), day=1),
        with_rules("a/young", rule("y", match("/b")), day=2, **fields),
    )
    assert verdict_on(result, "a/young").reason is AcceptedReason.HOST_SETTINGS_CONFLICT
    assert verdict_on(result, "a/young").message == (
        f"spec.{field}: must be as in the older policy a/old, which has host {HOST} too"
    )


def test_settings_are_equal_however_they_are_written() -> None:
    """Defaults may be spelled out, and origins listed in any order."""
    old = {"cors": {"allowOrigins": ["https://a.example", "https://b.example"]}, "pathMatching": {"ignoreCase": False}}
    young = {"cors": {"allowOrigins": ["https://b.example", "https://a.example"]}}
    result = compiled(
        with_rules("a/old", rule("x", match("/a")), day=1, **old),
        with_rules("a/young", rule("y", match("/b")), day=2, **young),
    )
    assert verdict_on(result, "a/young").accepted


def test_what_does_not_serve_sets_nothing() -> None:
    """A broken policy's settings bind nobody."""
    broken = with_rules("a/broken", rule(when="nosuch == 1"), day=1, origin={"port": 8443})
    assert verdict_on(compiled(broken, policy("a/young", day=2)), "a/young").accepted


WITHIN = {
    "two rules": [rule("x", match("/a")), rule("y", match("/a"))],
    "two rules in other spellings": [rule("x", match("/a")), rule("y", match("/a/"))],
    "one rule": [rule("x", match("/a"), match("/a"))],
    "one rule with a condition": [rule("x", match("/a"), match("/a"), when=AMOUNT)],
    "one rule with other captures": [rule("x", match("/{a}", kind="Template"), match("/{b}", kind="Template"))],
    "one of several methods": [rule("x", match("/a", "GET", "POST")), rule("y", match("/a", "POST"))],
}


@pytest.mark.parametrize("rules", WITHIN.values(), ids=WITHIN.keys())
def test_the_same_match_twice_within_one_policy_is_an_error_of_it(rules: list[dict[str, Any]]) -> None:
    """Nobody wins: the policy serves nothing, and its host is denied."""
    result = compiled(with_rules("a/p", *rules))
    assert verdict_on(result, "a/p").reason is AcceptedReason.DUPLICATE_MATCH
    assert served_by(result) == {HOST: []}


def test_several_conditions_on_one_match_within_one_policy_are_fine() -> None:
    """They are tried in the order of the rules' names, then the rule without one."""
    rules = [rule("z", match("/a")), rule("b", match("/a"), when=AMOUNT), rule("a", match("/a"), when=AMOUNT)]
    assert walk(tables(compiled(with_rules("a/p", *rules)))[HOST]) == ["a /a", "b /a", "z /a"]


def document(resource: str) -> dict[str, Any]:
    """Fields of a policy with an RFC 9728 document."""
    return {"protectedResourceMetadata": {"resource": resource}}


def test_two_documents_at_one_path_of_a_host_are_in_conflict() -> None:
    """The younger policy is Conflicted, as with rules."""
    result = compiled(
        with_rules("a/old", rule("x", match("/a")), day=1, **document(f"https://{HOST}/v1")),
        with_rules("a/young", rule("y", match("/b")), day=2, **document(f"https://{HOST}/v1/")),
    )
    assert verdict_on(result, "a/young").reason is AcceptedReason.CONFLICTED
    assert "spec.protectedResourceMetadata.resource" in verdict_on(result, "a/young").message


def test_two_documents_at_two_paths_of_a_host_are_fine() -> None:
    """Each API of a host has its own."""
    result = compiled(
        with_rules("a/old", rule("x", match("/a")), day=1, **document(f"https://{HOST}/v1")),
        with_rules("a/young", rule("y", match("/b")), day=2, **document(f"https://{HOST}/v2")),
    )
    assert verdict_on(result, "a/young").accepted


def many(name: str, count: int, *, day: float, namespace: str = "bank") -> PolicyResource:
    """A policy with that many matches, on a host of its own."""
    rules = [rule(f"r{index}", match(f"/{index}")) for index in range(count)]
    return policy(f"{namespace}/{name}", policy_spec(*rules, hosts=[f"{name}.example"]), day=day)


def test_beyond_its_quota_the_youngest_policies_of_a_namespace_go_first() -> None:
    """Also one that would fit by itself, if an older one did not; other namespaces have their own."""
    result = compiled(
        many("a", 6, day=1), many("b", 5, day=2), many("c", 1, day=3), many("d", 9, day=4, namespace="shop"),
        max_matches_per_namespace=10,
    )  # fmt: skip
    assert sorted(served_by(result)) == ["a.example", "d.example"]
    assert verdict_on(result, "bank/b").reason is AcceptedReason.QUOTA_EXCEEDED
    assert verdict_on(result, "bank/c").reason is AcceptedReason.QUOTA_EXCEEDED


def test_a_match_counts_once_for_each_host_and_each_method() -> None:
    """So that the quota bounds what is compiled."""
    spec = policy_spec(rule("x", match("/a", "GET", "POST"), match("/b")), hosts=["a.example", "b.example"])
    assert verdict_on(compiled(policy("a/p", spec), max_matches_per_namespace=6), "a/p").accepted
    assert not verdict_on(compiled(policy("a/p", spec), max_matches_per_namespace=5), "a/p").accepted


def test_what_does_not_serve_uses_no_quota() -> None:
    """A broken policy or a loser takes no room from the others."""
    broken = policy("bank/a", policy_spec(rule(when="nosuch == 1"), hosts=["a.example"]), day=1)
    result = compiled(broken, many("b", 2, day=2), max_matches_per_namespace=2)
    assert verdict_on(result, "bank/b").accepted


def test_a_policy_over_its_quota_still_keeps_its_host_from_other_namespaces() -> None:
    """The quota is no way to take a host away."""
    result = compiled(
        many("a", 3, day=1), policy("shop/x", policy_spec(hosts=["a.example"]), day=2), max_matches_per_namespace=2
    )
    assert verdict_on(result, "shop/x").reason is AcceptedReason.HOST_CONFLICT
    assert served_by(result) == {}


def test_of_two_resources_with_one_name_neither_counts() -> None:
    """The Kubernetes API has none; of two documents nobody knows which is meant."""
    result = compiled(policy("a/x", day=1), policy("a/x", day=2), issuer(), issuer())
    for name in ("a/x", "main"):
        assert verdict_on(result, name).message == "metadata.name: is given more than once"
    assert (served_by(result), list(result.snapshot.issuers)) == ({}, [])
