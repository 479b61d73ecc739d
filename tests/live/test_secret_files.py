"""Client secrets in a folder of mounted Secrets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.transport.secret_files import NoSecret, SecretFiles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one Secret, and a file beside it that is none of ours."""
    outer = tmp_path_factory.mktemp("outer")
    (outer / "private").write_text("not for us")
    (outer / "secrets" / "client").mkdir(parents=True)
    return outer / "secrets"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        pytest.param(b"s3cret", "s3cret", id="as it stands"),
        pytest.param(b"s3cret\n", "s3cret", id="without the line end of an editor"),
        pytest.param(b"s3cret\r\n", "s3cret", id="of any kind"),
        pytest.param(b" s3\ncret ", " s3\ncret ", id="with everything else that is in it"),
        pytest.param("pässwort".encode(), "pässwort", id="in UTF-8"),
    ],
)
def test_a_secret_is_what_the_file_says(folder: Path, content: bytes, secret: str) -> None:
    (folder / "client" / "key").write_bytes(content)
    assert SecretFiles(folder).read("client", "key") == secret


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff", b"x" * 20_000], ids=["empty", "a line end", "no text", "long"]
)
def test_a_file_that_is_no_secret_is_named(folder: Path, content: bytes) -> None:
    (folder / "client" / "key").write_bytes(content)
    found = SecretFiles(folder).read("client", "key")
    assert isinstance(found, NoSecret)
    assert str(folder / "client" / "key") in found.detail


def test_without_a_folder_it_says_what_is_missing() -> None:
    found = SecretFiles(None).read("client", "key")
    assert isinstance(found, NoSecret)
    assert "--secrets-dir" in found.detail


@given(
    st.text() | st.sampled_from(["..", ".", "../..", "client", "/", "client/.."]),
    st.text() | st.sampled_from(["..", "private", "../private", "../../private", "/etc/passwd", "\0"]),
)
def test_fuzz_no_names_lead_out_of_the_folder(folder: Path, name: str, key: str) -> None:
    """Any two names give the content of a file two levels below the folder, or NoSecret, never an exception."""
    (folder / "client" / "key").write_text("s3cret")
    found = SecretFiles(folder).read(name, key)
    assert found == "s3cret" if (name, key) == ("client", "key") else isinstance(found, NoSecret)
