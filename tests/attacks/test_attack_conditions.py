"""Conditions that stand between a strict rule and a public one: nothing a client sends makes them pass on in error."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support.bank import HOST, Bank, Document, policy_document, rule
from tests.support.checks import Caller, check_request
from tests.support.clock import clock_now
from tests.support.tokens import Signer
from tests.support.whole import whole

Claims = dict[str, Any]


def guarded(name: str, when: str) -> list[Document]:
    """A path where everything is public that the condition lets pass on."""
    path = f"/{name}"
    require = {"dpop": "Required", "acrValues": ["urn:acr:phr"]}
    strict = {**rule(path, when=when, require=require), "name": f"{name}-strict"}
    return [strict, rule(path, access="Anonymous")]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Policies with conditions."""
    bank = Bank(tmp_path_factory.mktemp("conditions") / "policies")
    rules = [
        *guarded("query", '"amount" in request.query'),
        *guarded("number", 'request.query["amount"].exists(a, int(a) > 1000)'),
        *guarded("claims", "!has(claims.internal)"),
        *guarded("roles", '!("guest" in claims.roles)'),
        *guarded("limit", "claims.limit < 10"),
        *guarded("header", 'request.headers["x-amount"] != "0"'),
    ]
    bank.write("policy.yaml", policy_document(*rules))
    return bank


@pytest.fixture(scope="module")
def caller(bank: Bank) -> Iterator[Caller]:
    """A client of a service with those policies."""
    with whole(bank) as running:
        yield running.caller


NOT_PUBLIC: Final = {
    "the name escaped": "/query?%61mount=1",
    "the name in the middle": "/query?a=1&&amount&b",
    "NUL behind the name": "/query?amount=1&x%00y=1",
    "NUL in another value": "/query?x=%00",
    "a number that is none": "/number?amount=9x",
    "a number beyond 64 bits": "/number?amount=99999999999999999999",
    "a number that is spelled with a sign": "/number?amount=%2B9999",
    "no number at all": "/number",
    "a small number before a large one": "/number?amount=1&amount=9999",
    "a header that is missing": "/header",
}


@pytest.mark.parametrize("target", NOT_PUBLIC.values(), ids=NOT_PUBLIC.keys())
def test_an_odd_spelling_does_not_make_a_request_public(caller: Caller, target: str) -> None:
    """It is challenged, or denied because the condition has no answer."""
    assert caller.check(check_request("GET", target)).status in {401, 403}


FORGERIES: Final = ("claims", "roles", "limit")


@pytest.mark.parametrize("path", FORGERIES)
def test_claims_that_nobody_signed_decide_nothing(bank: Bank, caller: Caller, path: str) -> None:
    """Each of them would make the condition false, and the public rule apply."""
    claims = {"internal": True, "roles": ["guest"], "limit": 100}
    forged = Signer(kid=bank.signer.kid).access_token(clock_now(), jkt=bank.client.jkt, claims=claims)
    for headers in (
        {},
        {"authorization": f"Bearer {forged}"},
        {"authorization": f"DPoP {forged}"},
        {"authorization": "Basic eDp5"},
        {"authorization": f"Bearer {bank.token(**claims)}"},
        {"authorization": f"DPoP {bank.token(**claims)}"},
    ):
        assert caller.check(check_request("GET", f"/{path}", headers=headers)).status == 401


ODD_CLAIMS: Final = {
    "a number beyond 64 bits": ("limit", {"limit": 2**70}),
    "a number as text": ("limit", {"limit": "100"}),
    "true as a number": ("limit", {"limit": True}),
    "null": ("limit", {"limit": None}),
    "no claim": ("limit", {}),
    "text where a list is meant": ("roles", {"roles": "guest"}),
    "an object with NUL": ("roles", {"roles": {"guest\0": 1}}),
}


@pytest.mark.parametrize(("path", "claims"), ODD_CLAIMS.values(), ids=ODD_CLAIMS.keys())
def test_a_claim_of_another_type_gives_no_answer_or_the_strict_one(
    bank: Bank, caller: Caller, path: str, claims: Claims
) -> None:
    """Never the public rule, and never a fault."""
    assert caller.check(bank.proven(f"/{path}", **claims)).status in {401, 403}


def test_good_claims_decide(bank: Bank, caller: Caller) -> None:
    """What the forgeries above pretended."""
    passing: dict[str, Claims] = {
        "claims": {"internal": True},
        "roles": {"roles": ["guest"]},
        "limit": {"limit": 100},
    }
    for path, claims in passing.items():
        assert caller.check(bank.proven(f"/{path}", **claims)).metadata["rule"] == path
    assert caller.check(check_request("GET", "/query", host=HOST)).allowed
