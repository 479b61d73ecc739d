"""The snapshot on disk: all of it or nothing."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_service.transport.state_dir import FILE_NAME, Damaged, StateDir


def example() -> pb.PolicySnapshot:
    """A snapshot with something in it."""
    entry = pb.HostTableEntry(pattern="api.example.com", hash="h", table=b"\x00\xff")
    return pb.PolicySnapshot(version=pb.Version(epoch=3, sequence=2), hash="abc", host_tables=[entry])


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    StateDir(tmp_path).save(example())
    assert StateDir(tmp_path).load() == example()


def test_the_last_one_saved_wins(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.save(pb.PolicySnapshot(hash="earlier"))
    state.save(example())
    assert state.load() == example()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_an_empty_folder_has_nothing_to_say(tmp_path: Path) -> None:
    assert StateDir(tmp_path).load() is None


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    StateDir(tmp_path).save(example())
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        StateDir(tmp_path / "missing").save(example())


def test_a_folder_in_place_of_the_file_is_damage(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    assert isinstance(StateDir(tmp_path).load(), Damaged)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_file_with_any_bit_changed_is_never_loaded(tmp_path: Path, position: int, bit: int) -> None:
    state = StateDir(tmp_path)
    state.save(example())
    content = bytearray(state.path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    state.path.write_bytes(content)
    assert isinstance(state.load(), Damaged)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_snapshot_or_damage_and_never_an_exception(tmp_path: Path, content: bytes) -> None:
    state = StateDir(tmp_path)
    state.path.write_bytes(content)
    assert isinstance(state.load(), pb.PolicySnapshot | Damaged)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_file_cut_short_is_never_loaded(tmp_path: Path, kept: float) -> None:
    state = StateDir(tmp_path)
    state.save(example())
    content = state.path.read_bytes()
    state.path.write_bytes(content[: int(len(content) * kept)])
    assert isinstance(state.load(), Damaged)
