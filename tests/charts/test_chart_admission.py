"""The ValidatingAdmissionPolicy: what `kubectl apply` is told at once, with and without host grants."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.chart import Values, put
from tests.support.installation import policy
from tests.support.kubernetes import ControlPlane
from tests.support.processes import wait_until

GRANTS = [
    {"hosts": ["*.bank.example.com", "API.example.com"], "namespaces": ["bank"], "allow": ["Audit"]},
    {"hosts": ["*.sandbox.example.com"], "namespaces": ["*"], "allow": ["Audit", "SkipReplay"]},
    {"hosts": ["pay.bank.example.com"], "namespaces": ["payments"]},
    {"hosts": ["*"], "namespaces": ["platform"]},
]
UNGRANTED = "no host grant gives namespace {} the host {}; ask the platform team for one"
AUDIT: Values = {"mode": "Audit"}
SKIP: Values = {"dpop": {"replay": "Skip"}}
ACCEPTED = ""

WITH_GRANTS: dict[str, tuple[str, list[str], Values, str]] = {
    "a host inside the wildcard": ("bank", ["pay.bank.example.com"], {}, ACCEPTED),
    "several labels inside it": ("bank", ["a.b.bank.example.com"], {}, ACCEPTED),
    "the wildcard itself": ("bank", ["*.bank.example.com"], {}, ACCEPTED),
    "a narrower wildcard": ("bank", ["*.eu.bank.example.com"], {}, ACCEPTED),
    "a host whose grant has another case": ("bank", ["api.example.com"], {}, ACCEPTED),
    "a host in another case": ("bank", ["PAY.Bank.example.com"], {}, ACCEPTED),
    "the bare suffix": ("bank", ["bank.example.com"], {}, UNGRANTED.format("bank", "bank.example.com")),
    "a name that ends alike": ("bank", ["evilbank.example.com"], {}, UNGRANTED.format("bank", "evilbank.example.com")),
    "a wider wildcard": ("bank", ["*.example.com"], {}, UNGRANTED.format("bank", "*.example.com")),
    "any host": ("bank", ["*"], {}, UNGRANTED.format("bank", "*")),
    "one host of two": (
        "bank",
        ["pay.bank.example.com", "shop.example.com"],
        {},
        UNGRANTED.format("bank", "shop.example.com"),
    ),
    "a host of another namespace": (
        "payments",
        ["shop.bank.example.com"],
        {},
        UNGRANTED.format("payments", "shop.bank.example.com"),
    ),
    "a namespace without any grant": ("shop", ["shop.example.com"], {}, UNGRANTED.format("shop", "shop.example.com")),
    "what every namespace may": ("shop", ["shop.sandbox.example.com"], {**AUDIT, **SKIP}, ACCEPTED),
    "any host where it is granted": ("platform", ["*"], {}, ACCEPTED),
    "Audit where it is allowed": ("bank", ["pay.bank.example.com"], AUDIT, ACCEPTED),
    "Audit where it is not": ("payments", ["pay.bank.example.com"], AUDIT, "allow: [Audit]"),
    "Audit where one host of two allows it": (
        "platform",
        ["x.sandbox.example.com", "x.example.com"],
        AUDIT,
        "allow: [Audit]",
    ),
    "SkipReplay where only Audit is allowed": ("bank", ["pay.bank.example.com"], SKIP, "allow: [SkipReplay]"),
    "replay checks as ever": ("bank", ["pay.bank.example.com"], {"dpop": {"replay": "Enforce"}}, ACCEPTED),
}
WITHOUT_GRANTS: dict[str, tuple[str, list[str], Values, str]] = {
    "any exact host": ("shop", ["anything.example.com"], {}, ACCEPTED),
    "a wildcard": ("shop", ["*.example.com"], {}, ACCEPTED),
    "Audit and SkipReplay": ("shop", ["anything.example.com"], {**AUDIT, **SKIP}, ACCEPTED),
    "the host *": ("shop", ["*"], {}, "the host * needs a host grant that names it; ask the platform team for one"),
    "the host * beside another": ("shop", ["a.example.com", "*"], {}, "the host * needs a host grant"),
}


def refusal(plane: ControlPlane, document: dict[str, Any]) -> str:
    """What `kubectl apply` says, nothing where it accepts."""
    done = plane.kubectl("apply", "--dry-run=server", "-f", "-", given=json.dumps(document), check=False)
    assert (done.returncode == 0) == (not done.stderr), done.stderr
    return done.stderr


def with_hosts(namespace: str, hosts: list[str], spec: Values) -> dict[str, Any]:
    """A StepUpPolicy of these hosts."""
    return policy("some", hosts[0], namespace=namespace, **{**spec, "hosts": hosts})


def put_and_wait(plane: ControlPlane, values: Values, document: dict[str, Any], said: str) -> None:
    """Put the release there and wait until the document is judged so: policies take a moment to become active."""
    for name in ("bank", "payments", "shop", "platform"):
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    put(plane, values)

    def active() -> bool:
        message = refusal(plane, document)
        return said in message and bool(said) == bool(message)

    wait_until(active, "the new admission policy is active", timeout=30)


@pytest.fixture(scope="module")
def granted(plane: ControlPlane) -> Iterator[ControlPlane]:
    """The chart with host grants."""
    put_and_wait(plane, {"hostGrants": GRANTS}, with_hosts("shop", ["no.example.org"], {}), "no host grant")
    yield plane
    plane.kubectl("delete", "stepuppolicies", "--all", "--all-namespaces")


@pytest.mark.parametrize(("namespace", "hosts", "spec", "said"), WITH_GRANTS.values(), ids=WITH_GRANTS)
def test_with_grants(granted: ControlPlane, namespace: str, hosts: list[str], spec: Values, said: str) -> None:
    """The sentence names the namespace and the host, or what the grant would have to allow."""
    message = refusal(granted, with_hosts(namespace, hosts, spec))
    assert said in message
    assert bool(said) == bool(message)


def test_without_its_grant_a_policy_can_still_be_labelled_and_deleted_but_not_changed(granted: ControlPlane) -> None:
    """Its spec is judged only when that is new: a finalizer must come off, whatever was granted meanwhile."""
    granted.apply(with_hosts("bank", ["pay.bank.example.com"], {}))
    others = [grant for grant in GRANTS if "bank" not in grant["namespaces"]]
    put_and_wait(granted, {"hostGrants": others}, with_hosts("bank", ["x.bank.example.com"], {}), "no host grant")
    item = ("stepuppolicy", "some", "--namespace", "bank")

    granted.kubectl("label", *item, "team=bank")
    changed = granted.kubectl("patch", *item, "--type=merge", "-p", '{"spec": {"mode": "Audit"}}', check=False)
    assert UNGRANTED.format("bank", "pay.bank.example.com") in changed.stderr
    granted.kubectl("patch", *item, "--type=merge", "-p", '{"metadata": {"finalizers": ["example.com/wait"]}}')
    granted.kubectl("delete", *item, "--wait=false")
    granted.kubectl("patch", *item, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    granted.kubectl("wait", "--for=delete", "--timeout=10s", *item)


def test_a_thousand_grants_do_not_exhaust_the_budget_of_an_expression(plane: ControlPlane) -> None:
    """An exhausted budget would refuse every policy of the cluster."""
    many = [
        {"hosts": [f"*.t{number}.example.com", f"t{number}.example.com"], "namespaces": [f"t{number}"]}
        for number in range(999)
    ]
    own = {"hosts": [f"h{number}.example.com" for number in range(32)], "namespaces": ["bank"]}
    put_and_wait(plane, {"hostGrants": [*many, own]}, with_hosts("bank", own["hosts"], {}), ACCEPTED)
    assert "no host grant" in refusal(plane, with_hosts("bank", [*own["hosts"][1:], "h.example.org"], {}))


@pytest.fixture(scope="module")
def ungranted(plane: ControlPlane) -> ControlPlane:
    """The chart without host grants."""
    put_and_wait(plane, {}, with_hosts("shop", ["*"], {}), "needs a host grant that names it")
    return plane


@pytest.mark.parametrize(("namespace", "hosts", "spec", "said"), WITHOUT_GRANTS.values(), ids=WITHOUT_GRANTS)
def test_without_grants(ungranted: ControlPlane, namespace: str, hosts: list[str], spec: Values, said: str) -> None:
    """Only the host * is refused; everything else is for the oldest policy to decide."""
    message = refusal(ungranted, with_hosts(namespace, hosts, spec))
    assert said in message
    assert bool(said) == bool(message)


def test_it_can_be_left_out(plane: ControlPlane) -> None:
    """`admissionPolicy.enabled`: the operator still says no in status."""
    put(plane, {"admissionPolicy": {"enabled": False}})
    found = plane.kubectl("get", "validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name").stdout
    assert "stepguard" not in found
