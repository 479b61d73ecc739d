"""What tests against live authorization servers share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authorization_server import CLIENT
from tests.support.slow import Slow


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder of mounted Secrets with the one that authorization servers of the tests know."""
    (tmp_path / "as-client").mkdir()
    (tmp_path / "as-client" / "secret").write_text(f"{CLIENT[1]}\n")
    return tmp_path


@pytest.fixture
def slow(secrets: Path) -> Iterator[Slow]:
    """Running slow work with no issuers yet."""
    with Slow(secrets) as running:
        yield running
