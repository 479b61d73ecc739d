"""Which rule a request meets: hosts, paths, methods, and that look-ups do not grow with the number of rules."""

import time
from collections.abc import Generator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_policy.paths import without_trailing_slash
from stepguard_service.core.matching import METHOD_OVERRIDES, HostTable, RuleSetBuilder, index, index_in_steps
from stepguard_service.core.model import Access, Candidate, Mode, PathType
from stepguard_service.core.path_index import governs

from tests.support.policies import When, candidate, exact, host_rules, policy, rule, rule_set, template


def _names(candidates: Iterable[Candidate], path: str, method: str = "GET") -> list[str]:
    return [entry.rule.name for entry, _ in host_rules(*candidates).candidates(path, method)]


HOSTS = {
    "an exact name before the wildcard": ("api.example.com", "api.example.com"),
    "a longer wildcard before a shorter": ("x.api.example.com", "*.api.example.com"),
    "a wildcard covers several labels": ("a.b.example.com", "*.example.com"),
    "a wildcard does not cover its bare suffix": ("example.com", "*"),
    "what nothing else covers falls to the asterisk": ("other.example", "*"),
    "an address is a host": ("[2001:db8::1]", "[2001:db8::1]"),
}


@pytest.mark.parametrize(("host", "pattern"), HOSTS.values(), ids=HOSTS.keys())
def test_the_most_specific_host_pattern_counts(host: str, pattern: str) -> None:
    """Only its policies take part."""
    patterns = ("api.example.com", "*.api.example.com", "*.example.com", "*", "[2001:db8::1]")
    found = rule_set(*(host_rules(pattern=one) for one in patterns)).find(host)
    assert found is not None
    assert found.pattern == pattern


def test_a_host_of_no_pattern_has_no_rules() -> None:
    """Nothing covers it."""
    assert rule_set(host_rules(pattern="*.example.com"), host_rules(pattern="a.example")).find("b.example") is None
    assert rule_set().find("b.example") is None


@pytest.mark.parametrize("pattern", ["*", "*.example.com", "api.example.com", "*example.com"])
def test_a_pattern_stands_once_in_a_set(pattern: str) -> None:
    """Two tables for one pattern, or a pattern that is none, are a fault of whoever builds the set."""
    builder = RuleSetBuilder()
    if pattern != "*example.com":
        builder.add(host_rules(pattern=pattern))
    with pytest.raises(ValueError, match="host tables"):
        builder.add(host_rules(pattern=pattern))


def test_all_hosts_of_a_set_are_listed() -> None:
    """Exact names first, the asterisk last."""
    hosts = rule_set(*(host_rules(pattern=one) for one in ("*", "*.b", "a"))).hosts
    assert [one.pattern for one in hosts] == ["a", "*.b", "*"]
    assert [one.pattern for one in rule_set(host_rules(pattern="a")).hosts] == ["a"]


def test_paths_are_walked_from_the_most_specific() -> None:
    """Exact, then templates from the left (literal, {name}, {**}), then prefixes, longest first."""
    candidates = (
        candidate(rule("prefix /"), "/"),
        candidate(rule("prefix /a"), "/a"),
        template(rule("{**}"), "/{**}"),
        template(rule("{x}/b"), "/{x}/b"),
        template(rule("a/{**}"), "/a/{rest=**}"),
        template(rule("a/{y}"), "/a/{y}"),
        candidate(rule("prefix /a/b"), "/a/b"),
        exact(rule("exact"), "/a/b"),
    )
    assert _names(candidates, "/a/b") == [
        "exact", "a/{y}", "a/{**}", "{x}/b", "{**}", "prefix /a/b", "prefix /a", "prefix /",
    ]  # fmt: skip


def test_methods_are_walked_from_the_most_specific() -> None:
    """A match that names HEAD, then a GET match, then any method."""
    candidates = (
        exact(rule("any"), "/a"),
        exact(rule("GET"), "/a", "GET"),
        exact(rule("HEAD"), "/a", "HEAD"),
        exact(rule("POST"), "/a", "POST"),
    )
    assert _names(candidates, "/a", "HEAD") == ["HEAD", "GET", "any"]
    assert _names(candidates, "/a", "GET") == ["GET", "any"]
    assert _names(candidates, "/a", "POST") == ["POST", "any"]


def test_the_path_counts_before_the_method() -> None:
    """An exact path for any method comes before a prefix for this one."""
    candidates = (candidate(rule("prefix"), "/a", "GET"), exact(rule("exact"), "/a"))
    assert _names(candidates, "/a") == ["exact", "prefix"]


def test_one_match_keeps_the_order_it_was_compiled_in() -> None:
    """Which is: with `when` first, then age."""
    candidates = tuple(exact(rule(name), "/a", "GET") for name in ("c", "a", "b"))
    assert _names(candidates, "/a") == ["c", "a", "b"]


PREFIXES = {
    "itself": ("/a", "/a", True),
    "what is below it": ("/a", "/a/b/c", True),
    "not what only begins alike": ("/a", "/ab", False),
    "with a trailing slash": ("/a", "/a/", True),
    "written with a trailing slash": ("/a/", "/a", True),
    "the root covers everything": ("/", "/a/b", True),
    "the root covers itself": ("/", "/", True),
    "nothing above it": ("/a/b", "/a", False),
}


@pytest.mark.parametrize(("prefix", "path", "matches"), PREFIXES.values(), ids=PREFIXES.keys())
def test_a_prefix_covers_whole_segments(prefix: str, path: str, *, matches: bool) -> None:
    """A prefix never ends inside a segment."""
    assert _names([candidate(rule("it"), prefix)], path) == ["it"] * matches


TEMPLATES = {
    "one segment": ("/users/{id}", "/users/7", ("7",)),
    "several": ("/users/{id}/cards/{card}", "/users/7/cards/x%20y", ("7", "x%20y")),
    "the rest": ("/files/{path=**}", "/files/a/b", ("a/b",)),
    "the rest without a name": ("/files/{**}", "/files/a", ("a",)),
    "a trailing slash does not count": ("/users/{id}", "/users/7/", ("7",)),
    "no empty segment": ("/users/{id}", "/users/", None),
    "no empty rest": ("/files/{**}", "/files/", None),
    "not the root as a segment": ("/{id}", "/", None),
    "no segment more": ("/users/{id}", "/users/7/x", None),
    "no segment less": ("/users/{id}/x", "/users/7", None),
    "braces inside a segment are literal": ("/a{b}", "/ac", None),
}


@pytest.mark.parametrize(("pattern", "path", "captured"), TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_template_captures_segments(pattern: str, path: str, captured: tuple[str, ...] | None) -> None:
    """Exactly as many segments as it has, the last capture maybe more."""
    found = [values for _, values in host_rules(template(rule(), pattern)).candidates(path, "GET")]
    assert found == ([] if captured is None else [captured])


def test_names_of_captures_belong_to_each_template() -> None:
    """Two templates for the same paths keep their own names."""
    rules = host_rules(template(rule("a"), "/x/{a}", "GET"), template(rule("b"), "/x/{b}"))
    assert [entry.captures for entry, _ in rules.candidates("/x/1", "GET")] == [("a",), ("b",)]


def test_a_very_long_path_costs_no_more_than_the_longest_prefix() -> None:
    """Eight thousand segments are looked up at once."""
    rules = host_rules(candidate(rule("it"), "/a/b"), template(rule(), "/{x}/{y}"))
    path = "/a/b" + "/c" * 4000
    started = time.perf_counter()
    assert [entry.rule.name for entry, _ in rules.candidates(path, "GET")] == ["it"]
    assert time.perf_counter() - started < 0.05


_SEGMENT = st.sampled_from(["a", "b", "{x}", "c"])
_TEMPLATE = st.tuples(st.lists(_SEGMENT, max_size=3), st.sampled_from(["", "/{**}"])).map(
    lambda parts: "".join(f"/{one}" for one in parts[0]) + parts[1] or "/"
)
_PLAIN = st.lists(st.sampled_from("abc"), max_size=4).map(lambda parts: "/" + "/".join(parts))
_METHOD = st.sampled_from(["", "GET", "HEAD", "POST"])
_MATCHES = st.lists(
    st.one_of(
        st.tuples(st.just(PathType.EXACT), _PLAIN, _METHOD),
        st.tuples(st.just(PathType.PREFIX), _PLAIN, _METHOD),
        st.tuples(st.just(PathType.TEMPLATE), _TEMPLATE, _METHOD),
    ),
    max_size=12,
)


def _segments(path: str) -> list[str]:
    return without_trailing_slash(path).split("/")[1:]


def _matches(kind: PathType, pattern: str, path: str) -> bool:
    wanted, given_ = _segments(pattern), _segments(path)
    if kind is PathType.EXACT:
        return wanted == given_
    if kind is PathType.PREFIX:
        return wanted == [""] or given_[: len(wanted)] == wanted
    if wanted[-1] == "{**}":
        if len(given_) < len(wanted) or given_[len(wanted) - 1] == "":
            return False
        wanted, given_ = wanted[:-1], given_[: len(wanted) - 1]
    return len(wanted) == len(given_) and all(
        one == other or (one == "{x}" and other != "") for one, other in zip(wanted, given_, strict=True)
    )


def _order(kind: PathType, pattern: str, method: str) -> tuple[object, ...]:
    rank = (PathType.EXACT, PathType.TEMPLATE, PathType.PREFIX).index(kind)
    segments = _segments(pattern)
    kinds = [{"{x}": 1, "{**}": 2}.get(one, 0) for one in segments] if kind is PathType.TEMPLATE else []
    length = -len(pattern) if kind is PathType.PREFIX and pattern != "/" else 0
    return rank, kinds, length, {"": 2, "GET": 1}.get(method, 0)


@given(_MATCHES, _PLAIN, st.sampled_from(["GET", "HEAD", "POST"]))
def test_the_index_finds_what_a_scan_finds_in_the_same_order(
    matches: list[tuple[PathType, str, str]], path: str, method: str
) -> None:
    """The index over any candidates gives what looking at each of them gives."""
    candidates = [Candidate(kind, pattern, named, rule(str(at))) for at, (kind, pattern, named) in enumerate(matches)]
    scanned = sorted(
        (one for one in candidates if _matches(one.path_type, one.path, path) and governs(one.method, method)),
        key=lambda one: _order(one.path_type, one.path, one.method),
    )
    assert _names(candidates, path, method) == [one.rule.name for one in scanned]


def test_method_overrides_are_stripped_where_the_method_decides() -> None:
    """Else a client could get a POST done under the rule for GET, by a condition about GET, or in a preflight."""
    by_method = host_rules(candidate(rule(), "/", "GET"), identity_headers=frozenset({"x-sub"}))
    assert by_method.stripped == ("x-http-method", "x-http-method-override", "x-method-override", "x-sub")
    assert host_rules(candidate(rule()), identity_headers=frozenset({"x-sub"})).stripped == ("x-sub",)
    conditional = host_rules(candidate(rule(when=When(lambda given: given.method == "GET"))))
    preflights = host_rules(candidate(rule()), allow_origins=frozenset({"https://app.example"}))
    assert set(conditional.stripped) == set(preflights.stripped) == METHOD_OVERRIDES


def test_a_host_is_audited_where_all_its_policies_are() -> None:
    """One that enforces, or none at all, makes it enforce."""
    audit, enforce = policy("bank/a", mode=Mode.AUDIT), policy("bank/b")
    assert host_rules(candidate(rule(of=audit))).mode is Mode.AUDIT
    assert host_rules(candidate(rule(of=audit)), candidate(rule(of=enforce))).mode is Mode.ENFORCE
    assert host_rules().mode is Mode.ENFORCE


def test_the_oldest_policy_speaks_for_the_host() -> None:
    """Where no rule applies."""
    assert host_rules(policies=(policy("bank/old"), policy("bank/new"))).owner == "bank/old"
    assert host_rules().owner == ""


def test_rules_that_say_the_same_share_their_terms() -> None:
    """What challenges say is made once."""
    one = policy()
    rules = host_rules(candidate(rule("a", one), "/a"), candidate(rule("b", one), "/b"))
    first, second = (entry.terms for entry in rules.entries)
    assert first is second


def _large_table(rules: int, host: str) -> HostTable:
    of = policy(host)
    candidates = tuple(
        Candidate(PathType.EXACT, f"/service/{at}/resource", "GET" if at % 2 else "", rule(str(at), of, access=access))
        for at, access in zip(range(rules), [Access.AUTHENTICATED] * rules, strict=True)
    )
    return HostTable(pattern=host, policies=(of,), candidates=candidates)


def test_indexing_goes_in_small_steps() -> None:
    """A large table gives way to others every few hundred candidates, and comes out as if it did not."""
    table, finished = _large_table(1000, "api.example.com"), []

    def keep() -> Generator[None, None, None]:
        finished.append((yield from index_in_steps(table)))

    assert len(list(keep())) >= 3
    assert [entry.path for entry in finished[0].entries] == [entry.path for entry in index(table).entries]


def _lookup_seconds(tables: int, rules: int) -> float:
    found = rule_set(*(index(_large_table(rules, f"h{at}.example.com")) for at in range(tables)))
    last = f"h{tables - 1}.example.com", f"/service/{rules - 1}/resource"
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(2000):
            host = found.find(last[0])
            assert host is not None
            assert next(host.candidates(last[1], "GET"))
        best = min(best, time.perf_counter() - started)
    return best


@pytest.mark.slow
def test_a_lookup_costs_the_same_for_ten_rules_and_for_a_hundred_thousand() -> None:
    """10 000 hosts with 10 rules each against one host with 10 rules; measured at 1.0 to 1.4 times."""
    assert _lookup_seconds(10_000, 10) < 10 * _lookup_seconds(1, 10)
