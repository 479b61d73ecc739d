"""Flags and environment: every mistake at once, in words that say what to do."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.flags import Address
from stepguard_service.proof.certificate import CertificateSource
from stepguard_service.settings import (
    FLAGS,
    DecisionLog,
    OnOutage,
    OperatorSettings,
    Settings,
    TransportKind,
    UnmatchedHosts,
    help_text,
    parse,
)


def good(*flags: str, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of a line that is right."""
    settings = parse(["--policies", "/", *flags], environment or {})
    assert isinstance(settings, Settings), settings
    return settings


def bad(*flags: str, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What is said about a line that is wrong."""
    problems = parse(flags, environment or {})
    assert not isinstance(problems, Settings)
    return problems


def test_the_defaults_are_those_of_the_documentation() -> None:
    """docs/interfaces.md, row by row."""
    settings = good()
    assert (settings.listen, settings.admin) == (Address("0.0.0.0", 9191), Address("0.0.0.0", 9192))
    assert (settings.replay.redis, settings.replay.capacity, settings.replay.timeout) == (None, 500_000, 0.05)
    assert (settings.replay.on_outage, settings.unmatched_hosts) == (OnOutage.DENY, UnmatchedHosts.DENY)
    assert (settings.client_certificate, settings.transport) == (CertificateSource.PEER, TransportKind.FAST)
    assert (settings.drain_seconds, settings.log.decisions) == (5, DecisionLog.DENIALS)
    assert not any(settings.unsafe_switches.values())


def test_a_flag_may_come_from_the_environment() -> None:
    """Under its name in capitals."""
    settings = good(environment={"STEPGUARD_DRAIN_SECONDS": "7", "STEPGUARD_METRICS_RULE_LABEL": "true"})
    assert (settings.drain_seconds, settings.metrics_rule_label) == (7, True)


def test_a_flag_wins_over_the_environment() -> None:
    """What is typed is meant."""
    assert good("--drain-seconds=1", environment={"STEPGUARD_DRAIN_SECONDS": "7"}).drain_seconds == 1


def test_the_last_of_a_flag_given_twice_counts() -> None:
    """So that a wrapper's flags can be changed by adding one."""
    assert good("--drain-seconds=1", "--drain-seconds", "2").drain_seconds == 2


def test_variables_that_kubernetes_sets_for_a_service_of_our_name_do_no_harm() -> None:
    """So does an empty one."""
    kubernetes = {"STEPGUARD_PORT": "tcp://10.0.0.1:9191", "STEPGUARD_SERVICE_HOST": "10.0.0.1"}
    assert good(environment={**kubernetes, "STEPGUARD_LISTEN": ""}) == good()


def test_addresses_of_operators_are_a_list() -> None:
    """All of a headless Service's, or several."""
    settings = parse(["--operator", "a:9193,b:9193", "--node-name", "pod-1"], {})
    assert isinstance(settings, Settings)
    assert isinstance(settings.source, OperatorSettings)
    assert (settings.source.addresses, settings.node_name) == (("a:9193", "b:9193"), "pod-1")


def test_an_ipv6_address_stands_in_brackets() -> None:
    """As in a URL, and is shown like that."""
    listen = good("--listen", "[::1]:0").listen
    assert (listen, str(listen)) == (Address("::1", 0), "[::1]:0")


def test_dangerous_switches_are_known_by_name() -> None:
    """For the log and the gauge."""
    switches = good("--unmatched-hosts", "unsafe-allow", "--replay-on-outage", "unsafe-allow").unsafe_switches
    assert switches == {"unmatched-hosts": True, "replay-on-outage": True}


def test_every_mistake_is_said_at_once() -> None:
    """One line each, beginning with the flag."""
    problems = bad("--policies", "/nowhere", "--listen", "9191", "--drain-seconds", "soon", "--nope", "--log-level")
    assert [problem.split(":")[0] for problem in problems] == [
        "--nope",
        "--log-level",
        "--listen",
        "--policies",
        "--drain-seconds",
    ]


MISTAKES = {
    "no source of policies": ([], "--policies: give either"),
    "two sources of policies": (["--policies", "/", "--operator", "a:1"], "--policies: give either"),
    "a folder that is not there": (["--policies", "/nowhere"], "--policies: /nowhere: no such folder"),
    "a folder that is a file": (["--policies", "/etc/passwd"], "--policies: /etc/passwd: not a folder"),
    "a port that is none": (["--policies", "/", "--listen", "h:99999"], "--listen: 'h:99999' is not host:port"),
    "a port of foreign digits": (["--policies", "/", "--listen", "h:٣"], "--listen: "),
    "an IPv6 address without brackets": (["--policies", "/", "--listen", "::1:80"], "--listen: "),
    "no host": (["--policies", "/", "--listen", ":9191"], "--listen: "),
    "a word that is no choice": (
        ["--policies", "/", "--transport", "slow"],
        "--transport: 'slow' is none of fast, aio",
    ),
    "a number out of range": (["--policies", "/", "--replay-capacity", "0"], "--replay-capacity: '0' is not"),
    "a duration without a unit": (["--policies", "/", "--replay-timeout", "50"], "--replay-timeout: '50' is no"),
    "a duration of nothing": (["--policies", "/", "--replay-timeout", "0ms"], "--replay-timeout: '0ms' is no"),
    "a store that nobody knows": (["--policies", "/", "--replay-store", "etcd://a"], "--replay-store: neither"),
    "a certificate without its key": (["--policies", "/", "--tls-cert", "/etc/passwd"], "--tls-key: missing"),
    "client CAs without TLS": (["--policies", "/", "--tls-client-ca", "/etc/passwd"], "--tls-client-ca: means nothing"),
    "an operator's CA without an operator": (
        ["--policies", "/", "--operator-ca", "/etc/passwd"],
        "--operator-ca: means nothing without --operator",
    ),
    "a password for the memory store": (
        ["--policies", "/", "--replay-password-file", "/etc/passwd"],
        "--replay-password-file: means nothing with",
    ),
    "a flag in place of a value": (["--policies", "--listen", "a:1"], "--policies: a value is missing"),
    "a word that is no flag": (["--policies", "/", "more"], "more: no such flag"),
    "a path that no system has": (["--policies", "/\0\n"], "--policies: '/\\x00\\n': no such folder"),
    "half a flag": (["--policies", "/", "--drain", "5"], "--drain: no such flag"),
}


@pytest.mark.parametrize(("flags", "problem"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_flag(flags: list[str], problem: str) -> None:
    """And with what would be right."""
    assert any(line.startswith(problem) for line in bad(*flags)), bad(*flags)


def test_a_bad_url_is_not_repeated() -> None:
    """It may have a password in it."""
    assert "secret" not in "".join(bad("--policies", "/", "--replay-store", "mongodb://:secret@host"))


def test_help_names_every_flag_and_its_variable(tmp_path: Path) -> None:
    """With defaults."""
    text = help_text()
    assert all(f"--{flag.name}" in text and flag.help.split()[0] in text for flag in FLAGS)
    assert "STEPGUARD_LISTEN" in text


@given(st.lists(st.one_of(st.sampled_from([f"--{flag.name}" for flag in FLAGS]), st.text(max_size=12))))
def test_any_line_gives_settings_or_problems(words: list[str]) -> None:
    """Any words give Settings or at least one line of problems, never an exception."""
    result = parse(words, {})
    assert isinstance(result, Settings) or (result and all("\n" not in line for line in result))
