"""What anybody who reaches Envoy can make the service spend, before any signature."""

import json
from pathlib import Path

import pytest

from tests.support.bank import Bank, policy_document, rule
from tests.support.checks import Caller, check_request
from tests.support.service import service
from tests.support.whole import whole


def test_a_refused_request_with_a_huge_target_writes_a_short_line(bank: Bank, tmp_path: Path) -> None:
    """10 000 waiting lines of 50 kB would be half a gigabyte, and refusals are logged by default."""
    huge = "a" * 50_000
    with service(bank.folder, tmp_path) as running:
        caller = Caller(running.port)
        caller.check(check_request("GET", f"/{huge}", request_id="long-path"))
        caller.check(check_request("GET", "/", host=huge, request_id="long-host"))
        caller.check(check_request(huge.upper(), "/", request_id="long-method"))

        def lines() -> list[str]:
            return [line for line in running.process.stderr.splitlines() if "long-" in line]

        running.process.wait_for(lambda: len(lines()) == 3, "all refusals are logged")
        caller.close()
        assert max(map(len, lines())) < 4000
        assert all(json.loads(line)["message"] == "decision" for line in lines())


COSTLY_PATHS = {
    "escapes": "%41" * 19_000,
    "escapes that case folding looks at": "%c3a" * 14_000,
    "slashes": "/" * 57_000,
    "dot segments": "../" * 19_000,
}


@pytest.mark.parametrize("path", COSTLY_PATHS.values(), ids=COSTLY_PATHS.keys())
def test_a_path_as_long_as_all_headers_is_refused_before_it_is_looked_at(caller: Caller, path: str) -> None:
    """Each takes up to 0.1 s to normalise, on the one thread that serves everybody."""
    assert caller.check(check_request("GET", f"/{path}")).status == 400


QUERY_RULE = rule("/accounts", when='request.query.all(name, name != "amount")', access="Anonymous")


def test_a_flood_of_query_parameters_is_no_answer_to_a_condition(bank: Bank) -> None:
    """60 KiB of them would take 30 ms in each condition; one too many is denied, and never cut off and then judged."""
    bank.write("policy.yaml", policy_document(QUERY_RULE, rule("/public", access="Anonymous")))
    most = "&".join(f"p{number}" for number in range(1000))
    with whole(bank) as running:
        ask = running.caller.check
        assert ask(check_request("GET", f"/accounts?{most}")).allowed
        assert ask(check_request("GET", f"/accounts?{most}&amount=1")).metadata["reason"] == "condition_error"
        assert ask(check_request("GET", f"/accounts?{'a&' * 20_000}")).metadata["reason"] == "condition_error"
        assert ask(check_request("GET", f"/public?{most}&amount=1")).allowed
