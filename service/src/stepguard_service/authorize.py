"""One request, from what Envoy said to what Envoy gets: gather → decide → claim → answer.

Nothing here waits. Where a decision needs something from outside, the step says what, and how to go on; each transport
waits in its own way. After a wait the decision is made afresh, with the rules then in force.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from stepguard_service.core import answers
from stepguard_service.core.credentials import Presented, read_credentials
from stepguard_service.core.decision import Case, Granted, Refused, Unsigned, Verdict, Watch, conclude, decide
from stepguard_service.core.model import Answer, Request, Scheme
from stepguard_service.core.place import Document, Nowhere, Place, Preflight, is_grpc, locate
from stepguard_service.core.reasons import Reason
from stepguard_service.core.rulings import RULINGS
from stepguard_service.core.slow import Need, NeedIntrospection, NeedKeys, Waited
from stepguard_service.limits import NONCE_LIFETIME
from stepguard_service.proof.evidence import NO_WAITS, RequestEvidence, Verifiers, Waits
from stepguard_service.stores.replay import Claim, Claimed, claim_of
from stepguard_service.stores.rules import RuleStore


@dataclass(frozen=True, slots=True)
class ClaimStep:
    """Everything passed but the replay check: make this claim (a batch in one round trip), then finish."""

    claim: Claim
    finish: Callable[[Claimed], Answer]


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Something slow is missing: get it off the serving loop, then resume with a fresh `now`."""

    need: Need
    resume: Callable[[Waited, int], "Step"]


@dataclass(frozen=True, slots=True)
class SignatureStep:
    """All that is missing is a signature: verify it, best in a row with others, then resume."""

    verify: Callable[[], None]
    resume: Callable[[], "Step"]


Step = Answer | ClaimStep | WaitStep | SignatureStep


@dataclass(frozen=True, slots=True)
class Options:
    """The switches of the service that make it less safe."""

    allow_unmatched_hosts: bool = False
    allow_on_replay_outage: bool = False


_PASSED = frozenset({Claimed.CLAIMED, Claimed.REPEATED})
_NOT_CLAIMED = {
    Claimed.REPLAYED: Reason.REPLAYED,
    Claimed.FULL: Reason.REPLAY_STORE_FULL,
    Claimed.OVER_SHARE: Reason.REPLAY_QUOTA,
    Claimed.UNAVAILABLE: Reason.REPLAY_STORE_UNAVAILABLE,
}


class Authorizer:
    """Decides requests one step at a time. For use by one thread, as its verifiers are."""

    def __init__(
        self,
        rules: RuleStore,
        verifiers: Verifiers,
        *,
        options: Options | None = None,
        watch: Watch | None = None,
        in_batches: bool = False,
    ) -> None:
        """`watch` hears of every check: for `stepguard explain`, never on a serving path.

        `in_batches`: decisions stop at a proof's signature (SignatureStep). OpenSSL's tables and Python's data drive
        each other out of the processor's caches, so a row of verifications costs less than one between two decisions.
        """
        self._rules = rules
        self._verifiers = verifiers
        self._options = options or Options()
        self._watch = watch
        self._in_batches = in_batches

    def begin(self, request: Request, now: int) -> Step:
        """The answer, or the first thing that is missing for it. `now` in Unix seconds."""
        return self._go(request, NO_WAITS, now)

    def _go(self, request: Request, waits: Waits, now: int) -> Step:
        rules = self._rules.current
        if rules is None:
            return answers.unavailable_or_refused(Reason.NO_SNAPSHOT, grpc=is_grpc(request))
        place = locate(request, rules)
        match place:
            case Place():
                return self._decide(place, waits, now)
            case Nowhere():
                return answers.nowhere(request, rules, place, allow_unmatched=self._options.allow_unmatched_hosts)
            case Preflight():
                return answers.preflight(request, place)
            case Document():
                return answers.document(place)

    def _decide(self, place: Place, waits: Waits, now: int) -> Step:
        presented = read_credentials(place.request.headers)
        evidence = RequestEvidence(self._verifiers, place, presented, waits=waits, now=now)
        case = Case(place, presented, evidence, now, self._watch, self._in_batches)
        verdict = decide(case)
        if isinstance(verdict, Unsigned):
            return SignatureStep(verdict.verify, partial(self._conclude, verdict, case, waits))
        return self._step(verdict, case, waits)

    def _conclude(self, unsigned: Unsigned, case: Case, waits: Waits) -> Step:
        return self._step(conclude(unsigned, case), case, waits)

    def _step(self, verdict: Verdict, case: Case, waits: Waits) -> Step:
        match verdict:
            case Granted():
                return self._claim(case.place, verdict, case.now)
            case Refused():
                return self._refuse(case.place, verdict, case.presented, case.now)
            case NeedKeys() | NeedIntrospection():
                return WaitStep(verdict, partial(self._resume, case.place.request, waits, verdict))

    def _resume(self, request: Request, waits: Waits, need: Need, waited: Waited, now: int) -> Step:
        return self._go(request, {**waits, (type(need), need.issuer.hash): waited}, now)

    def _claim(self, place: Place, grant: Granted, now: int) -> Step:
        verified = grant.verified
        if verified is None:
            return answers.granted(place, grant, Reason.ANONYMOUS)
        if verified.proof is None or grant.entry.rule.policy.dpop.skip_replay:
            return self._grant(place, grant, Reason.OK, now)
        claim = claim_of(verified.proof, place.request.id, lifetime=place.rules.proof_lifetime)
        return ClaimStep(claim, partial(self._finish, place, grant, now))

    def _finish(self, place: Place, grant: Granted, now: int, claimed: Claimed) -> Answer:
        if claimed in _PASSED:
            return self._grant(place, grant, Reason.OK, now)
        reason = _NOT_CLAIMED[claimed]
        if claimed is Claimed.UNAVAILABLE and self._options.allow_on_replay_outage:
            return self._grant(place, grant, reason, now)
        return answers.refused(place, Refused(reason, grant.entry, grant.verified), scheme=Scheme.DPOP)

    def _grant(self, place: Place, grant: Granted, reason: Reason, now: int) -> Answer:
        """With a new nonce where the one that the client used is past half of its life."""
        proof = grant.verified.proof if grant.verified else None
        old = proof is not None and proof.nonce_age is not None and proof.nonce_age > NONCE_LIFETIME / 2
        return answers.granted(place, grant, reason, nonce=self._new_nonce(place, now) if old else "")

    def _refuse(self, place: Place, refused: Refused, presented: Presented, now: int) -> Answer:
        wanted = RULINGS[refused.reason].error == "use_dpop_nonce"
        nonce = self._new_nonce(place, now) if wanted else ""
        return answers.refused(place, refused, scheme=presented.scheme, nonce=nonce)

    def _new_nonce(self, place: Place, now: int) -> str:
        nonces = self._verifiers.nonces()
        return nonces.issue(place.host, now) if nonces else ""
