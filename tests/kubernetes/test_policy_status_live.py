"""The life of a policy on a real API server: applied, changed, contested, resolved, deleted, with its status."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.installation import NAMESPACE, Installation, Program, issuer, policy, with_path
from tests.support.processes import wait_until

GOOD = {"Accepted": "True Accepted", "ResolvedRefs": "True ResolvedRefs", "Programmed": "True Programmed"}


@pytest.fixture(scope="module")
def running(installed: Installation) -> Iterator[Program]:
    """A single operator with one replica, for all tests here."""
    started = installed.operator("--lease", "none", "--resync", "2s")
    installed.replica("pod-1", started)
    yield started
    installed.delete_all()


@pytest.fixture
def operator(installed: Installation, running: Program) -> Iterator[Program]:
    """The same, with the TokenIssuer `main` and nothing else."""
    installed.plane.apply(issuer())
    yield running
    installed.delete_objects()


@pytest.fixture
def system(installed: Installation) -> Installation:
    """Where it is installed."""
    return installed


def events(system: Installation, name: str, namespace: str = "default") -> list[str]:
    """Reasons of the Events about a policy, in order."""
    selector = f"involvedObject.name={name},involvedObject.kind=StepUpPolicy"
    arguments = ("--namespace", namespace, "--field-selector", selector, "--output", "json")
    items: list[dict[str, Any]] = json.loads(system.plane.kubectl("get", "events", *arguments).stdout)["items"]
    return [item["reason"] for item in sorted(items, key=lambda one: one["metadata"]["creationTimestamp"])]


def broken(document: dict[str, Any]) -> dict[str, Any]:
    """The same policy with a condition that does not compile."""
    changed: dict[str, Any] = json.loads(json.dumps(document))
    changed["spec"]["rules"][0]["when"] = "request.nothing == 1"
    return changed


def test_an_applied_policy_is_in_force_on_every_replica_and_says_so(system: Installation, operator: Program) -> None:
    system.plane.apply(policy("payments", "pay.example.com"))
    system.wait_for("payments", **GOOD, Ready="True Ready")
    status = system.status("stepuppolicy", "payments")
    assert (status["replicas"]["summary"], status["rules"], status["observedGeneration"]) == ("1/1", 1, 1)
    assert status["accepted"]["generation"] == 1


def test_kubectl_shows_and_waits(system: Installation, operator: Program) -> None:
    system.plane.apply(policy("payments", "pay.example.com"))
    system.plane.kubectl("wait", "--for=condition=Ready", "--timeout=20s", "stepuppolicy/payments")
    table = system.plane.kubectl("get", "sup").stdout.split("\n")
    assert table[0].split() == ["NAME", "MODE", "HOSTS", "ACCEPTED", "PROGRAMMED", "REPLICAS", "RULES", "AGE"]
    assert table[1].split()[:7] == ["payments", "Enforce", '["pay.example.com"]', "True", "True", "1/1", "1"]


def test_a_change_is_programmed_under_its_new_generation(system: Installation, operator: Program) -> None:
    first = policy("payments", "pay.example.com")
    system.plane.apply(first)
    system.wait_for("payments", **GOOD)
    system.plane.apply(with_path(first, "/v2"))
    wait_until(lambda: system.status("stepuppolicy", "payments")["observedGeneration"] == 2, "generation 2 is seen")
    system.wait_for("payments", **GOOD)
    assert system.status("stepuppolicy", "payments")["accepted"]["generation"] == 2


def test_a_bad_generation_leaves_the_last_good_one_serving(system: Installation, operator: Program) -> None:
    good = policy("payments", "pay.example.com")
    system.plane.apply(good)
    system.wait_for("payments", **GOOD)
    system.plane.apply(broken(good))
    system.wait_for("payments", Accepted="False InvalidExpression", Programmed="False NotAccepted")
    status = system.status("stepuppolicy", "payments")
    programmed = next(one for one in status["conditions"] if one["type"] == "Programmed")
    assert programmed["message"].startswith("generation 1 serves")
    assert status["accepted"]["generation"] == 1
    system.plane.apply(good)
    system.wait_for("payments", **GOOD)


def test_the_loser_of_a_conflict_serves_once_the_winner_is_gone(system: Installation, operator: Program) -> None:
    system.plane.apply(policy("older", "pay.example.com"))
    system.wait_for("older", **GOOD)
    wait_until(lambda: _second_of(system, "older") < _now(system), "another second, for another creationTimestamp")
    system.plane.apply(policy("younger", "pay.example.com"))
    system.wait_for("younger", Accepted="False Conflicted", Programmed="False NotAccepted", Ready="False Conflicted")
    accepted = next(c for c in system.status("stepuppolicy", "younger")["conditions"] if c["type"] == "Accepted")
    assert "default/older" in accepted["message"]
    system.plane.kubectl("delete", "stepuppolicy", "older")
    system.wait_for("younger", **GOOD, Ready="True Ready")


def test_an_unknown_issuer_keeps_a_policy_out_until_it_exists(system: Installation, operator: Program) -> None:
    system.plane.apply(policy("payments", "pay.example.com", issuerRefs=[{"name": "later"}]))
    system.wait_for("payments", ResolvedRefs="False IssuerNotFound", Programmed="False NotAccepted")
    system.plane.apply(issuer("later"))
    system.wait_for("payments", **GOOD)


def test_a_deleted_issuer_shows_in_an_accepted_policy_which_goes_on_without_it(
    system: Installation, operator: Program
) -> None:
    system.plane.apply(policy("payments", "pay.example.com"))
    system.wait_for("payments", **GOOD)
    system.plane.kubectl("delete", "tokenissuer", "main")
    expected = {"Accepted": "True Accepted", "ResolvedRefs": "False IssuerNotFound", "Programmed": "True Programmed"}
    system.wait_for("payments", **expected, Ready="False IssuerNotFound")


def test_an_issuer_says_how_many_keys_every_replica_has(system: Installation, operator: Program) -> None:
    def status() -> dict[str, Any]:
        return system.status("tokenissuer", "main")

    wait_until(lambda: status().get("keys") == 1, "keys: 1", report=lambda: json.dumps(status()))
    assert system.conditions("tokenissuer", "main") == {"Accepted": "True Accepted", "Ready": "True Ready"}
    assert status()["accepted"]["generation"] == 1


def test_what_lies_in_two_namespaces_is_settled_by_age(system: Installation, operator: Program) -> None:
    system.plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    system.plane.apply(policy("ours", "*.example.com"))
    system.wait_for("ours", **GOOD)
    wait_until(lambda: _second_of(system, "ours") < _now(system), "another second, for another creationTimestamp")
    system.plane.apply(policy("theirs", "pay.example.com", namespace="shop"))
    system.wait_for("theirs", namespace="shop", Accepted="False HostConflict", Programmed="False NotAccepted")


def test_nothing_is_written_while_nothing_changes(system: Installation, operator: Program) -> None:
    system.plane.apply(policy("payments", "pay.example.com"))
    system.wait_for("payments", **GOOD)
    version = system.plane.get("stepuppolicy", "payments")["metadata"]["resourceVersion"]
    lists = operator.metric("stepguard_operator_lists_total", result="complete")
    wait_until(
        lambda: operator.metric("stepguard_operator_lists_total", result="complete") >= lists + 3, "three more lists"
    )
    assert system.plane.get("stepuppolicy", "payments")["metadata"]["resourceVersion"] == version


def test_another_policys_change_touches_no_status(system: Installation, operator: Program) -> None:
    first, second = policy("first", "a.example.com"), policy("second", "b.example.com")
    system.plane.apply(first, second)
    for name in ("first", "second"):
        system.wait_for(name, **GOOD)
    version = system.plane.get("stepuppolicy", "first")["metadata"]["resourceVersion"]
    system.plane.apply(with_path(second, "/v2"))
    wait_until(lambda: system.status("stepuppolicy", "second")["observedGeneration"] == 2, "generation 2 is seen")
    system.wait_for("second", **GOOD)
    assert system.plane.get("stepuppolicy", "first")["metadata"]["resourceVersion"] == version


def test_the_operator_leaves_nothing_on_objects_but_their_status(system: Installation, operator: Program) -> None:
    system.plane.apply(policy("payments", "pay.example.com"))
    system.wait_for("payments", **GOOD)
    shown = system.plane.kubectl("get", "sup", "payments", "--output", "json", "--show-managed-fields").stdout
    metadata = json.loads(shown)["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}
    managers = {one["manager"]: one.get("subresource") for one in metadata["managedFields"]}
    assert managers["stepguard-operator"] == "status"


def test_an_event_tells_of_each_change_of_state_once(system: Installation, operator: Program) -> None:
    good = policy("payments", "pay.example.com")
    system.plane.apply(good)
    system.wait_for("payments", Ready="True Ready")
    wait_until(lambda: events(system, "payments") == ["Ready"], "the first Event")
    system.plane.apply(broken(good))
    system.wait_for("payments", Ready="False InvalidExpression")
    wait_until(lambda: sorted(events(system, "payments")) == ["InvalidExpression", "Ready"], "the second Event")
    lists = operator.metric("stepguard_operator_lists_total", result="complete")
    wait_until(
        lambda: operator.metric("stepguard_operator_lists_total", result="complete") > lists + 1, "it looked again"
    )
    assert sorted(events(system, "payments")) == ["InvalidExpression", "Ready"]


def test_an_object_that_was_deleted_and_created_again_gets_a_status_of_its_own(
    system: Installation, operator: Program
) -> None:
    system.plane.apply(policy("payments", "pay.example.com"))
    system.wait_for("payments", **GOOD)
    system.plane.kubectl("delete", "stepuppolicy", "payments")
    system.plane.apply(policy("payments", "shop.example.com"))
    system.wait_for("payments", **GOOD)
    assert system.status("stepuppolicy", "payments")["accepted"]["spec"]["hosts"] == ["shop.example.com"]


def test_the_number_of_policies_is_a_metric(system: Installation, operator: Program) -> None:
    system.plane.apply(policy("good", "a.example.com"), broken(policy("bad", "b.example.com")))
    system.wait_for("good", **GOOD)
    system.wait_for("bad", Accepted="False InvalidExpression")
    assert operator.metric("stepguard_policies", accepted="true") == 1
    assert operator.metric("stepguard_policies", accepted="false") == 1


def _second_of(system: Installation, name: str) -> str:
    created: str = system.plane.get("stepuppolicy", name)["metadata"]["creationTimestamp"]
    return created


def _now(system: Installation) -> str:
    """The API server's clock, in whole seconds: creationTimestamp of something that is created now."""
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "clock-", "namespace": NAMESPACE}}
    shown = system.plane.kubectl("create", "-f", "-", "--output", "json", given=json.dumps(probe)).stdout
    created: str = json.loads(shown)["metadata"]["creationTimestamp"]
    return created
