"""What anybody who reaches Envoy can make the service spend, before any signature."""

import json
from pathlib import Path

from tests.support.bank import Bank
from tests.support.checks import Caller, check_request
from tests.support.service import service


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
