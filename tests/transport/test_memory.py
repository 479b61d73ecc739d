"""Memory does not grow with the number of requests. `make soak` is the long form of this."""

import shutil
from pathlib import Path

import pytest

from tests.bench.programs import stepguard
from tests.bench.soak import MOST_MIB, growth
from tests.bench.traffic import CHALLENGED, Traffic


@pytest.mark.slow
def test_200_000_denials_leave_nothing_behind(tmp_path: Path) -> None:
    """At most 1 MiB for each 100 000, after a warm-up."""
    if shutil.which("taskset") is None:
        pytest.skip("needs taskset: install Debian's package util-linux")
    traffic = Traffic.new()
    with stepguard(traffic, tmp_path) as server:
        slope = growth(server, traffic.denied, warm_up=50_000, count=200_000, answers={CHALLENGED})
    assert slope <= MOST_MIB
