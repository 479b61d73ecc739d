"""The service's own decision over one compiled snapshot, without a port: for `explain` and `test`."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_service.authorize import Authorizer, ClaimStep, SignatureStep, WaitStep
from stepguard_service.core.decision import Watch
from stepguard_service.core.matching import RuleSet
from stepguard_service.core.model import Answer, Request
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.evidence import Verifiers
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.proof.nonce import NonceKeys, random_keys
from stepguard_service.stores.keys import KeyStore
from stepguard_service.stores.replay_memory import MemoryReplayStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.rules_loader import RulesLoader
from stepguard_service.transport.secret_files import SecretFiles
from stepguard_service.transport.slow_work import SlowWork

from stepguard_cli.console import CliError

WAIT_SECONDS = 10.0
"""For keys: longer than a service would let a request wait, since nothing else waits here."""
REPLAY_CAPACITY = 10_000


@dataclass(frozen=True, slots=True)
class Engine:
    """Decides requests with the rules of a snapshot. It remembers proofs from one request to the next."""

    rules: RuleSet
    nonces: NonceKeys
    _authorizer: Authorizer
    _replay: MemoryReplayStore
    _slow: SlowWork

    def decide(self, request: Request, now: int) -> Answer:
        """The answer, after whatever had to be waited for. `now` in Unix seconds."""
        step = self._authorizer.begin(request, now)
        while not isinstance(step, Answer):
            match step:
                case ClaimStep():
                    step = step.finish(self._replay.claim([step.claim], now)[0])
                case SignatureStep():
                    step.verify()
                    step = step.resume()
                case WaitStep():
                    waited = self._slow.start(step.need, time.monotonic() + WAIT_SECONDS).result()
                    step = step.resume(waited, now)
        return step


@contextlib.contextmanager
def engine(snapshot: pb.PolicySnapshot, *, watch: Watch | None = None) -> Iterator[Engine]:
    """An engine with the snapshot in force. `watch` hears of every check. Raises CliError."""
    store, keys, nonces = RuleStore(), KeyStore(parse_jwk_set), random_keys()
    slow = SlowWork(keys, secrets=SecretFiles(None), count=lambda _name, _result: None)
    slow.open()
    try:
        problem = RulesLoader(store, slow, on_applied=lambda: None).apply(snapshot)
        if problem is not None or store.current is None:
            raise CliError(f"the compiled policies cannot be put in force: {problem}")
        verifiers = Verifiers(TokenVerifier(keys.lookup).verify, nonces=lambda: nonces)
        authorizer = Authorizer(store, verifiers, watch=watch)
        yield Engine(store.current, nonces, authorizer, MemoryReplayStore(REPLAY_CAPACITY), slow)
    finally:
        slow.close()
