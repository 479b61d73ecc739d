"""Whose host is it: coverage, age, acceptance, grants."""

from typing import Any

import pytest
from stepguard_policy.compile import AcceptedReason, Allowance, HostGrant
from stepguard_policy.resources import PolicyResource

from tests.support.resources import HOST, accepted, compiled, policy, policy_spec, rule, served_by, tables, verdict_on


def named(name: str, *hosts: str, day: float = 1, **fields: Any) -> PolicyResource:
    """A policy for these hosts."""
    return policy(name, policy_spec(hosts=hosts, **fields), day=day)


OVERLAPS = {
    "the same name": ("pay.example.com", "pay.example.com"),
    "the same name in another spelling": ("pay.example.com", "PAY.example.com"),
    "a name inside a wildcard": ("*.example.com", "pay.example.com"),
    "a name deep inside a wildcard": ("*.example.com", "a.b.c.example.com"),
    "a wildcard around a name": ("pay.example.com", "*.example.com"),
    "a wildcard inside a wildcard": ("*.example.com", "*.pay.example.com"),
    "a wildcard around a wildcard": ("*.pay.example.com", "*.example.com"),
    "an address": ("127.0.0.1", "127.0.0.1"),
}


@pytest.mark.parametrize(("owned", "wanted"), OVERLAPS.values(), ids=OVERLAPS.keys())
def test_a_host_that_overlaps_one_of_another_namespace_is_refused(owned: str, wanted: str) -> None:
    """The older policy's namespace owns the pattern and whatever lies inside and around it."""
    result = compiled(named("bank/old", owned, day=1), named("shop/young", wanted, day=2))
    assert verdict_on(result, "bank/old").accepted
    assert verdict_on(result, "shop/young").reason is AcceptedReason.HOST_CONFLICT
    assert "bank/old" in verdict_on(result, "shop/young").message


DISJOINT = {
    "another name": ("pay.example.com", "shop.example.com"),
    "a wildcard's bare suffix": ("*.example.com", "example.com"),
    "a name that only ends alike": ("*.example.com", "badexample.com"),
    "another wildcard": ("*.pay.example.com", "*.shop.example.com"),
    "another address": ("[::1]", "127.0.0.1"),
}


@pytest.mark.parametrize(("owned", "wanted"), DISJOINT.values(), ids=DISJOINT.keys())
def test_hosts_that_do_not_overlap_go_to_several_namespaces(owned: str, wanted: str) -> None:
    """Coverage is on whole labels."""
    result = compiled(named("bank/old", owned, day=1), named("shop/young", wanted, day=2))
    assert verdict_on(result, "shop/young").accepted


def test_one_namespace_may_use_overlapping_hosts() -> None:
    """Ownership is between namespaces."""
    result = compiled(named("bank/a", "*.example.com", day=1), named("bank/b", "pay.example.com", day=2))
    assert served_by(result) == {"*.example.com": ["bank/a"], "pay.example.com": ["bank/b"]}


def test_a_wildcard_stays_refused_while_one_of_two_owners_inside_it_is_left() -> None:
    """Every overlap counts, not just the first that is found."""
    first, second = named("a/one", "one.example.com", day=1), named("b/two", "two.example.com", day=2)
    wildcard = named("c/all", "*.example.com", day=3)
    assert not verdict_on(compiled(first, second, wildcard), "c/all").accepted
    assert not verdict_on(compiled(second, wildcard), "c/all").accepted
    assert verdict_on(compiled(wildcard), "c/all").accepted


def test_a_refused_spec_owns_none_of_its_hosts() -> None:
    """One host in conflict refuses the whole spec, and its other hosts stay free."""
    result = compiled(
        named("bank/old", "pay.example.com", day=1),
        named("shop/greedy", "pay.example.com", "shop.example.com", day=2),
        named("web/young", "shop.example.com", day=3),
    )
    assert not verdict_on(result, "shop/greedy").accepted
    assert served_by(result) == {"pay.example.com": ["bank/old"], "shop.example.com": ["web/young"]}


def test_a_policy_refused_for_its_host_neither_serves_nor_denies() -> None:
    """Not even the hosts that nobody else names."""
    result = compiled(
        named("bank/old", "pay.example.com", day=1), named("shop/x", "pay.example.com", "x.example", day=2)
    )
    assert list(tables(result)) == ["pay.example.com"]


def test_a_policy_whose_rules_do_not_compile_owns_its_host() -> None:
    """A mistake in a rule gives no host to a neighbour; the host is denied."""
    broken = policy("bank/old", policy_spec(rule(when="nosuch == 1")), day=1)
    result = compiled(broken, named("shop/young", HOST, day=2))
    assert verdict_on(result, "shop/young").reason is AcceptedReason.HOST_CONFLICT
    assert served_by(result) == {HOST: []}


def test_an_old_policy_that_adds_a_host_takes_none_that_was_accepted() -> None:
    """What an accepted spec names comes before what an older policy's new spec names."""
    grown = policy(
        "bank/old", policy_spec(hosts=[HOST, "shop.example.com"]), day=1, generation=2, accepted=policy_spec()
    )
    young = accepted(named("shop/young", "shop.example.com", day=2))
    result = compiled(grown, young)
    assert verdict_on(result, "bank/old").reason is AcceptedReason.HOST_CONFLICT
    assert served_by(result) == {HOST: ["bank/old"], "shop.example.com": ["shop/young"]}


def test_an_old_policy_that_is_edited_keeps_its_host_against_a_newcomer() -> None:
    """Editing is no reason to lose a host, even to a policy with an earlier creationTimestamp (a restored backup)."""
    edited = policy("bank/old", policy_spec(rule("new")), day=2, generation=2, accepted=policy_spec())
    result = compiled(edited, named("shop/restored", HOST, day=1))
    assert served_by(result) == {HOST: ["bank/old"]}


def test_a_policy_that_gives_up_a_refused_host_keeps_its_place_before_newcomers() -> None:
    """Its accepted spec lost one host to an older policy; what is left of it still comes before what is new."""
    old = accepted(named("bank/old", "pay.example.com", day=1))
    reduced = policy(
        "shop/edited",
        policy_spec(hosts=["shop.example.com"]),
        day=3,
        generation=2,
        accepted=policy_spec(hosts=["shop.example.com", "pay.example.com"]),
    )
    result = compiled(old, reduced, named("web/new", "shop.example.com", day=2))
    assert served_by(result) == {"pay.example.com": ["bank/old"], "shop.example.com": ["shop/edited"]}


def test_every_host_needs_a_grant_that_names_it() -> None:
    """Without grants too: it would be every namespace's."""
    assert verdict_on(compiled(named("bank/all", "*")), "bank/all").reason is AcceptedReason.HOST_NOT_GRANTED
    granted = (HostGrant(("*",), ("bank",)),)
    assert verdict_on(compiled(named("bank/all", "*"), grants=granted), "bank/all").accepted


def test_every_host_is_free_in_file_mode() -> None:
    """One folder has one author."""
    assert verdict_on(compiled(named("bank/all", "*"), file_mode=True), "bank/all").accepted


BANK = HostGrant(("*.bank.example.com",), ("bank",))
PAY = HostGrant(("pay.bank.example.com",), ("pay",))

GRANTED = {
    "a host that the grant covers": ((BANK,), "bank", "a.bank.example.com", True),
    "the grant's own pattern": ((BANK,), "bank", "*.bank.example.com", True),
    "a host outside every grant": ((BANK,), "bank", "shop.example.com", False),
    "a pattern around the grant's": ((BANK,), "bank", "*.example.com", False),
    "every host under a grant of some": ((BANK,), "bank", "*", False),
    "another namespace": ((BANK,), "shop", "a.bank.example.com", False),
    "a host with a more specific grant for another namespace": ((BANK, PAY), "bank", "pay.bank.example.com", False),
    "a host with a more specific grant for this namespace": ((BANK, PAY), "pay", "pay.bank.example.com", True),
    "the rest of a grant around one's own": ((BANK, PAY), "pay", "a.bank.example.com", False),
    "a grant for all namespaces": ((HostGrant(("*.dev",), ("*",)),), "anybody", "x.dev", True),
    "one of two grants for one pattern": ((BANK, HostGrant(BANK.hosts, ("shop",))), "shop", "a.bank.example.com", True),
    "a grant in another spelling": ((HostGrant(("*.BANK.example.com.",), ("bank",)),), "bank", "a.bank.example.com",
        True),
    "no grant at all where grants are kept": ((), "bank", "a.bank.example.com", False),
}  # fmt: skip


@pytest.mark.parametrize(("grants", "namespace", "host", "expected"), GRANTED.values(), ids=GRANTED.keys())
def test_who_may_use_a_host(grants: tuple[HostGrant, ...], namespace: str, host: str, *, expected: bool) -> None:
    """The most specific grant that covers a pattern decides."""
    verdict = verdict_on(compiled(named(f"{namespace}/p", host), grants=grants), f"{namespace}/p")
    assert verdict.accepted is expected
    assert expected or verdict.reason is AcceptedReason.HOST_NOT_GRANTED


def test_a_grant_overrides_age() -> None:
    """Whoever came first."""
    result = compiled(
        named("shop/old", HOST, day=1), named("bank/young", HOST, day=2), grants=(HostGrant((HOST,), ("bank",)),)
    )
    assert served_by(result) == {HOST: ["bank/young"]}


@pytest.mark.parametrize("days", [(1, 2), (2, 1)], ids=["the wider host is older", "the wider host is younger"])
def test_hosts_of_different_grants_lie_inside_each_other_without_conflict(days: tuple[float, float]) -> None:
    """Whoever made the grants has decided who has which."""
    result = compiled(
        named("bank/all", "*.bank.example.com", day=days[0]),
        named("pay/one", "pay.bank.example.com", day=days[1]),
        grants=(BANK, PAY),
    )
    assert served_by(result) == {"*.bank.example.com": ["bank/all"], "pay.bank.example.com": ["pay/one"]}


@pytest.mark.parametrize("wanted", ["*.bank.example.com", "pay.bank.example.com"])
def test_age_decides_between_namespaces_of_one_grant(wanted: str) -> None:
    """Inside it, overlapping hosts are in conflict as they are without grants."""
    shared = (HostGrant(("*.bank.example.com",), ("bank", "shop")),)
    result = compiled(named("bank/old", "*.bank.example.com", day=1), named("shop/young", wanted, day=2), grants=shared)
    assert verdict_on(result, "shop/young").reason is AcceptedReason.HOST_CONFLICT


def test_hosts_under_several_patterns_of_one_grant_are_in_conflict_where_they_overlap() -> None:
    """It is the grant that counts, also where another grant has one of its patterns too."""
    both = HostGrant(("*.example.com", "*.pay.example.com"), ("bank", "shop"))
    grants = (HostGrant(("*.example.com",), ("bank",)), both)
    result = compiled(
        named("bank/a", "*.example.com", day=1), named("shop/b", "a.pay.example.com", day=2), grants=grants
    )
    assert verdict_on(result, "shop/b").reason is AcceptedReason.HOST_CONFLICT


HELD_BACK = {
    "audit": ({"mode": "Audit"}, Allowance.AUDIT),
    "no replay check": ({"dpop": {"replay": "Skip"}}, Allowance.SKIP_REPLAY),
}


@pytest.mark.parametrize(("fields", "allowance"), HELD_BACK.values(), ids=HELD_BACK.keys())
def test_what_holds_a_policy_back_needs_an_allowance_on_every_host(
    fields: dict[str, Any], allowance: Allowance
) -> None:
    """With grants; the other allowance does not do, nor does one on another host."""
    wanted = named("bank/p", "a.example", "b.example", **fields)
    other = next(one for one in Allowance if one is not allowance)
    first = HostGrant(("a.example",), ("bank",), frozenset(Allowance))
    for allow, expected in ((allowance, True), (other, False)):
        second = HostGrant(("b.example",), ("bank",), frozenset({allow}))
        verdict = verdict_on(compiled(wanted, grants=(first, second)), "bank/p")
        assert verdict.accepted is expected
        assert expected or verdict.reason is AcceptedReason.NOT_ALLOWED


@pytest.mark.parametrize("fields", [fields for fields, _ in HELD_BACK.values()], ids=HELD_BACK.keys())
def test_without_grants_nothing_needs_an_allowance(fields: dict[str, Any]) -> None:
    """Only grants restrict it."""
    assert verdict_on(compiled(named("bank/p", HOST, **fields)), "bank/p").accepted


def test_an_allowance_counts_for_the_namespaces_of_its_own_grant() -> None:
    """Two grants for one pattern lend each other nothing."""
    grants = (HostGrant((HOST,), ("bank",), frozenset(Allowance)), HostGrant((HOST,), ("shop",)))
    verdict = verdict_on(compiled(named("shop/p", HOST, mode="Audit"), grants=grants), "shop/p")
    assert verdict.reason is AcceptedReason.NOT_ALLOWED


def test_a_grant_for_what_is_no_host_pattern_is_an_error_of_the_installation() -> None:
    """Said when the grants are read, not when a policy asks."""
    with pytest.raises(ValueError, match="host grant for 'https://x'"):
        HostGrant(("https://x",), ("bank",))
