"""Nonce keys on disk, rotated while the service runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stepguard_policy.nonce_keys import render_nonce_keys
from stepguard_service.proof.nonce import NonceKeys
from stepguard_service.transport.nonce_file import NonceFile

from tests.support.processes import wait_until

OLD, NEW = b"o" * 32, b"n" * 32
HOST, NOW = "api.example.com", 1_800_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one key."""
    file = tmp_path / "keys"
    file.write_text(render_nonce_keys([OLD]))
    return file


@pytest.fixture
def followed(path: Path) -> Iterator[NonceFile]:
    """The file, looked at all the time."""
    nonces = NonceFile(path, interval=0.01)
    assert nonces.open() == ()
    yield nonces
    nonces.close()


def signing(nonces: NonceFile) -> tuple[bytes, ...]:
    return nonces.current.keys if nonces.current else ()


def replace(path: Path, content: bytes | None) -> None:
    """Put another file in its place at once, as Kubernetes does; None: remove it."""
    if content is None:
        path.unlink()
        return
    aside = path.with_suffix(".new")
    aside.write_bytes(content)
    aside.rename(path)


def wait_for(nonces: NonceFile, keys: tuple[bytes, ...]) -> None:
    wait_until(lambda: signing(nonces) == keys, "the new keys")


def test_a_rotation_step_by_step_loses_no_nonce(followed: NonceFile, path: Path) -> None:
    """Append, move to the front, drop: what an earlier step issued is good in the next one."""
    for keys in ((OLD, NEW), (NEW, OLD), (NEW,)):
        before = followed.current
        assert before is not None
        path.write_text(render_nonce_keys(keys))
        wait_for(followed, keys)
        assert NonceKeys(signing(followed)).check(before.issue(HOST, NOW), HOST, NOW, 0) == 0


@pytest.mark.parametrize("content", [b"", b"!!!\n", b"\xff", None], ids=["empty", "garbage", "not UTF-8", "removed"])
def test_a_file_that_goes_bad_leaves_the_last_good_keys(
    followed: NonceFile, path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    replace(path, content)
    wait_until(lambda: "not read again" in caplog.text, "the complaint")
    assert signing(followed) == (OLD,)
    replace(path, render_nonce_keys([NEW]).encode())
    wait_for(followed, (NEW,))
    assert caplog.text.count("not read again") == 1


def test_a_bad_file_at_the_start_is_refused_with_every_problem(path: Path) -> None:
    path.write_text("!\n?\n")
    problems = NonceFile(path).open()
    assert problems == (
        f"--nonce-keys {path}: line 1: not base64url",
        f"--nonce-keys {path}: line 2: not base64url",
    )


def test_keys_are_never_logged(followed: NonceFile, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    text = render_nonce_keys([NEW, OLD])
    path.write_text(text)
    wait_until(lambda: "nonce keys changed" in caplog.text, "the line about the change")
    assert not any(key in caplog.text for key in text.split())
