"""One Kubernetes API for all tests of this folder. Each module puts the release there that it is about."""

from collections.abc import Iterator

import pytest

from tests.support.kubernetes import ControlPlane, control_plane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The API server, shared."""
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running
