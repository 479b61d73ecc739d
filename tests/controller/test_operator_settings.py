"""Flags of the operator: every mistake at once, and nothing half understood."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_operator.flags import Address
from stepguard_operator.settings import Settings, SubscriberAuth, help_text, parse

GOOD = ("--self-managed", "--subscriber", "stepguard-system/stepguard")


def settings(*flags: str, environment: dict[str, str] | None = None) -> Settings:
    """Of a command line without mistakes."""
    found = parse(flags, environment or {})
    assert isinstance(found, Settings), found
    return found


def problems(*flags: str, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    """Of a command line with mistakes."""
    found = parse(flags, environment or {})
    assert isinstance(found, tuple), found
    return found


def test_the_defaults_are_those_of_the_contract() -> None:
    found = settings(*GOOD)
    assert (found.listen, found.admin) == (Address("0.0.0.0", 9193), Address("0.0.0.0", 9194))
    assert (found.namespace, found.resync, found.max_matches_per_namespace, found.lease) == ("", 120, 5000, True)
    assert (found.subscribers.auth, found.subscribers.audience) == (SubscriberAuth.TOKEN, "stepguard")


def test_repeatable_flags_add_up() -> None:
    found = settings(*GOOD, "--subscriber=other/gateway")
    assert found.subscribers.accounts == ("stepguard-system/stepguard", "other/gateway")


def test_the_environment_says_what_the_command_line_does_not() -> None:
    environment = {"STEPGUARD_SELF_MANAGED": "true", "STEPGUARD_SUBSCRIBER": "a/b, c/d", "STEPGUARD_RESYNC": "5m"}
    found = settings("--resync", "90s", environment=environment)
    assert (found.self_managed, found.subscribers.accounts, found.resync) == (True, ("a/b", "c/d"), 90)


def test_every_mistake_is_reported_at_once() -> None:
    found = problems(
        *("--listen", "here", "--resync", "soon", "--service", "stepguard", "--max-matches-per-namespace", "0"),
        *("--nonsense", "--subscriber", "stepguard", "--lease", "two", "--log-level", "loud"),
    )
    named = [line.split(":")[0] for line in found]
    assert named == [
        *("--nonsense", "--listen", "--tls-cert", "--subscriber", "--lease", "--service"),
        *("--max-matches-per-namespace", "--resync", "--log-level"),
    ]


MISTAKES = {
    "a stream without TLS": (("--subscriber", "a/b"), "--tls-cert: the policy stream is always TLS"),
    "token without anybody who may subscribe": (("--self-managed",), "--subscriber: nobody may subscribe"),
    "mtls without names": ((*GOOD, "--subscriber-auth", "mtls"), "--subscriber-auth: mtls needs --tls-client-ca"),
    "unsafe-none on an address that others reach": (
        (*GOOD, "--subscriber-auth", "unsafe-none"),
        "--subscriber-auth: unsafe-none only on a loopback address",
    ),
    "a file of its own beside --self-managed": (
        (*GOOD, "--tls-cert", __file__),
        "--tls-cert: means nothing with --self-managed",
    ),
    "a file that is not there": ((*GOOD, "--host-grants", "/no/such"), "--host-grants: /no/such: no such file"),
    "a Lease that is not to be used": (
        (*GOOD, "--lease", "none", "--lease-namespace", "x"),
        "--lease-namespace: means nothing with --lease none",
    ),
    "a switch in the environment that is neither on nor off": (
        ("--subscriber", "a/b"),
        "--self-managed: 'perhaps' is neither true nor false",
    ),
    "a flag without its value": ((*GOOD, "--listen"), "--listen: a value is missing"),
    "a flag given twice": ((*GOOD, "--resync", "1m", "--resync", "2m"), "--resync: given twice"),
}


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named(case: tuple[tuple[str, ...], str]) -> None:
    flags, expected = case
    environment = {"STEPGUARD_SELF_MANAGED": "perhaps"} if "perhaps" in expected else {}
    assert any(line.startswith(expected) for line in problems(*flags, environment=environment))


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:9193", "localhost:9193"])
def test_unsafe_none_is_for_loopback_listeners(listen: str) -> None:
    found = settings("--self-managed", "--subscriber-auth", "unsafe-none", "--listen", listen)
    assert found.unsafe_switches == {"subscriber-auth": True}


def test_mtls_needs_a_ca_and_names(tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.touch()
    files = ("--tls-cert", str(file), "--tls-key", str(file), "--tls-client-ca", str(file))
    found = settings(*files, "--subscriber-auth", "mtls", "--subscriber-san", "spiffe://td/ns/x/sa/y")
    assert found.subscribers.sans == ("spiffe://td/ns/x/sa/y",)


def test_help_names_every_flag_with_its_default() -> None:
    assert "--max-matches-per-namespace N" in help_text()
    assert "Default: 120s." in help_text()


@given(st.lists(st.text(max_size=20), max_size=6))
def test_any_words_are_settings_or_mistakes(words: list[str]) -> None:
    assert isinstance(parse(words, {}), Settings | tuple)
