"""`stepguard snapshot` shows what a running service has in force."""

import socket
import threading
from pathlib import Path

import pytest

from tests.support.cli import document, stepguard
from tests.support.gateway import write_policies
from tests.support.processes import wait_until
from tests.support.service import service
from tests.support.tokens import Signer


def test_rules_and_errors_of_a_running_service_are_shown(tmp_path: Path) -> None:
    """A reload that failed is exit status 1; what is in force stays."""
    policies = write_policies(tmp_path / "policies", Signer())
    with service(policies, tmp_path) as running:
        shown = stepguard("snapshot", running.debug_socket)
        assert shown.returncode == 0, shown.stderr
        assert "POST" in shown.stdout
        assert "Exact /transfers" in shown.stdout
        assert "bank/payments transfers" in shown.stdout
        (policies / "broken.yaml").write_text("nonsense: [", encoding="utf-8")
        wait_until(lambda: stepguard("snapshot", running.debug_socket).returncode == 1, "the error is shown")
        told = document("snapshot", running.debug_socket, status=1)
        reload = told["last_reload"]
        assert isinstance(reload, dict)
        assert "broken.yaml:" in reload["errors"][0]


def test_a_socket_that_is_not_there_is_one_line_on_standard_error(tmp_path: Path) -> None:
    """Exit status 2."""
    path = tmp_path / "none.sock"
    done = stepguard("snapshot", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"stepguard snapshot: {path}: cannot ask the service: No such file or directory\n"


OTHERS = {
    b"hello": "whoever listens there is no stepguard-service",
    b"": "whoever listens there is no stepguard-service",
    b"[]": "whoever listens there is no stepguard-service",
    b'{"snapshot": {"digest": "x"}}': "use the stepguard of the service's own version",
}


@pytest.mark.parametrize(("said", "message"), OTHERS.items())
def test_somebody_else_at_the_socket_is_one_line_too(tmp_path: Path, said: bytes, message: str) -> None:
    """Whatever it says."""
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        done = stepguard("snapshot", path)
        thread.join()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"stepguard snapshot: {path}: {message}\n"
