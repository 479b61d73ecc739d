"""What each verifier costs, in microseconds: `python -m tests.bench.verifiers` prints a table, with `--json` as JSON.

Medians of several runs on one core, with the fastest and the slowest run beside them. "Bare" is the signature alone.
"""

import json
import statistics
import sys
import timeit
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

import jwt
from stepguard_service.core.keys import PublicKey
from stepguard_service.core.model import DpopSettings, Origin, Proof
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.dpop import HeaderCache, header_cache
from stepguard_service.proof.htu import normalize_htu, request_target
from stepguard_service.proof.jose import Compact, parse_compact, strict_json
from stepguard_service.proof.jwk import parse_jwk

from tests.support.proofs import verify_proof
from tests.support.tokens import ClientKey, Signer, ath
from tests.support.trust import ALGORITHMS, issuer, key_set, policy

NOW: Final = 1_800_000_000
HOST: Final = "api.example.com"
URL: Final = f"https://{HOST}/transfers"
RUNS: Final = 7
SECONDS_PER_RUN: Final = 0.1


@dataclass(frozen=True)
class Figure:
    """One thing measured, in microseconds."""

    name: str
    median: float
    fastest: float
    slowest: float


def figure(name: str, work: Callable[[], object]) -> Figure:
    """Repeat `work` often enough for a run to take a tenth of a second."""
    timer = timeit.Timer(work)
    once = max(timer.timeit(20) / 20, 1e-8)
    times = max(1, int(SECONDS_PER_RUN / once))
    runs = [run / times * 1e6 for run in timer.repeat(RUNS, times)]
    return Figure(name, statistics.median(runs), min(runs), max(runs))


def compact(value: str) -> Compact:
    """Of a proof that we made ourselves."""
    parsed = parse_compact(value)
    assert isinstance(parsed, Compact)
    return parsed


def proofs(algorithm: str) -> Iterator[Figure]:
    """A proof under one algorithm, against the signature alone."""
    client = ClientKey(algorithm)
    value = client.proof("POST", URL, now=NOW, token="token")
    settings, hashed, parts = DpopSettings(ALGORITHMS), ath("token"), compact(value)
    key = parse_jwk(client.key.public_jwk)
    assert isinstance(key, PublicKey)

    def verify(headers: HeaderCache | None) -> Proof:
        proof = verify_proof(
            value, settings=settings, method="POST", target=URL, ath=hashed, nonce=None, now=NOW, headers=headers
        )
        assert isinstance(proof, Proof)
        return proof

    headers = header_cache()
    yield figure(f"{algorithm} bare", lambda: key.verify(algorithm, parts.signature, parts.signed))
    yield figure(f"{algorithm} proof, header known", lambda: verify(headers))
    yield figure(f"{algorithm} proof, header new", lambda: verify(None))


def tokens() -> Iterator[Figure]:
    """An access token, new and known, against PyJWT with a parsed key."""
    signer = Signer()
    keys, trusting = key_set(signer), policy(issuer())
    value = signer.access_token(NOW, jkt="J", claims={"scope": "a b", "acr": "urn:acr:phr", "auth_time": NOW})
    known = TokenVerifier(lambda _: keys)
    known.verify(value, trusting, NOW)
    public = signer.key.private.public_key()
    unchecked = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    yield figure("ES256 token, known", lambda: known.verify(value, trusting, NOW))
    yield figure("ES256 token, new", lambda: TokenVerifier(lambda _: keys).verify(value, trusting, NOW))
    yield figure("ES256 token, PyJWT", lambda: jwt.decode(value, public, ["ES256"], options=unchecked))  # type: ignore[arg-type] # Ed448 is in the union, not here


def pieces() -> Iterator[Figure]:
    """What a proof is made of, beside its signature."""
    value = ClientKey().proof("POST", URL, now=NOW, token="token")
    payload = compact(value).payload
    yield figure("parse_compact", lambda: parse_compact(value))
    yield figure("strict_json of the claims", lambda: strict_json(payload))
    yield figure("json.loads of the claims", lambda: json.loads(payload))
    yield figure("request_target", lambda: request_target(Origin(), HOST, "/transfers?amount=1"))
    yield figure("request_target, escapes and dots", lambda: request_target(Origin(), HOST, "/a/%7e/../b"))
    yield figure("normalize_htu", lambda: normalize_htu(URL))


def measure(algorithms: Iterable[str] = ALGORITHMS) -> list[Figure]:
    """Everything, in the order of the table."""
    return [*(one for algorithm in algorithms for one in proofs(algorithm)), *tokens(), *pieces()]


def main() -> None:
    """Print what was measured."""
    figures = measure()
    if "--json" in sys.argv[1:]:
        sys.stdout.write(json.dumps([asdict(one) for one in figures], indent=1) + "\n")
        return
    for one in figures:
        sys.stdout.write(f"{one.name:40}{one.median:10.2f}{one.fastest:10.2f}{one.slowest:10.2f}\n")


if __name__ == "__main__":
    main()
