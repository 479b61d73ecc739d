"""One gateway for all tests of this folder that disturb nothing."""

from collections.abc import Iterator

import pytest

from tests.support.gateway import Gateway, running_gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Shared: a test that stops or changes a part starts its own."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as started:
        yield started
