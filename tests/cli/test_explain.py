"""`stepguard explain` says what the service would do, and why."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import document, stepguard
from tests.support.clock import clock_now
from tests.support.gateway import write_policies
from tests.support.tokens import ClientKey, Signer

API = "https://api.example.com"


@pytest.fixture(scope="module")
def signer() -> Signer:
    """Who signs tokens for the policies."""
    return Signer()


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    """The policies of the tests with a real Envoy."""
    return write_policies(tmp_path_factory.mktemp("explain") / "policies", signer)


def explained(policies: Path, method: str, path: str, *more: str) -> dict[str, Any]:
    """The explanation as data."""
    return document("explain", method, API + path, "--policies", policies, *more)


def test_the_rule_that_applies_is_named_with_its_place(policies: Path) -> None:
    """And the others with why they do not."""
    told = explained(policies, "GET", "/accounts/7")
    assert (told["rule"]["policy"], told["rule"]["name"]) == ("bank/payments", "accounts")
    assert told["rule"]["place"].startswith(f"{policies}/policies.yaml:")
    fates = {candidate["rule"]: candidate["fate"] for candidate in told["candidates"]}
    assert fates == {
        "accounts": "this rule governs the request",
        "transfers": "another path",
        "public": "another path",
        "admin": "another path",
        "calls": "another path",
    }


def test_a_rule_for_another_method_is_told_apart_from_one_for_another_path(policies: Path) -> None:
    """GET /transfers has no rule."""
    told = explained(policies, "GET", "/transfers")
    assert told["reason"] == "no_rule"
    assert {one["rule"]: one["fate"] for one in told["candidates"]}["transfers"] == "another method"


def test_each_part_of_the_requirement_says_where_it_comes_from(policies: Path) -> None:
    """The rule, the defaults, or nobody."""
    told = explained(policies, "POST", "/transfers")
    demands = {demand["name"]: (demand["value"], demand["origin"]) for demand in told["demands"]}
    assert demands == {
        "access": ("Authenticated", "the rule"),
        "dpop": ("Required", "the rule"),
        "acrValues": ("urn:acr:phr", "the rule"),
        "maxAge": ("300s", "the rule"),
        "scopes": ("payments", "the rule"),
    }


def test_credentials_are_judged_check_by_check(policies: Path, signer: Signer) -> None:
    """The last check is the one that failed."""
    client = ClientKey()
    token = signer.access_token(clock_now(), jkt=client.jkt)
    proof = client.proof("POST", f"{API}/transfers", now=clock_now(), token=token)
    told = explained(policies, "POST", "/transfers", "--token", token, "--proof", proof)
    assert (told["reason"], told["status"]) == ("insufficient_acr", 401)
    *passed, failed = told["checks"]
    assert passed
    assert {check["reason"] for check in passed} == {None}
    assert failed["reason"] == "insufficient_acr"


def test_a_request_that_would_pass_is_told_as_one(policies: Path, signer: Signer) -> None:
    """And shows what the application gets."""
    client = ClientKey()
    token = signer.access_token(clock_now(), jkt=client.jkt)
    proof = client.proof("GET", f"{API}/accounts", now=clock_now(), token=token)
    arguments = ("--policies", policies, "--token", token, "--proof", proof)
    done = stepguard("explain", "GET", f"{API}/accounts", *arguments)
    assert done.returncode == 0
    assert "the application gets x-auth-sub: alice" in done.stdout
    assert "\x1b" not in done.stdout


def test_without_credentials_the_answer_is_the_challenge(policies: Path) -> None:
    """Nobody has to guess what a client would see."""
    done = stepguard("explain", "GET", f"{API}/accounts", "--policies", policies)
    assert done.returncode == 0
    assert 'www-authenticate: DPoP realm="bank/payments"' in done.stdout


@pytest.mark.parametrize(
    ("url", "reason"),
    {
        "https://nobody.example/": "unknown_host",
        f"{API}/a%2fb": "path_refused",
        f"{API}/public/..;/admin": "path_refused",
        "https://a,b/": "bad_authority",
    }.items(),
)
def test_requests_that_no_rule_can_govern_are_explained_too(policies: Path, url: str, reason: str) -> None:
    """Without candidates."""
    told = document("explain", "GET", url, "--policies", policies)
    assert (told["reason"], told["candidates"]) == (reason, [])


def test_a_url_without_a_host_is_one_line_on_standard_error(policies: Path) -> None:
    """It says what to write instead."""
    done = stepguard("explain", "GET", "/accounts", "--policies", policies)
    assert (done.returncode, done.stdout) == (2, "")
    expected = "stepguard explain: /accounts: write the whole URL, such as https://api.example.com/accounts\n"
    assert done.stderr == expected
