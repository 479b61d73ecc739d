"""`stepguard proof`: a DPoP proof for curl."""

import argparse
import sys
import time
from pathlib import Path

from stepguard_cli.console import Console, Style
from stepguard_cli.proofs import PrivateKey, make_proof, new_key, public_jwk, read_key, thumbprint, write_key


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--method", required=True, metavar="M", help="the request's method, for htm")
    parser.add_argument("--url", required=True, metavar="U", help="the request's URL, for htu (query and fragment cut)")
    parser.add_argument("--token", metavar="T", help="the access token that goes with it, for ath")
    parser.add_argument("--nonce", metavar="N", help="the nonce the server asked for (DPoP-Nonce)")
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="private key in PEM form; made (P-256) where the file does not exist; without --key a key used once",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the proof."""
    key = _key(arguments.key, console)
    proof = make_proof(
        key,
        arguments.method,
        url=arguments.url,
        now=int(time.time()),
        token=arguments.token,
        nonce=arguments.nonce,
    )
    console.line(proof)
    console.document({"proof": proof, "jkt": thumbprint(public_jwk(key)), "jwk": public_jwk(key)})
    return 0


def _key(path: Path | None, console: Console) -> PrivateKey:
    if path is None:
        return new_key()
    if path.exists():
        return read_key(path)
    key = new_key()
    write_key(key, path)
    print(console.styled(f"stepguard: made a new P-256 key, {path}", Style.DIM), file=sys.stderr)
    return key
