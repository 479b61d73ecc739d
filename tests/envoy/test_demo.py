"""The demo's story through a real Envoy, as people run it."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.support.cli import stepguard
from tests.support.envoy import binary
from tests.support.http_clients import http1
from tests.support.processes import Process, accepts, program, running

STATUSES = [401, 401, 401, 200, 401, 401, 200, 401]
FRONT = re.compile(r"Envoy :(\d+)")


@pytest.fixture(autouse=True)
def _envoy() -> None:
    binary()


def test_every_answer_of_the_story_is_as_expected() -> None:
    """Exit status 0, and everything that was asked and answered as data."""
    done = stepguard("demo", "--output", "json", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["as_expected"] is True
    assert [scene["response"]["status"] for scene in told["scenes"]] == STATUSES


def test_the_story_is_told_in_words_without_colour_where_there_is_no_terminal(tmp_path: Path) -> None:
    """Credentials are shortened, and nothing is left running."""
    with running((program("stepguard"), "demo"), tmp_path) as demo:
        assert demo.wait(timeout=120) == 0, demo.report()
        assert demo.stdout.count("✓") == len(STATUSES)
        assert "✗" not in demo.stdout
        assert "\x1b" not in demo.stdout
        assert demo.stderr == ""
        assert not accepts(front_port(demo))


def front_port(demo: Process) -> int:
    """The port of the demo's Envoy, as it says."""
    found = FRONT.search(demo.stdout)
    assert found
    return int(found[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_kept_running_it_ends_with_everything_it_started(tmp_path: Path, number: signal.Signals) -> None:
    """Until then Envoy answers, on ports that it chose because the usual ones may be taken."""
    with running((program("stepguard"), "demo", "--keep"), tmp_path) as demo:
        demo.wait_for(lambda: "Ctrl-C" in demo.stdout, "the story is over", timeout=120)
        port = front_port(demo)
        assert http1(port, "/healthz", host=f"localhost:{port}").status == 200
        demo.send(number)
        demo.wait()
        assert not accepts(port)


def test_two_demos_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """The second takes other ports."""
    with running((program("stepguard"), "demo", "--keep"), tmp_path) as first:
        first.wait_for(lambda: "Ctrl-C" in first.stdout, "the story is over", timeout=120)
        done = stepguard("demo", timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
