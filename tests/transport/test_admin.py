"""The admin port: probes and metrics, whatever comes in."""

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge
from stepguard_service.flags import Address
from stepguard_service.transport.admin import AdminServer, Probes
from stepguard_service.transport.server import ListenError

from tests.support.processes import wait_until


class State:
    """What the probes ask."""

    alive = True
    ready = False


@pytest.fixture
def admin() -> Iterator[tuple[AdminServer, State]]:
    """A running server."""
    registry, state = CollectorRegistry(), State()
    Gauge("answers", "All there are.", registry=registry).set(42)
    probes = Probes(alive=lambda: state.alive, ready=lambda: state.ready)
    server = AdminServer(Address("127.0.0.1", 0), probes, registry)
    server.start()
    yield server, state
    server.close()


Admin = tuple[AdminServer, State]


def ask(server: AdminServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and text."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_probes_follow_the_state(admin: Admin) -> None:
    """Alive and ready are two questions."""
    server, state = admin
    assert (ask(server, "/healthz")[0], ask(server, "/readyz")[0]) == (200, 503)
    state.alive, state.ready = False, True
    assert (ask(server, "/healthz")[0], ask(server, "/readyz")[0]) == (503, 200)


def test_metrics_are_in_the_form_that_was_asked_for(admin: Admin) -> None:
    """Prometheus' text by default, OpenMetrics where it is accepted."""
    server, _ = admin
    assert "answers 42.0" in ask(server, "/metrics")[1]
    assert ask(server, "/metrics", accept="application/openmetrics-text")[1].endswith("# EOF\n")


def test_a_query_does_not_matter(admin: Admin) -> None:
    """Some probes add one."""
    assert ask(admin[0], "/healthz?verbose=1")[0] == 200


def test_head_has_no_body(admin: Admin) -> None:
    """As HTTP has it."""
    assert ask(admin[0], "/healthz", "HEAD") == (200, "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(admin: Admin, method: str) -> None:
    """There are only answers here."""
    assert ask(admin[0], "/metrics", method)[0] == 501


def test_garbage_and_silence_hold_nobody_up(admin: Admin) -> None:
    """Connections that say nothing are bounded in number; the others are answered when they are gone."""
    server, _ = admin
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    with socket.create_connection(("127.0.0.1", server.port)) as garbage:
        garbage.sendall(b"\x00\xff\r\n\r\n")
    for connection in silent:
        connection.close()
    wait_until(lambda: answers(server), "the port answers again")


def answers(server: AdminServer) -> bool:
    """Whether the port answers."""
    try:
        return ask(server, "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_port_in_use_is_an_error_in_a_few_words(admin: Admin) -> None:
    """The system's own."""
    probes = Probes(alive=lambda: True, ready=lambda: True)
    with pytest.raises(ListenError, match=r"^address already in use$"):
        AdminServer(Address("127.0.0.1", admin[0].port), probes, CollectorRegistry())
