"""The walk over candidates: one total order, fixed when policies are compiled."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.resources import HOST, compiled, match, policy, policy_spec, rule, tables, verdict_on, walk

ORDERS: dict[str, list[dict[str, Any]]] = {
    "an exact path before a template before a prefix": [
        match("/a"),
        match("/{x}", kind="Template"),
        match("/a", kind="PathPrefix"),
    ],
    "a literal segment before a capture before the rest": [
        match("/a/b", kind="Template"),
        match("/a/{x}", kind="Template"),
        match("/a/{**}", kind="Template"),
    ],
    "templates segment by segment from the left": [
        match("/a/{x}/{y}", kind="Template"),
        match("/a/{x}/{**}", kind="Template"),
        match("/{x}/b/c", kind="Template"),
        match("/{**}", kind="Template"),
    ],
    "the longer prefix before the shorter": [
        match("/a/b", kind="PathPrefix"),
        match("/a", kind="PathPrefix"),
        match("/", kind="PathPrefix"),
    ],
    "a named method before any, and GET after HEAD": [
        match("/a", "HEAD"),
        match("/a", "POST"),
        match("/a", "GET"),
        match("/a"),
    ],
    "the path before the method": [match("/a"), match("/", "GET", kind="PathPrefix")],
}


@pytest.mark.parametrize("matches", ORDERS.values(), ids=ORDERS.keys())
def test_the_order_of_matches(matches: list[dict[str, Any]]) -> None:
    """Whatever the rules are called, and however they stand in the list."""
    rules = [rule(f"r{len(matches) - index}", one) for index, one in enumerate(matches)]
    expected = [f"r{len(matches) - index}" for index in range(len(matches))]
    for given_order in (rules, rules[::-1]):
        table = tables(compiled(policy("a/p", policy_spec(*given_order))))[HOST]
        assert [line.split()[0] for line in walk(table)] == expected


def test_conditions_come_first_then_the_older_policy_then_the_name_of_the_rule() -> None:
    """Namespace and name decide between policies of one age."""
    one = policy("a/b", policy_spec(rule("z", match("/"), when="true"), rule("y", match("/"), when="true")), day=2)
    two = policy("a/a", policy_spec(rule("x", match("/"), when="true"), rule("w", match("/"))), day=2)
    three = policy("a/c", policy_spec(rule("v", match("/"), when="true")), day=1)
    assert walk(tables(compiled(one, two, three))[HOST]) == ["v /", "x /", "y /", "z /", "w /"]


NORMAL = {
    "an Exact path loses one trailing slash": (match("/a/"), "/a"),
    "a Template loses one trailing slash": (match("/a/{x}/", kind="Template"), "/a/{x}"),
    "a PathPrefix loses one trailing slash": (match("/a/", kind="PathPrefix"), "/a"),
    "the root stays": (match("/", kind="PathPrefix"), "/"),
    "names of captures stay": (match("/a/{Id}/{rest=**}", kind="Template"), "/a/{Id}/{rest=**}"),
}


@pytest.mark.parametrize(("given_match", "path"), NORMAL.values(), ids=NORMAL.keys())
def test_how_a_path_arrives_at_the_service(given_match: dict[str, Any], path: str) -> None:
    """In normal form, without what does not count."""
    assert walk(tables(compiled(policy("a/p", policy_spec(rule("x", given_match)))))[HOST]) == [f"x {path}"]


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "dot segments": (match("/a/../b"), {}, "the path must be in normal form: write /b"),
    "repeated slashes": (match("/a//b", kind="PathPrefix"), {}, "the path must be in normal form: write /a/b"),
    "an escape that needs none": (match("/%61"), {}, "the path must be in normal form: write /a"),
    "lower-case hex": (match("/%c3%a9"), {}, "the path must be in normal form: write /%C3%A9"),
    "upper case where case is folded": (
        match("/Users"),
        {"pathMatching": {"ignoreCase": True}},
        "the path must be in normal form: write /users",
    ),
    "a parameter": (
        match("/a;v=1"),
        {},
        "no request ever has this path: the path has a parameter (;) in a segment",
    ),
    "a parameter that is dropped": (
        match("/a;v=1"),
        {"pathMatching": {"parameters": "Drop"}},
        "the path must be in normal form: write /a",
    ),
    "an encoded slash": (match("/a%2Fb"), {}, "no request ever has this path: the path has an encoded slash"),
    "an invalid escape": (match("/%zz"), {}, "no request ever has this path: the path has an invalid percent-escape"),
    "a template that is not normal between its captures": (
        match("/{x}/%61", kind="Template"),
        {},
        "the path must be in normal form between its captures",
    ),
    "two captures of one name": (
        match("/{x}/{x}", kind="Template"),
        {},
        "a template must not name two captures alike",
    ),
}


@pytest.mark.parametrize(("given_match", "fields", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_paths_that_are_not_in_normal_form_are_refused(
    given_match: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    """No request would ever meet the rule; the message says what to write."""
    verdict = verdict_on(compiled(policy("a/p", policy_spec(rule("x", given_match), **fields))), "a/p")
    assert verdict.message == f"spec.rules[0].matches[0].path.value: {message}"


def test_an_encoded_slash_is_an_ordinary_character_where_it_is_kept() -> None:
    """As it is in requests then."""
    spec = policy_spec(rule("x", match("/a%2Fb")), pathMatching={"encodedSlashes": "Keep"})
    assert verdict_on(compiled(policy("a/p", spec)), "a/p").accepted


SEGMENTS = st.sampled_from(["a", "b", "{x}"])
TEMPLATES = st.tuples(st.lists(SEGMENTS, min_size=1, max_size=3), st.booleans()).map(
    lambda parts: "/" + "/".join(f"{{x{i}}}" if s == "{x}" else s for i, s in enumerate(parts[0])) + "/{**}" * parts[1]
)
PLAIN = st.lists(st.sampled_from(["a", "b"]), max_size=3).map(lambda segments: "/" + "/".join(segments))
MATCHES = st.one_of(
    TEMPLATES.map(lambda path: match(path, kind="Template")),
    PLAIN.map(match),
    PLAIN.map(lambda path: match(path, kind="PathPrefix")),
)
METHODS = st.sampled_from([(), ("GET",), ("HEAD",), ("POST",)])


def _matches(one: dict[str, Any], path: str, method: str) -> bool:
    """The reference, written from docs/resources.md without any index."""
    if one.get("methods") and method not in one["methods"] and not (method == "HEAD" and "GET" in one["methods"]):
        return False
    kind, value = one["path"]["type"], one["path"]["value"]
    wanted, segments = value.rstrip("/").split("/")[1:], path.rstrip("/").split("/")[1:]
    if kind == "Exact":
        return bool(wanted == segments)
    if kind == "PathPrefix":
        return bool(segments[: len(wanted)] == wanted)
    if wanted[-1] == "{**}":
        wanted, enough = wanted[:-1], len(segments) >= len(wanted)
        segments = segments[: len(wanted)] if enough else []
    return len(wanted) == len(segments) and all(
        w.startswith("{") or w == s for w, s in zip(wanted, segments, strict=True)
    )


def _specificity(one: dict[str, Any], method: str) -> tuple[Any, ...]:
    """Sorts the more specific of two matches of one request first."""
    kind, value = one["path"]["type"], one["path"]["value"]
    kinds = [2 if s == "{**}" else 1 if s.startswith("{") else 0 for s in value.split("/")[1:]]
    path = {"Exact": (0,), "Template": (1, *kinds), "PathPrefix": (2, -len(value.rstrip("/")))}[kind]
    named = one.get("methods")
    return (path, 2 if not named else 0 if method in named else 1)


@given(
    matches=st.lists(
        st.tuples(MATCHES, METHODS).map(lambda parts: parts[0] | ({"methods": list(parts[1])} if parts[1] else {})),
        min_size=1,
        max_size=8,
    ),
    path=PLAIN,
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
)
def test_the_first_candidate_that_matches_is_the_most_specific_match(
    matches: list[dict[str, Any]], path: str, method: str
) -> None:
    """For every request, as docs/resources.md ranks the matches that it meets."""
    unique = {(one["path"]["type"], one["path"]["value"], str(one.get("methods"))): one for one in matches}
    rules = {f"r{index}": one for index, one in enumerate(unique.values())}
    result = compiled(policy("a/p", policy_spec(*(rule(name, one) for name, one in rules.items()))))
    assume(verdict_on(result, "a/p").accepted)
    order = [line.split()[0] for line in walk(tables(result)[HOST])]
    meeting = [name for name in order if _matches(rules[name], path, method)]
    ranks = [_specificity(rules[name], method) for name in meeting]
    assert ranks == sorted(ranks)
