"""Who watches a decision hears of every candidate and every check, in the order of the rows, up to the failing one."""

from dataclasses import dataclass, field

from stepguard_service.core.checks import BINDING_CHECKS, CREDENTIAL_CHECKS, PROOF_CHECKS, REQUIREMENT_CHECKS
from stepguard_service.core.decision import Considered
from stepguard_service.core.model import Rule
from stepguard_service.core.path_index import Entry
from stepguard_service.core.reasons import Reason

from tests.support.deciding import Deciding, access_token, with_bearer, with_proof
from tests.support.policies import When, candidate, host_rules, request, rule, rule_set


@dataclass
class Notes:
    """Keeps what it hears."""

    walk: list[tuple[str, Considered]] = field(default_factory=list)
    checks: list[tuple[str, Reason | None]] = field(default_factory=list)

    def considered(self, entry: Entry, outcome: Considered) -> None:
        """One candidate."""
        self.walk.append((entry.rule.name, outcome))

    def checked(self, name: str, reason: Reason | None) -> None:
        """One check."""
        self.checks.append((name, reason))


def _watched(*rules_: Rule, notes: Notes) -> Deciding:
    candidates = [candidate(one) for one in rules_]
    return Deciding(rule_set(host_rules(*candidates)), watch=notes)


def test_every_check_of_a_good_request_is_heard_in_order() -> None:
    """The whole table, with the verifications where they stand in it."""
    notes = Notes()
    _watched(rule(), notes=notes).answer(with_proof(access_token()))
    names = [
        *(check.__name__ for check in CREDENTIAL_CHECKS),
        "token_is_good",
        *(check.__name__ for check in BINDING_CHECKS),
        "proof_is_good",
        *(check.__name__ for check in PROOF_CHECKS),
        *(check.__name__ for check in REQUIREMENT_CHECKS),
    ]
    assert notes.checks == [(name, None) for name in names]
    assert notes.walk == [("everything", Considered.CHOSEN)]


def test_the_failing_check_is_the_last_one_heard() -> None:
    """Nothing after it was done."""
    for asked, last in (
        (request(), ("has_credentials", Reason.NO_CREDENTIALS)),
        (with_bearer("x"), ("token_is_good", Reason.TOKEN_MALFORMED)),
        (with_bearer(access_token()), ("bound_token_comes_as_dpop", Reason.BOUND_TOKEN_AS_BEARER)),
        (with_proof(access_token(), proof={"token": "x"}), ("proof_is_good", Reason.PROOF_TOKEN_HASH)),
        (with_proof(access_token(cnf={"jkt": "x"})), ("key_is_the_bound_one", Reason.PROOF_KEY_MISMATCH)),
    ):
        notes = Notes()
        _watched(rule(), notes=notes).answer(asked)
        assert notes.checks[-1] == last


def test_what_became_of_each_candidate_is_heard() -> None:
    """In the order of the walk."""
    notes = Notes()
    rules = (
        rule("false", when=When(lambda _: False)),
        rule("failing", when=When(lambda _: None)),
        rule("never reached"),
    )
    _watched(*rules, notes=notes).answer(request())
    assert notes.walk == [("false", Considered.PASSED_ON), ("failing", Considered.CONDITION_ERROR)]


def test_a_candidate_that_needs_credentials_is_heard_of() -> None:
    """Though its condition was not evaluated."""
    notes = Notes()
    _watched(rule("first", when=When(lambda _: True, mentions_claims=True)), notes=notes).answer(request())
    assert notes.walk == [("first", Considered.CREDENTIALS)]
