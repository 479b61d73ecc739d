"""What attackers find: a gateway with a real Envoy, and a whole service without one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bank import Bank
from tests.support.checks import Caller
from tests.support.gateway import Gateway, running_gateway
from tests.support.whole import whole


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Shared: attacks change nothing in it."""
    with running_gateway(tmp_path_factory.mktemp("attacked"), Path(__file__).with_name("policies.yaml")) as started:
        yield started


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Policies that a test may change before it asks for `caller`."""
    return Bank(tmp_path / "policies")


@pytest.fixture
def caller(bank: Bank) -> Iterator[Caller]:
    """A client of a service with those policies."""
    with whole(bank) as running:
        yield running.caller
