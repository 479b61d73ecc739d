"""The service's decision with real tokens and proofs, without a transport: requests in, answers out."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from stepguard_service.authorize import Authorizer, ClaimStep, Options, SignatureStep, Step, WaitStep
from stepguard_service.core.challenge import Challenge, parse_challenge
from stepguard_service.core.decision import Watch
from stepguard_service.core.keys import KeySet
from stepguard_service.core.matching import RuleSet
from stepguard_service.core.model import Answer, Issuer, Refuse, Request, Scheme
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.certificate import CertificateSource
from stepguard_service.proof.evidence import Verifiers
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.proof.nonce import NonceKeys
from stepguard_service.stores.replay import ReplayStore
from stepguard_service.stores.replay_memory import MemoryReplayStore
from stepguard_service.stores.rules import RuleStore

from tests.support.policies import HOST, candidate, host_rules, request, rule, rule_set
from tests.support.tokens import ClientKey, Signer, jwk_set

NOW: Final = 1_800_000_000
NONCES: Final = NonceKeys((b"n" * 32,))


@cache
def signer() -> Signer:
    """The authorization server's key."""
    return Signer()


@cache
def client() -> ClientKey:
    """The client's key."""
    return ClientKey()


@cache
def key_set() -> KeySet:
    """What the issuer publishes."""
    parsed = parse_jwk_set(jwk_set(signer()).encode())
    assert isinstance(parsed, KeySet)
    return parsed


@dataclass
class Deciding:
    """An authorizer over some rules, with a replay store; `keys` maps names of TokenIssuers to what they publish."""

    rules: RuleSet | None
    options: Options = field(default_factory=Options)
    nonces: NonceKeys | None = NONCES
    certificates: CertificateSource = CertificateSource.PEER
    replay: ReplayStore = field(default_factory=lambda: MemoryReplayStore(1000))
    watch: Watch | None = None
    in_batches: bool = True
    keys: dict[str, KeySet] = field(default_factory=lambda: {"main": key_set()})

    def __post_init__(self) -> None:
        """Put it together as the program does."""
        self.store = RuleStore(self.rules)
        verifiers = Verifiers(
            TokenVerifier(self._lookup).verify,
            certificate_source=self.certificates,
            nonces=lambda: self.nonces,
        )
        self.authorizer = Authorizer(
            self.store, verifiers, options=self.options, watch=self.watch, in_batches=self.in_batches
        )

    def _lookup(self, issuer: Issuer) -> KeySet | None:
        return self.keys.get(issuer.name)

    def begin(self, asked: Request, now: int = NOW) -> Step:
        """The first step after its signatures."""
        return signed(self.authorizer.begin(asked, now))

    def answer(self, asked: Request, now: int = NOW) -> Answer:
        """The answer of a request that has to wait for nothing."""
        step = self.begin(asked, now)
        assert not isinstance(step, WaitStep)
        return self.finish(step, now)

    def finish(self, step: Step, now: int = NOW) -> Answer:
        """Claim where the step asks for it."""
        if isinstance(step, ClaimStep):
            return step.finish(self.replay.claim([step.claim], now)[0])
        assert isinstance(step, Answer)
        return step


def signed(step: Step) -> Step:
    """The step behind the signatures that it stops at."""
    while isinstance(step, SignatureStep):
        step.verify()
        step = step.resume()
    return step


def deciding(**require: Any) -> Deciding:
    """One host with one rule about everything, with this requirement."""
    return Deciding(rule_set(host_rules(candidate(rule(**require)))))


def access_token(*, bound: bool = True, **claims: Any) -> str:
    """A good token of the issuer, bound to the client's key unless told otherwise."""
    return signer().access_token(NOW, jkt=client().jkt if bound else None, claims=claims)


def with_proof(
    token: str,
    method: str = "GET",
    target: str = "/accounts",
    *,
    headers: dict[str, str] | None = None,
    request_id: str = "1001",
    proof: dict[str, Any] | None = None,
) -> Request:
    """A request with the token and a proof by the client's key; `proof` changes how that is made."""
    url = f"https://{HOST}{target}"
    made = client().proof(method, url, now=NOW, **{"token": token, **(proof or {})})
    given = {"authorization": f"DPoP {token}", "dpop": made, **(headers or {})}
    return request(method, target, given, id=request_id)


def with_bearer(token: str, headers: dict[str, str] | None = None) -> Request:
    """A request with a bearer token."""
    return request(headers={"authorization": f"Bearer {token}", **(headers or {})})


def status_of(answer: Answer) -> int:
    """The HTTP status of a refusal; 0 for an allowed request."""
    return answer.response.status if isinstance(answer.response, Refuse) else 0


def headers_of(answer: Answer, name: str) -> list[str]:
    """The values of a header of a refusal."""
    assert isinstance(answer.response, Refuse)
    return [value for header, value in answer.response.headers if header == name]


def challenges_of(answer: Answer) -> dict[Scheme, Challenge]:
    """The challenges of a refusal, read back from their header lines."""
    lines = headers_of(answer, "www-authenticate")
    parsed = [parse_challenge(line) for line in lines]
    return {one.scheme: one for one in parsed if one is not None}


def told_of(answer: Answer) -> dict[str, str]:
    """Which scheme's challenge has which error; schemes that are offered without one have an empty error."""
    return {scheme.value: challenge.error for scheme, challenge in challenges_of(answer).items()}
