"""A folder of policies: what counts as a change, what a bad change does, and how soon a good one is in force."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepguard_service.core.model import Access
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.stores.keys import KeyStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.policy_directory import PolicyDirectory
from stepguard_service.transport.rules_loader import RulesLoader

from tests.support.bank import HOST, Bank, issuer_document, policy_document, rule
from tests.support.processes import wait_until
from tests.support.readings import next_reading


class Watched:
    """A folder that is followed."""

    def __init__(self, folder: Path) -> None:
        self.rules = RuleStore()
        self.keys = KeyStore(parse_jwk_set)
        self.directory = PolicyDirectory(folder, RulesLoader(self.rules, self.keys, on_applied=lambda: None))

    def accesses(self, host: str = HOST) -> dict[str, Access]:
        """The access of each rule of a host; nothing where it has no rules."""
        found = self.rules.current.find(host) if self.rules.current else None
        return {entry.rule.name: entry.rule.access for entry in found.entries} if found else {}

    def has(self, *names: str) -> bool:
        """Whether exactly these rules are in force."""
        return set(self.accesses()) == set(names)

    def issuers(self) -> list[str]:
        """Who is trusted."""
        return [issuer.name for issuer in self.rules.current.issuers] if self.rules.current else []

    def wait_for_reload(self, before: float) -> None:
        """Until the folder was read again."""
        wait_until(lambda: self.directory.last_reload and self.directory.last_reload.at > before, "a reload")

    @property
    def read_at(self) -> float:
        """When the folder was read last."""
        assert self.directory.last_reload is not None
        return self.directory.last_reload.at

    @property
    def errors(self) -> tuple[str, ...]:
        """What was wrong then."""
        assert self.directory.last_reload is not None
        return self.directory.last_reload.errors


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """A folder with a TokenIssuer and a policy."""
    return Bank(tmp_path / "policies")


@pytest.fixture
def watched(bank: Bank) -> Iterator[Watched]:
    """The bank's folder, in force and followed."""
    result = Watched(bank.folder)
    assert result.directory.load() == []
    result.directory.start()
    yield result
    result.directory.stop()


def test_a_folder_comes_into_force(watched: Watched) -> None:
    """Every *.yaml of it."""
    assert watched.has("accounts", "transfers", "public")
    assert watched.issuers() == ["main"]


def test_an_edit_is_in_force_soon(bank: Bank, watched: Watched) -> None:
    """Without a restart."""
    bank.write("policy.yaml", policy_document(rule("/new")))
    wait_until(lambda: watched.has("new"), "the new rule is in force", timeout=10)


def test_an_edit_in_place_is_a_change(bank: Bank, watched: Watched) -> None:
    """Some editors write into the file itself."""
    path = bank.folder / "policy.yaml"
    path.write_text(path.read_text().replace("name: accounts", "name: renamed"))
    wait_until(lambda: watched.has("renamed", "transfers", "public"), "the renamed rule is in force")


def test_an_edit_that_keeps_size_and_time_is_a_change(bank: Bank, watched: Watched) -> None:
    """Another file moved over the old one with its times kept, as backups and rsync do it."""
    path = bank.folder / "policy.yaml"
    status = path.stat()
    bank.write("policy.yaml", path.read_text().replace("name: accounts", "name: accountz"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    wait_until(lambda: watched.has("accountz", "transfers", "public"), "the renamed rule is in force")


def test_a_new_file_and_a_removed_one_are_changes(bank: Bank, watched: Watched) -> None:
    """Files that do not end in .yaml are none of ours."""
    bank.write("other.yaml", policy_document(name="other", host="other.example.com"))
    (bank.folder / "notes.txt").write_text("not YAML: [")
    wait_until(lambda: watched.accesses("other.example.com"), "the new policy is in force")
    (bank.folder / "other.yaml").unlink()
    wait_until(lambda: not watched.accesses("other.example.com"), "the policy is gone")


def test_a_configmap_swap_is_one_change(tmp_path: Path) -> None:
    """A mounted ConfigMap: files are links into ..data, which is a link that is replaced."""
    first, second = Bank(tmp_path / "..1"), Bank(tmp_path / "..2")
    second.write("issuer.yaml", issuer_document(first.signer))
    second.write("policy.yaml", policy_document(rule("/swapped")))
    (tmp_path / "..data").symlink_to("..1")
    for name in ("issuer.yaml", "policy.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    watched = Watched(tmp_path)
    assert watched.directory.load() == []
    watched.directory.start()
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    wait_until(lambda: watched.has("swapped"), "the other version is in force")
    watched.directory.stop()


def test_a_bad_edit_keeps_the_last_good_set(bank: Bank, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """All of it; the errors are logged and shown with file and line, and the next good edit counts."""
    before = watched.read_at
    with caplog.at_level(logging.ERROR):
        bank.write("policy.yaml", policy_document(rule("/bad", when="nosuch == 1")))
        watched.wait_for_reload(before)
        wait_until(lambda: caplog.records, "it is logged")
    assert watched.has("accounts", "transfers", "public")
    (error,) = watched.errors
    assert "policy.yaml:" in error
    assert error in caplog.text
    bank.write("policy.yaml", policy_document(rule("/good")))
    wait_until(lambda: watched.has("good"), "the good rule is in force")
    assert watched.errors == ()


def test_an_issuer_that_is_removed_is_trusted_no_more_at_once(bank: Bank, watched: Watched) -> None:
    """On a reload this is a warning; the policy that names it serves and refuses its tokens."""
    (bank.folder / "issuer.yaml").unlink()
    wait_until(lambda: watched.issuers() == [], "nobody is trusted")
    assert watched.errors == ()
    assert watched.has("accounts", "transfers", "public")


def test_an_issuer_that_is_removed_is_trusted_no_more_beside_errors(bank: Bank, watched: Watched) -> None:
    """The last good set stays, but never keeps a trust anchor alive."""
    before = watched.read_at
    bank.write("policy.yaml", policy_document(rule("/bad", when="nosuch == 1")))
    watched.wait_for_reload(before)
    assert watched.issuers() == ["main"]
    (bank.folder / "issuer.yaml").unlink()
    wait_until(lambda: watched.issuers() == [], "nobody is trusted")
    assert watched.has("accounts", "transfers", "public")


def test_an_issuer_whose_document_is_bad_stays_as_it_was(bank: Bank, watched: Watched) -> None:
    """It is still in a readable document: nobody took it away."""
    before = watched.read_at
    broken = issuer_document(bank.signer)
    broken["spec"]["algorithms"] = ["none"]
    bank.write("issuer.yaml", broken)
    watched.wait_for_reload(before)
    assert watched.errors
    assert watched.issuers() == ["main"]


def test_a_reference_without_its_issuer_is_an_error_at_the_start(bank: Bank) -> None:
    """With file and line."""
    (bank.folder / "issuer.yaml").unlink()
    (error,) = Watched(bank.folder).directory.load()
    assert "policy.yaml:" in error
    assert "main" in error


def test_every_error_is_told_at_the_start(bank: Bank) -> None:
    """One line each, of every file; nothing comes into force."""
    bank.write("a.yaml", policy_document(rule("/a", when="nosuch == 1"), name="a", host="a.example"))
    bank.write("b.yaml", "kind: [")
    bank.write("c.yaml", policy_document(rule("c"), name="c", host="c.example"))
    watched = Watched(bank.folder)
    errors = watched.directory.load()
    assert all(any(f"/{name}.yaml:" in error for error in errors) for name in "abc")
    assert all("\n" not in error for error in errors)
    assert watched.rules.current is None


def test_who_loses_a_conflict_is_warned_and_the_rest_serves(bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    """A loser is no error."""
    bank.write("second.yaml", policy_document(rule("/accounts"), name="second"))
    watched = Watched(bank.folder)
    assert watched.directory.load() == []
    assert "second.yaml:" in caplog.text
    assert watched.has("accounts", "transfers", "public")


def test_a_folder_without_policies_is_an_error(tmp_path: Path) -> None:
    """Most likely it is the wrong one."""
    (error,) = Watched(tmp_path).directory.load()
    assert error == f"{tmp_path}: has no file named *.yaml"


def test_a_folder_that_vanishes_is_a_bad_edit(bank: Bank, watched: Watched) -> None:
    """The last good policies stay; who was trusted is in no readable document any more."""
    bank.folder.rename(bank.folder.with_name("elsewhere"))
    wait_until(lambda: watched.issuers() == [], "nobody is trusted")
    assert watched.has("accounts", "transfers", "public")


@pytest.mark.slow
def test_a_change_that_could_not_be_read_is_read_again(
    bank: Bank, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever kept it from being read."""
    bank.write("policy.yaml", policy_document(rule("/only")))
    os.kill(next_reading(), signal.SIGKILL)
    wait_until(lambda: "what is in force stays" in caplog.text, "it is said")
    assert watched.has("accounts", "transfers", "public")
    wait_until(lambda: watched.has("only"), "the change is in force")
