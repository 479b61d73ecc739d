"""The fast transport is used only where it works: else the public one, with one warning."""

import sys
from pathlib import Path

import pytest
from stepguard_service.transport import self_check

from tests.support.bank import Bank
from tests.support.checks import Caller, check_request
from tests.support.processes import free_port, running, wait_until
from tests.support.service import Service

BROKEN = {
    "a private name is gone": "del cygrpc.Server",
    "a private function wants other arguments": "cygrpc.SendStatusFromServerOperation = lambda: None",
    "every call ends in an error": (
        "status = cygrpc.SendStatusFromServerOperation\n"
        "cygrpc.SendStatusFromServerOperation = lambda metadata, code, *rest: status(metadata, 13, *rest)"
    ),
}


def test_with_the_installed_grpcio_it_works() -> None:
    assert self_check.problem() is None


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
def test_with_a_grpcio_that_is_not_as_tested_the_public_transport_serves(tmp_path: Path, fault: str) -> None:
    """A start like any other but for one warning; the metric shows what serves."""
    (tmp_path / "sitecustomize.py").write_text(f"from grpc._cython import cygrpc\n{fault}\n")
    bank, port, admin = Bank(tmp_path / "policies"), free_port(), free_port()
    command = [sys.executable, "-m", "stepguard_service", "--policies", str(bank.folder)]
    command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--transport", "fast"]
    with running(command, tmp_path, name="service", environment={"PYTHONPATH": str(tmp_path)}) as process:
        service = Service(process, port, admin, tmp_path / "none")
        wait_until(service.ready, "the service is ready", report=process.report)
        assert 'stepguard_transport_info{transport="aio"} 1.0' in service.get("/metrics")[1]
        caller = Caller(port)
        assert caller.check(check_request("GET", "/public")).allowed
        caller.close()
        warnings = [line for line in process.stderr.splitlines() if "the fast transport does not work" in line]
        assert len(warnings) == 1
        assert process.stop() == 0
