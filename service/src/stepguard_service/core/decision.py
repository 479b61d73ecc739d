"""The decision: a walk over the rules that may govern a request, and the checks of the one that does.

Pure: the same case and evidence give the same verdict. Evidence is asked for only when everything cheaper has passed,
so that a request which the first check refuses costs no signature.
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from stepguard_service.core.checks import (
    BINDING_CHECKS,
    CREDENTIAL_CHECKS,
    PROOF_CHECKS,
    REQUIREMENT_CHECKS,
    Facts,
    Proven,
)
from stepguard_service.core.credentials import Presented
from stepguard_service.core.model import Access, AccessToken, ConditionInput, Policy, Proof, Rejected, Scheme
from stepguard_service.core.path_index import Entry
from stepguard_service.core.place import Place
from stepguard_service.core.query import decode_query
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import Need

Subject = TypeVar("Subject")
Check = Callable[[Subject, int], Reason | None]


class Evidence(Protocol):
    """What can be verified about the credentials of one request. Asked twice for one policy, it answers alike."""

    def token(self, policy: Policy) -> AccessToken | Rejected | Need:
        """The access token, as the issuers and audiences of this policy make of it (rows 10 to 12)."""

    def certificate(self) -> str | None:
        """`x5t#S256` of the client certificate, None where there is none."""

    def nonce_keys(self) -> bool:
        """Whether nonces can be made and checked here."""

    def signature(self, policy: Policy) -> Callable[[], None] | None:
        """What verifies the proof's signature before `proof` is asked for; None where that would change nothing."""

    def proof(self, policy: Policy, token: AccessToken) -> Proof | Rejected:
        """The DPoP proof, by this policy's settings (rows 21 and 22). Verifies its signature if nobody has."""


class Considered(Enum):
    """What became of a candidate in the walk."""

    CHOSEN = "this rule governs the request"
    PASSED_ON = "its condition is false"
    CONDITION_ERROR = "its condition gave neither true nor false"
    CREDENTIALS = "its condition needs claims, and the credentials are not good under it"


class Watch(Protocol):
    """Who wants to know how a decision came about: `stepguard explain`."""

    def considered(self, entry: Entry, outcome: Considered) -> None:
        """One candidate of the walk."""

    def checked(self, name: str, reason: Reason | None) -> None:
        """One check by its name; `reason` is None where it passed."""


class Verified(NamedTuple):
    """Credentials that passed rows 6 to 23. `proof` is None under Bearer."""

    facts: Facts
    proof: Proof | None


class Granted(NamedTuple):
    """Everything passed but the replay check. `verified` is None where the rule is Anonymous."""

    entry: Entry
    verified: Verified | None


class Refused(NamedTuple):
    """The first thing that failed, under which candidate, and the credentials where they were good."""

    reason: Reason
    entry: Entry | None = None
    verified: Verified | None = None


class Unsigned(NamedTuple):
    """Everything that comes before the proof's signature passed. Verify it, then `conclude`."""

    entry: Entry
    facts: Facts
    verify: Callable[[], None]


Verdict = Granted | Refused | Need


class Case(NamedTuple):
    """One request to decide about at `now`, in Unix seconds. These are tuples because every request makes them."""

    place: Place
    presented: Presented
    evidence: Evidence
    now: int
    watch: Watch | None = None
    stop_at_signature: bool = False
    """Give `Unsigned` instead of verifying a signature, so that a batch can verify all of its signatures in a row."""


def decide(case: Case) -> Verdict | Unsigned:
    """Walk over the candidates to the first whose condition holds, and check what it asks for.

    A condition that mentions claims is evaluated once the credentials are good under its own candidate; bad ones end
    the walk there and never fall through to a weaker rule.
    """
    place = case.place
    for entry, captured in place.rules.candidates(place.path, place.request.method):
        condition = entry.rule.condition
        if condition is None:
            return _chosen(entry, case, None)
        verified = None
        if condition.mentions_claims:
            judged = _judge(entry, case)
            if isinstance(judged, Unsigned):
                judged = _prove(entry, judged.facts, case)
            if not isinstance(judged, Verified):
                _note(case, entry, Considered.CREDENTIALS)
                return judged
            verified = judged
        holds = condition.evaluate(_condition_input(place, entry, captured, verified))
        if holds is None:
            _note(case, entry, Considered.CONDITION_ERROR)
            return Refused(Reason.CONDITION_ERROR, entry, verified)
        if holds:
            return _chosen(entry, case, verified)
        _note(case, entry, Considered.PASSED_ON)
    return Refused(Reason.NO_RULE)


def conclude(unsigned: Unsigned, case: Case) -> Verdict:
    """The verdict on a case that stopped at a signature, which is verified now."""
    return _required(unsigned.entry, _prove(unsigned.entry, unsigned.facts, case), case)


def _chosen(entry: Entry, case: Case, known: Verified | None) -> Verdict | Unsigned:
    _note(case, entry, Considered.CHOSEN)
    match entry.rule.access:
        case Access.AUTHENTICATED:
            judged = known or _judge(entry, case)
            return judged if isinstance(judged, Unsigned) else _required(entry, judged, case)
        case Access.ANONYMOUS:
            return Granted(entry, None)
        case Access.DENIED:
            return Refused(Reason.ACCESS_DENIED, entry)


def _required(entry: Entry, judged: Verified | Refused | Need, case: Case) -> Verdict:
    """Rows 24 and 25, for credentials that are good."""
    if not isinstance(judged, Verified):
        return judged
    reason = _first_failure(REQUIREMENT_CHECKS, judged.facts, case)
    return Granted(entry, judged) if reason is None else Refused(reason, entry, judged)


def _judge(entry: Entry, case: Case) -> Verified | Refused | Need | Unsigned:
    """Rows 6 to 23 under one candidate."""
    presented, evidence, policy = case.presented, case.evidence, entry.rule.policy
    if (reason := _first_failure(CREDENTIAL_CHECKS, presented, case)) is not None:
        return Refused(reason, entry)
    token = evidence.token(policy)
    if not isinstance(token, AccessToken):
        return _rejected("token_is_good", token, entry=entry, case=case) if isinstance(token, Rejected) else token
    _passed("token_is_good", case)
    facts = Facts(
        rule=entry.rule,
        presented=presented,
        token=token,
        certificate=None if token.binding.x5t is None else evidence.certificate(),
        nonce_keys=policy.dpop.nonce_required and evidence.nonce_keys(),
    )
    if (reason := _first_failure(BINDING_CHECKS, facts, case)) is not None:
        return Refused(reason, entry)
    if presented.scheme is Scheme.BEARER:
        return Verified(facts, None)
    if case.stop_at_signature and (verify := evidence.signature(policy)) is not None:
        return Unsigned(entry, facts, verify)
    return _prove(entry, facts, case)


def _prove(entry: Entry, facts: Facts, case: Case) -> Verified | Refused:
    """Rows 21 to 23."""
    token = facts.token
    proof = case.evidence.proof(entry.rule.policy, token)
    if isinstance(proof, Rejected):
        return _rejected("proof_is_good", proof, entry=entry, case=case)
    _passed("proof_is_good", case)
    if (reason := _first_failure(PROOF_CHECKS, Proven(token, proof), case)) is not None:
        return Refused(reason, entry)
    return Verified(facts, proof)


def _first_failure(checks: tuple[Check[Subject], ...], subject: Subject, case: Case) -> Reason | None:
    now, watch = case.now, case.watch
    if watch is not None:
        return _first_failure_seen(checks, subject, now=now, watch=watch)
    for check in checks:
        if (reason := check(subject, now)) is not None:
            return reason
    return None


def _first_failure_seen(
    checks: tuple[Check[Subject], ...], subject: Subject, *, now: int, watch: Watch
) -> Reason | None:
    for check in checks:
        reason = check(subject, now)
        watch.checked(check.__name__, reason)
        if reason is not None:
            return reason
    return None


def _condition_input(
    place: Place, entry: Entry, captured: tuple[str, ...], verified: Verified | None
) -> ConditionInput:
    return ConditionInput(
        method=place.request.method,
        path=place.path,
        host=place.host,
        query=decode_query(place.query),
        headers=place.request.headers,
        params={name: value for name, value in zip(entry.captures, captured, strict=True) if name},
        claims=verified.facts.token.claims if verified else None,
    )


def _rejected(name: str, rejected: Rejected, *, entry: Entry, case: Case) -> Refused:
    if case.watch is not None:
        case.watch.checked(name, rejected.reason)
    return Refused(rejected.reason, entry)


def _passed(name: str, case: Case) -> None:
    if case.watch is not None:
        case.watch.checked(name, None)


def _note(case: Case, entry: Entry, outcome: Considered) -> None:
    if case.watch is not None:
        case.watch.considered(entry, outcome)
