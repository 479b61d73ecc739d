"""Counting and logging of decisions: closed sets of labels, and no secrets."""

import logging

import pytest
from prometheus_client import generate_latest
from stepguard_service.core.model import Allow, Answer, Mode, Outcome, Refuse, Request
from stepguard_service.core.reasons import Reason
from stepguard_service.settings import DecisionLog
from stepguard_service.transport.log import JsonFormatter
from stepguard_service.transport.telemetry import Telemetry

REQUEST = Request("7", "GET", "api.example.com", "/a?access_token=secret-in-query", {"authorization": "DPoP secret"})
ALLOW = Answer(Allow(), Outcome.ALLOW, Reason.OK, "bank/payments", "accounts", metadata={"sub": "alice", "jkt": "KEY"})
DENY = Answer(Refuse(403, ()), Outcome.DENY, Reason.NO_RULE, "bank/payments")
AUDITED = Answer(Allow(), Outcome.CHALLENGE, Reason.NO_CREDENTIALS, "bank/payments", "a", Mode.AUDIT, audited=True)


def counted(telemetry: Telemetry) -> list[str]:
    """The decision counters."""
    text = generate_latest(telemetry.registry).decode()
    return [line for line in text.splitlines() if line.startswith("stepguard_decisions_total")]


def test_decisions_are_counted_by_policy_mode_outcome_and_reason() -> None:
    """The would-be outcome in Audit mode."""
    telemetry = Telemetry(DecisionLog.NONE, rule_label=False)
    for answer in (ALLOW, ALLOW, AUDITED):
        telemetry.answered(REQUEST, answer, 0.001)
    policy = 'policy="bank/payments"'
    assert counted(telemetry) == [
        f'stepguard_decisions_total{{mode="Enforce",outcome="allow",{policy},reason="ok"}} 2.0',
        f'stepguard_decisions_total{{mode="Audit",outcome="challenge",{policy},reason="no_credentials"}} 1.0',
    ]


def test_the_rule_is_a_label_where_asked_for() -> None:
    """--metrics-rule-label."""
    telemetry = Telemetry(DecisionLog.NONE, rule_label=True)
    telemetry.answered(REQUEST, ALLOW, 0.001)
    assert 'rule="accounts"' in counted(telemetry)[0]


LOGGED = {
    DecisionLog.NONE: [],
    DecisionLog.DENIALS: ["deny", "challenge"],
    DecisionLog.ALL: ["allow", "deny", "challenge"],
}


@pytest.mark.parametrize(("which", "outcomes"), LOGGED.items(), ids=[which.value for which in LOGGED])
def test_the_decision_log_has_what_was_asked_for(
    caplog: pytest.LogCaptureFixture, which: DecisionLog, outcomes: list[str]
) -> None:
    """Audited denials are denials."""
    telemetry = Telemetry(which, rule_label=False)
    with caplog.at_level(logging.INFO):
        for answer in (ALLOW, DENY, AUDITED):
            telemetry.answered(REQUEST, answer, 0.001)
    assert [fields(record)["outcome"] for record in caplog.records] == outcomes


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What a line says beside its message."""
    result: dict[str, object] = record.__dict__["stepguard_fields"]
    return result


def test_a_logged_decision_says_who_and_what_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """The path without its query, the key as a short hash, no credentials."""
    telemetry = Telemetry(DecisionLog.ALL, rule_label=False)
    with caplog.at_level(logging.INFO):
        telemetry.answered(REQUEST, ALLOW, 0.001)
    (record,) = caplog.records
    said = fields(record)
    expected = {"policy": "bank/payments", "rule": "accounts", "reason": "ok", "sub": "alice", "path": "/a", "id": "7"}
    assert expected.items() <= said.items()
    line = JsonFormatter().format(record)
    assert "secret" not in line
    assert "KEY" not in line
    assert said["jkt_hash"]


def test_a_fault_is_counted_and_logged_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    """Without its text, which may quote a client."""
    telemetry = Telemetry(DecisionLog.NONE, rule_label=False)
    try:
        int("eyJhbGciOi")
    except ValueError as error:
        telemetry.fault(error)
    assert "stepguard_faults_total 1.0" in generate_latest(telemetry.registry).decode()
    line = JsonFormatter().format(caplog.records[0])
    assert "test_telemetry.py" in line
    assert "invalid literal" not in line
