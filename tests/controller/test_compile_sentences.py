"""Every reason a resource can be refused for, with the sentence that its status shows."""

from dataclasses import replace
from typing import Any

import pytest
from stepguard_policy.compile import AcceptedReason, Allowance, HostGrant, RefsReason
from stepguard_policy.resources import Problem, Resource

from tests.support.resources import (
    HOST,
    INTROSPECTION,
    compiled,
    issuer,
    issuer_spec,
    match,
    policy,
    policy_spec,
    rule,
    verdict_on,
)

OLD = policy("bank/old", policy_spec(rule("x", match("/a", "POST"))), day=0)
WRITE_A = "the path must be in normal form: write /a"
PROBLEM = Problem("", 0, "spec.rules[0].matches", "is required")
Case = tuple[list[Resource], dict[str, Any], str, str]

REFUSED: dict[AcceptedReason, dict[str, Case]] = {
    AcceptedReason.INVALID: {
        "a field with a wrong value": (
            [replace(policy("bank/p"), spec=None, spec_problems=(PROBLEM,))],
            {},
            "bank/p",
            "spec.rules[0].matches: is required",
        ),
        "an unreadable spec without more to say": (
            [replace(policy("bank/p"), spec=None)],
            {},
            "bank/p",
            "spec: cannot be read",
        ),
        "more faults than fit into a sentence": (
            [policy("bank/p", policy_spec(rule("x", *(match(f"/{n}/../a") for n in range(7)))))],
            {},
            "bank/p",
            "; ".join(
                f"spec.rules[0].matches[{n}].path.value: the path must be in normal form: write /a" for n in range(5)
            )
            + "; and 2 more",
        ),
    },
    AcceptedReason.INVALID_EXPRESSION: {
        "a misspelt variable": (
            [policy("bank/p", policy_spec(rule(when="request.metod == 'GET'")))],
            {},
            "bank/p",
            "spec.rules[0].when: 1:8: undeclared reference to 'request.metod'",
        ),
    },
    AcceptedReason.DUPLICATE_MATCH: {
        "two rules of one policy": (
            [policy("bank/p", policy_spec(rule("z", match("/a")), rule("y", match("/a/"))))],
            {},
            "bank/p",
            "spec.rules[1].matches[0]: spec.rules[0].matches[0] answers the same match already (Exact /a, any method)",
        ),
    },
    AcceptedReason.NOT_ALLOWED: {
        "audit without an allowance": (
            [policy("bank/p", policy_spec(mode="Audit"))],
            {"grants": (HostGrant((HOST,), ("bank",), frozenset({Allowance.SKIP_REPLAY})),)},
            "bank/p",
            f"spec.mode: no host grant allows Audit on host {HOST} to namespace bank",
        ),
    },
    AcceptedReason.HOST_NOT_GRANTED: {
        "every host": (
            [policy("bank/p", policy_spec(hosts=["*"]))],
            {},
            "bank/p",
            'spec.hosts: host "*" needs a host grant that names it',
        ),
        "a host without a grant": (
            [policy("bank/p")],
            {"grants": ()},
            "bank/p",
            f"spec.hosts: no host grant covers host {HOST}",
        ),
        "a host of others": (
            [policy("bank/p")],
            {"grants": (HostGrant((HOST,), ("shop", "pay")),)},
            "bank/p",
            f"spec.hosts: host {HOST} is granted to pay, shop, not to namespace bank",
        ),
    },
    AcceptedReason.HOST_CONFLICT: {
        "the same host": (
            [OLD, policy("shop/p")],
            {},
            "shop/p",
            f"spec.hosts: {HOST} belongs to namespace bank (policy bank/old)",
        ),
        "an overlapping host": (
            [OLD, policy("shop/p", policy_spec(hosts=["*.example.com"]))],
            {},
            "shop/p",
            f"spec.hosts: *.example.com overlaps {HOST}, which belongs to namespace bank (policy bank/old)",
        ),
    },
    AcceptedReason.QUOTA_EXCEEDED: {
        "one match too many": (
            [OLD, policy("bank/p", policy_spec(rule("y", match("/b"), match("/c"))))],
            {"max_matches_per_namespace": 2},
            "bank/p",
            (
                "spec.rules: namespace bank may have 2 matches (each counts once per host and per method);"
                " older policies have 1, this one has 2"
            ),
        ),
    },
    AcceptedReason.UNRESOLVED_REFS: {
        "a TokenIssuer that is not there": (
            [policy("bank/p", policy_spec(issuers=["main", "nobody"]))],
            {},
            "bank/p",
            "spec.issuerRefs[1]: there is no TokenIssuer nobody",
        ),
    },
    AcceptedReason.HOST_SETTINGS_CONFLICT: {
        "another way to match paths": (
            [OLD, policy("bank/p", policy_spec(pathMatching={"ignoreCase": True}))],
            {},
            "bank/p",
            f"spec.pathMatching: must be as in the older policy bank/old, which has host {HOST} too",
        ),
    },
    AcceptedReason.CONFLICTED: {
        "a match of an older policy": (
            [OLD, policy("bank/p", policy_spec(rule("y", match("/b"), match("/a", "POST"))))],
            {},
            "bank/p",
            (
                "spec.rules[0].matches[1]: rule x of the older policy bank/old answers the same match on"
                f" {HOST} (Exact /a, POST)"
            ),
        ),
    },
}
FLAT = {f"{reason}: {name}": (reason, *case) for reason, cases in REFUSED.items() for name, case in cases.items()}


@pytest.mark.parametrize(("reason", "resources", "options", "name", "message"), FLAT.values(), ids=FLAT.keys())
def test_why_a_resource_is_not_accepted(
    reason: AcceptedReason, resources: list[Resource], options: dict[str, Any], name: str, message: str
) -> None:
    """One line: where, what is wrong, and with whom."""
    verdict = verdict_on(compiled(*resources, **options), name)
    assert (verdict.accepted, verdict.reason, verdict.message) == (False, reason, message)


def test_no_reason_is_without_its_sentence() -> None:
    """The vocabulary is closed, and this table knows all of it."""
    assert {AcceptedReason.ACCEPTED, *REFUSED} == set(AcceptedReason)
    assert {RefsReason.RESOLVED_REFS, *(reason for reason, _, _ in UNRESOLVED.values())} == set(RefsReason)


UNRESOLVED: dict[str, tuple[RefsReason, list[Resource], str]] = {
    "a missing one": (RefsReason.ISSUER_NOT_FOUND, [], "there is no TokenIssuer other"),
    "one without a valid generation": (
        RefsReason.ISSUER_NOT_ACCEPTED,
        [replace(issuer("other"), spec=None)],
        "TokenIssuer other is not valid",
    ),
    "one for others": (
        RefsReason.ISSUER_NOT_ALLOWED,
        [issuer("other", issuer_spec("https://other.example", namespaces=["shop"]))],
        "TokenIssuer other is not for namespace bank",
    ),
    "two of one iss": (
        RefsReason.ISSUERS_AMBIGUOUS,
        [issuer("other")],
        "TokenIssuers main and other have the same issuer",
    ),
    "two with introspection": (
        RefsReason.ISSUERS_AMBIGUOUS,
        [issuer("other", issuer_spec("https://other.example", introspection=INTROSPECTION))],
        "TokenIssuers main and other both have introspection",
    ),
}


@pytest.mark.parametrize(("reason", "others", "message"), UNRESOLVED.values(), ids=UNRESOLVED.keys())
def test_why_references_are_not_resolved(reason: RefsReason, others: list[Resource], message: str) -> None:
    """ResolvedRefs names the reference and the TokenIssuer."""
    main = issuer("main", issuer_spec(introspection=INTROSPECTION))
    verdict = verdict_on(compiled(policy("bank/p", policy_spec(issuers=["main", "other"])), main, *others), "bank/p")
    assert (verdict.resolved_refs, verdict.refs_reason) == (False, reason)
    assert verdict.refs_message == f"spec.issuerRefs[1]: {message}"


def test_an_accepted_resource_has_nothing_to_explain() -> None:
    """Both conditions are plain."""
    verdict = verdict_on(compiled(policy("bank/p")), "bank/p")
    assert (verdict.accepted, verdict.message, verdict.resolved_refs, verdict.refs_message) == (True, "", True, "")
    assert (verdict.reason, verdict.refs_reason) == (AcceptedReason.ACCEPTED, RefsReason.RESOLVED_REFS)
    assert (verdict.serving_generation, verdict.rules, verdict.accepts_new) == (1, 1, True)
