"""One Kubernetes API for all tests of this folder; each test starts from an empty installation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, installation
from tests.support.kubernetes import ControlPlane, control_plane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The API server, shared."""
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture(scope="session")
def installed(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Stepguard installed, for whole modules; most tests want `system`."""
    with installation(plane, tmp_path_factory.mktemp("installation")) as made:
        yield made


@pytest.fixture
def system(installed: Installation, tmp_path: Path) -> Iterator[Installation]:
    """Stepguard installed, without policies, issuers and programs, for one test."""
    before, installed.directory = installed.directory, tmp_path
    yield installed
    installed.delete_all()
    installed.directory = before
