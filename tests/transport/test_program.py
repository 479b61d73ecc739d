"""`stepguard-service` as a process: how it starts, refuses to start, is asked how it is, and ends."""

import json
import signal
import socket
import stat
import threading
from pathlib import Path

import grpc
import pytest

from tests.support.authorization_server import JWKS_PATH, AuthorizationServer
from tests.support.bank import Bank, issuer_document, policy_document, rule
from tests.support.checks import Caller, check_request, read_response
from tests.support.http_server import Reply
from tests.support.processes import Process, free_port, program, running, wait_until
from tests.support.service import Service, service
from tests.support.tokens import jwk_set

NOT_SERVING, SERVING = b"\x08\x02", b"\x08\x01"


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """A folder with a TokenIssuer and a policy."""
    return Bank(tmp_path / "policies")


def ended(directory: Path, *flags: str | Path) -> Process:
    """A service with these flags that ended by itself."""
    with running([program("stepguard-service"), *flags], directory) as process:
        process.wait(20)
        return process


def complaints(process: Process) -> list[str]:
    """The lines on standard error that are for people: all but the log."""
    return [line for line in process.stderr.splitlines() if not line.startswith("{")]


def on_loopback(bank: Bank) -> list[str | Path]:
    """Flags of a service on free ports."""
    return ["--policies", bank.folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]


def test_help_is_printed(tmp_path: Path) -> None:
    """On standard output, with every flag."""
    process = ended(tmp_path, "--help")
    assert process.popen.returncode == 0
    assert "--replay-on-outage" in process.stdout


def test_bad_flags_are_told_one_a_line(tmp_path: Path) -> None:
    """Exit 2, nothing else on standard error."""
    process = ended(tmp_path, "--policies", "/nowhere", "--listen", "x", "--nope")
    assert process.popen.returncode == 2
    assert [line.split(": ")[:2] for line in process.stderr.splitlines()] == [
        ["stepguard-service", "--nope"],
        ["stepguard-service", "--listen"],
        ["stepguard-service", "--policies"],
    ]


def test_a_folder_with_errors_is_told_one_a_line(bank: Bank, tmp_path: Path) -> None:
    """Exit 2, each error with its file and line, then what came of it."""
    bank.write("a.yaml", policy_document(rule("/a", when="nosuch == 1"), name="a", host="a.example"))
    bank.write("b.yaml", "kind: [")
    process = ended(tmp_path, *on_loopback(bank))
    assert process.popen.returncode == 2
    *errors, last = complaints(process)
    assert [Path(error.removeprefix("stepguard-service: ").partition(":")[0]).name for error in errors] == [
        "a.yaml",
        "b.yaml",
    ]
    assert last == f"stepguard-service: --policies {bank.folder}: 2 errors, not started"


@pytest.mark.parametrize("flag", ["--listen", "--admin"])
def test_a_port_in_use_is_told_in_one_line(bank: Bank, tmp_path: Path, flag: str) -> None:
    """And is not shared with whoever has it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        process = ended(tmp_path, *on_loopback(bank), flag, address)
    assert process.popen.returncode == 1
    (line,) = complaints(process)
    assert line == f"stepguard-service: {flag} {address}: address already in use"


def test_two_services_never_share_a_port(bank: Bank, tmp_path: Path) -> None:
    """By itself, gRPC would allow it, and each would get some of the connections."""
    with service(bank.folder, tmp_path) as first:
        process = ended(
            tmp_path, "--policies", bank.folder, "--listen", f"127.0.0.1:{first.port}", "--admin", "127.0.0.1:0"
        )
    assert process.popen.returncode == 1


def test_the_debug_socket_is_the_users_alone(bank: Bank, tmp_path: Path) -> None:
    """Mode 0600, and gone after the end; what it shows is JSON without any secret."""
    with service(bank.folder, tmp_path) as started:
        assert stat.S_IMODE(started.debug_socket.stat().st_mode) == 0o600
        shown = json.loads(debugged(started))
        assert shown["policies"][0]["name"] == "bank/payments"
        assert [issuer["key_ids"] for issuer in shown["issuers"]] == [["key-1"]]
    assert not started.debug_socket.exists()


def debugged(started: Service) -> str:
    """All that the debug socket says."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(started.debug_socket))
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_a_socket_left_behind_is_replaced(bank: Bank, tmp_path: Path) -> None:
    """A killed service cannot remove its own."""
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with service(bank.folder, tmp_path, "--debug-socket", str(path)) as started:
        assert started.ready()


def test_a_file_in_place_of_the_debug_socket_stays(bank: Bank, tmp_path: Path) -> None:
    """It is somebody's; the service says so and does not start."""
    path = tmp_path / "file"
    path.write_text("precious")
    process = ended(tmp_path, *on_loopback(bank), "--debug-socket", path)
    assert process.popen.returncode == 1
    assert f"--debug-socket {path}: address already in use" in process.stderr
    assert path.read_text() == "precious"


def test_a_broken_key_of_a_set_is_skipped_and_reported(bank: Bank, tmp_path: Path) -> None:
    """The other keys of the set serve; the debug socket says which one does not, and why."""
    broken = {**bank.signer.jwk(), "x": "AAAA", "kid": "broken"}
    with AuthorizationServer() as server:
        server.faults[JWKS_PATH] = Reply(200, jwk_set(bank.signer, broken).encode())
        issuer = issuer_document()
        issuer["spec"]["jwks"] = {"uri": server.jwks_uri}
        bank.write("issuer.yaml", issuer)
        with service(bank.folder, tmp_path) as started:
            caller = Caller(started.port)
            wait_until(lambda: caller.check(bank.bearer()).allowed, "the good key is used")
            caller.close()
            (shown,) = json.loads(debugged(started))["issuers"]
    assert shown["key_ids"] == ["key-1"]
    assert shown["problems"][0].startswith("keys[1]: ")


def test_probes_and_metrics_are_all_there_is_over_http(bank: Bank, tmp_path: Path) -> None:
    """Nothing about policies on a TCP port."""
    with service(bank.folder, tmp_path) as started:
        statuses = {
            path: started.get(path)[0] for path in ("/healthz", "/readyz", "/metrics", "/", "/debug", "/snapshot")
        }
    assert statuses == {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404, "/debug": 404, "/snapshot": 404}


METRICS = (
    "stepguard_decisions_total{",
    "stepguard_transport_info{transport=",
    'stepguard_unsafe{switch="replay-on-outage"} 0.0',
    'stepguard_unsafe{switch="unmatched-hosts"} 1.0',
    'stepguard_check_duration_seconds_bucket{le="0.0001"}',
    "stepguard_batch_size_bucket{",
    'stepguard_cache_hits_total{cache="token"}',
    'stepguard_cache_misses_total{cache="proof_header"}',
    "stepguard_replay_entries ",
    "stepguard_replay_store_errors_total ",
    "stepguard_snapshot_info{hash=",
    "stepguard_snapshot_age_seconds ",
    "stepguard_operator_connected ",
    "process_resident_memory_bytes ",
)


def test_metrics_have_the_names_of_the_documentation(bank: Bank, tmp_path: Path) -> None:
    """docs/interfaces.md, *Metrics*."""
    with service(bank.folder, tmp_path, "--unmatched-hosts", "unsafe-allow") as started:
        caller = Caller(started.port)
        caller.check(check_request())
        caller.close()
        text = started.get("/metrics")[1]
    assert [name for name in METRICS if name not in text] == []


def test_dangerous_switches_are_logged_at_the_start(bank: Bank, tmp_path: Path) -> None:
    """By name."""
    with service(bank.folder, tmp_path, "--unmatched-hosts", "unsafe-allow") as started:
        lines = [json.loads(line) for line in started.process.stderr.splitlines()]
    assert any("--unmatched-hosts" in line["message"] and line["level"] == "warning" for line in lines)


def test_the_decision_log_does_not_depend_on_the_log_level(bank: Bank, tmp_path: Path) -> None:
    """--decision-log decides; everything else is quiet."""
    with service(bank.folder, tmp_path, "--log-level", "error", "--decision-log", "denials") as started:
        caller = Caller(started.port)
        caller.check(check_request("GET", "/accounts"))
        caller.close()
        wait_until(lambda: "no_credentials" in started.process.stderr, "the denial is logged")
        lines = [json.loads(line) for line in started.process.stderr.splitlines()]
    assert [line["message"] for line in lines] == ["decision"]


def test_an_edit_is_enforced_within_a_second_or_so(bank: Bank, tmp_path: Path) -> None:
    """While requests are answered."""
    with service(bank.folder, tmp_path) as started:
        caller = Caller(started.port)
        assert caller.check(check_request("GET", "/public")).allowed
        bank.write("policy.yaml", policy_document(rule("/public", access="Denied")))
        wait_until(lambda: caller.check(check_request("GET", "/public")).status == 403, "the edit counts", timeout=10)
        caller.close()


class Traffic:
    """Asks without pause until it is told that the replica wants no more, as Envoy does with health checks."""

    def __init__(self, port: int) -> None:
        self._caller = Caller(port)
        self.answered = 0
        self.lost: list[grpc.Call] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                assert read_response(self._caller.submit(check_request("GET", "/public")).result()).allowed
                self.answered += 1
            except grpc.RpcError as error:
                self.lost.append(error)
                return

    def unwanted(self) -> bool:
        """Whether the replica says that it wants no more."""
        return self._caller.health() == NOT_SERVING

    def end(self) -> None:
        """Ask no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._caller.close()


@pytest.mark.parametrize("transport", ["aio", "fast"])
def test_a_rolling_restart_loses_no_request(bank: Bank, tmp_path: Path, transport: str) -> None:
    """SIGTERM: not serving at once, yet every request is answered until the traffic has gone elsewhere; then exit 0."""
    with service(bank.folder, tmp_path, "--drain-seconds", "3", "--transport", transport) as started:
        traffic = Traffic(started.port)
        wait_until(lambda: traffic.answered > 50, "traffic flows")
        started.process.send(signal.SIGTERM)
        wait_until(traffic.unwanted, "the replica says that it wants no more")
        assert started.get("/readyz")[0] == 503
        assert started.get("/healthz")[0] == 200
        while_draining = traffic.answered
        wait_until(lambda: traffic.answered > while_draining + 50, "traffic is answered while draining")
        traffic.end()
        assert started.process.wait() == 0
        assert traffic.lost == []


@pytest.mark.parametrize("transport", ["aio", "fast"])
def test_a_client_that_does_not_look_is_told_to_try_elsewhere(bank: Bank, tmp_path: Path, transport: str) -> None:
    """UNAVAILABLE or CANCELLED (what gRPC's core answers to calls that cross its GOAWAY): never a wrong answer.

    Envoy's `retry_on` has to name both, so that it asks another replica.
    """
    with service(bank.folder, tmp_path, "--drain-seconds", "1", "--transport", transport) as started:
        traffic = Traffic(started.port)
        wait_until(lambda: traffic.answered > 50, "traffic flows")
        started.process.send(signal.SIGTERM)
        assert started.process.wait() == 0
        wait_until(lambda: len(traffic.lost) == 4, "every client noticed")
        traffic.end()
        assert {error.code() for error in traffic.lost} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def test_a_second_signal_cuts_the_drain_short(bank: Bank, tmp_path: Path) -> None:
    """Still exit 0."""
    with service(bank.folder, tmp_path, "--drain-seconds", "600") as started:
        started.process.send(signal.SIGTERM)
        wait_until(lambda: started.get("/readyz")[0] == 503, "it drains")
        started.process.send(signal.SIGTERM)
        assert started.process.wait() == 0


def test_an_interrupt_does_not_wait(bank: Bank, tmp_path: Path) -> None:
    """Ctrl-C on a laptop."""
    with service(bank.folder, tmp_path, "--drain-seconds", "600") as started:
        started.process.send(signal.SIGINT)
        assert started.process.wait() == 0


def test_push_mode_is_not_ready_and_answers_503_before_the_first_snapshot(tmp_path: Path) -> None:
    """Row F2, over gRPC and HTTP alike."""
    port, admin = free_port(), free_port()
    flags = ("--operator", "127.0.0.1:9", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    with running([program("stepguard-service"), *flags, "--drain-seconds", "0"], tmp_path) as process:
        started = Service(process, port, admin, tmp_path)
        process.wait_for(lambda: started.get("/healthz")[0] == 200, "it is up")
        caller = Caller(port)
        process.wait_for(lambda: caller.error(b"") is grpc.StatusCode.OK, "it answers")
        verdict = caller.check(check_request())
        assert (verdict.code, verdict.status, verdict.metadata["reason"]) == (14, 503, "no_snapshot")
        assert caller.health() == NOT_SERVING
        assert started.get("/readyz")[0] == 503
        caller.close()
