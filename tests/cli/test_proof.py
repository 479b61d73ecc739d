"""`stepguard proof` makes proofs that a verifier accepts, and says in one line why it cannot."""

from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.cli import document, stepguard
from tests.support.tokens import SigningKey, ath, generate

URL = "https://api.example.com/accounts"


def claims_of(proof: str) -> dict[str, object]:
    """The claims, once the signature was verified with the key in the header."""
    header = jwt.get_unverified_header(proof)
    assert header["typ"] == "dpop+jwt"
    assert not {"d", "p", "q"} & set(header["jwk"])
    key = jwt.PyJWK.from_dict(header["jwk"], algorithm=header["alg"])
    return dict(jwt.decode(proof, key, algorithms=[header["alg"]]))


def test_a_proof_says_method_url_and_token() -> None:
    """Query and fragment of the URL do not count."""
    done = stepguard("proof", "--method", "GET", "--url", f"{URL}?page=2#x", "--token", "abc", "--nonce", "n-1")
    claims = claims_of(done.stdout.strip())
    assert (claims["htm"], claims["htu"], claims["ath"], claims["nonce"]) == ("GET", URL, ath("abc"), "n-1")


def test_a_key_file_is_made_once_and_used_again(tmp_path: Path) -> None:
    """And nobody but its owner may read it."""
    file = tmp_path / "client.pem"
    first = document("proof", "--method", "GET", "--url", URL, "--key", file)
    second = document("proof", "--method", "GET", "--url", URL, "--key", file)
    assert first["jkt"] == second["jkt"]
    assert first["proof"] != second["proof"]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "PS256", "EdDSA"])
def test_every_kind_of_key_signs(tmp_path: Path, algorithm: str) -> None:
    """The thumbprint that is printed is that of the key."""
    key = SigningKey(algorithm, generate(algorithm))
    file = tmp_path / "client.pem"
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private.private_bytes(*pem))
    printed = document("proof", "--method", "GET", "--url", URL, "--key", file)
    claims_of(str(printed["proof"]))
    assert printed["jkt"] == key.thumbprint


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_is_no_key_is_one_line_on_standard_error(tmp_path: Path, content: bytes) -> None:
    """Exit status 2, nothing on standard output."""
    file = tmp_path / "client.pem"
    file.write_bytes(content)
    done = stepguard("proof", "--method", "GET", "--url", URL, "--key", file)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"stepguard proof: {file}: not an unencrypted private key in PEM form\n"


def test_a_key_that_cannot_be_written_is_one_line_too(tmp_path: Path) -> None:
    """Where the folder is missing."""
    file = tmp_path / "nowhere" / "client.pem"
    done = stepguard("proof", "--method", "GET", "--url", URL, "--key", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"stepguard proof: {file}: cannot write the key: No such file or directory\n"
