"""Both programs with exactly the ServiceAccounts that the chart makes, on the API server where it is installed."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import NAMESPACE, Values, arguments, put, render
from tests.support.checks import Caller, check_request
from tests.support.installation import Program, issuer, policy
from tests.support.kubernetes import ControlPlane
from tests.support.processes import free_port, program, start, wait_until

RIGHTS_OF_TESTS = Path(__file__).parents[1] / "kubernetes" / "operator_rbac.yaml"
CORE, OURS = "", "stepguard.dev"
EVERYWHERE = {
    (OURS, "tokenissuers", "", "list"),
    (OURS, "tokenissuers", "", "watch"),
    (OURS, "tokenissuers/status", "", "patch"),
    ("authentication.k8s.io", "tokenreviews", "", "create"),
}
POLICIES = {
    (OURS, "stepuppolicies", "", "list"),
    (OURS, "stepuppolicies", "", "watch"),
    (OURS, "stepuppolicies/status", "", "patch"),
    (CORE, "events", "", "create"),
}
AT_HOME = {
    ("coordination.k8s.io", "leases", "", "create"),
    ("coordination.k8s.io", "leases", "stepguard-operator", "get"),
    ("coordination.k8s.io", "leases", "stepguard-operator", "update"),
    ("discovery.k8s.io", "endpointslices", "", "list"),
    ("discovery.k8s.io", "endpointslices", "", "watch"),
}
MANAGED = {
    (CORE, plural, name, verb)
    for plural, name in (
        ("secrets", "stepguard-operator-tls"),
        ("secrets", "stepguard-nonce-keys"),
        ("configmaps", "stepguard-operator-ca"),
    )
    for verb in ("get", "update")
}

Right = tuple[str, str, str, str]


def flat(rules: list[dict[str, Any]]) -> set[Right]:
    """(group, resource, name, verb) of each single right."""
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for name in rule.get("resourceNames") or ("",)
        for verb in rule["verbs"]
    }


def rights(plane: ControlPlane, account: str, namespace: str) -> set[Right]:
    """What the API server says that a ServiceAccount may do there, but for what everybody may."""
    kubeconfig = plane.service_account_kubeconfig(NAMESPACE, account)
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    # Without validation by the client, which would ask for CRDs that it may not see.
    command = ("create", "--filename", "-", "--output", "json", "--validate=false")
    answered = json.loads(plane.kubectl(*command, given=json.dumps(review), kubeconfig=kubeconfig).stdout)
    return {right for right in flat(answered["status"]["resourceRules"]) if not right[1].startswith("selfsubject")}


@pytest.fixture(autouse=True)
def namespaces(plane: ControlPlane) -> None:
    """Where policies may be."""
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bank"}})


WHERE: dict[str, tuple[Values, dict[str, set[Right]]]] = {
    "all namespaces": (
        {},
        {NAMESPACE: EVERYWHERE | POLICIES | AT_HOME | MANAGED, "bank": EVERYWHERE | POLICIES},
    ),
    "one namespace": (
        {"operator": {"namespace": "bank"}},
        {
            NAMESPACE: EVERYWHERE | AT_HOME | MANAGED,
            "bank": EVERYWHERE | POLICIES,
            "kube-system": EVERYWHERE,
            "default": EVERYWHERE | {(CORE, "events", "", "create")},
        },
    ),
    "TLS of one's own": (
        {"tls": {"mode": "Existing", "secretName": "mine"}},
        {NAMESPACE: EVERYWHERE | POLICIES | AT_HOME, "bank": EVERYWHERE | POLICIES},
    ),
}


@pytest.mark.parametrize(("values", "expected"), WHERE.values(), ids=WHERE)
def test_the_operator_has_these_rights_and_no_others(
    plane: ControlPlane, values: Values, expected: dict[str, set[Right]]
) -> None:
    """As the API server's own review says; the service has none at all."""
    put(plane, values)
    assert {where: rights(plane, "stepguard-operator", where) for where in expected} == expected
    assert rights(plane, "stepguard", NAMESPACE) == set()


REFUSED = {
    "read another Secret": ("get", "secret/valkey", NAMESPACE),
    "list Secrets": ("list", "secrets", NAMESPACE),
    "create Secrets": ("create", "secrets", NAMESPACE),
    "read a Secret of its own name elsewhere": ("get", "secret/stepguard-nonce-keys", "bank"),
    "change policies": ("update", "stepuppolicies", "bank"),
    "delete policies": ("delete", "stepuppolicies", "bank"),
    "change issuers": ("patch", "tokenissuers", "bank"),
    "take another Lease": ("update", "lease/somebody", NAMESPACE),
    "list pods": ("list", "pods", NAMESPACE),
    "give itself rights": ("escalate", "clusterroles", NAMESPACE),
}


@pytest.mark.parametrize(("verb", "what", "where"), REFUSED.values(), ids=REFUSED)
def test_the_operator_may_not(plane: ControlPlane, verb: str, what: str, where: str) -> None:
    """Whatever else it may."""
    put_once(plane)
    account = f"system:serviceaccount:{NAMESPACE}:stepguard-operator"
    asked = plane.kubectl("auth", "can-i", verb, what, "-n", where, f"--as={account}", check=False)
    assert asked.stdout.strip() == "no"


def test_its_rights_are_those_with_which_the_operator_is_tested() -> None:
    """Everything that the operator does is shown with the rights in tests/kubernetes, each needed by a test there."""

    def granted(manifests: list[dict[str, Any]]) -> set[Right]:
        roles = [m for m in manifests if m["kind"] in {"ClusterRole", "Role"} and "policy" not in m["metadata"]["name"]]
        return {right for role in roles for right in flat(role["rules"])}

    assert granted(render()) == granted(list(yaml.safe_load_all(RIGHTS_OF_TESTS.read_text())))


def put_once(plane: ControlPlane) -> None:
    """The chart without values, where it is not there yet."""
    if plane.kubectl("get", "sa", "stepguard-operator", "-n", NAMESPACE, check=False).returncode:
        put(plane)


@dataclass
class Whole:
    """Both programs, as the chart starts them."""

    operator: Program
    service: Program


@pytest.fixture
def whole(plane: ControlPlane, tmp_path: Path) -> Iterator[Whole]:
    """The operator with a token of its ServiceAccount, then a replica with one of the service's.

    There are no nodes here: the flags are those of the pods, but for addresses and for the folders of mounts.
    """
    put(plane, {"operator": {"namespace": "bank"}})
    manifests = render({"operator": {"namespace": "bank"}})
    ports = [free_port() for _ in range(4)]
    kubeconfig = plane.service_account_kubeconfig(NAMESPACE, "stepguard-operator")
    listen = [f"--listen=127.0.0.1:{ports[0]}", f"--admin=127.0.0.1:{ports[1]}"]
    with ExitStack() as stack:
        process = start(
            (program("stepguard-operator"), *arguments(manifests, "stepguard-operator"), *listen),
            tmp_path,
            environment={"KUBECONFIG": str(kubeconfig)},
        )
        stack.callback(process.kill)
        operator = Program(process, ports[0], ports[1])
        process.wait_for(operator.ready, "both kinds are listed", timeout=40)
        mounts = mounted(plane, tmp_path)
        flags = [rewritten(flag, ports[0], mounts) for flag in arguments(manifests, "stepguard")]
        listen = [f"--listen=127.0.0.1:{ports[2]}", f"--admin=127.0.0.1:{ports[3]}", "--drain-seconds=0"]
        process = start(
            (program("stepguard-service"), *flags, *listen), tmp_path, environment={"STEPGUARD_NODE_NAME": "pod-1"}
        )
        stack.callback(process.kill)
        service = Program(process, ports[2], ports[3])
        process.wait_for(service.ready, "a snapshot is in force", timeout=40)
        yield Whole(operator, service)
    plane.kubectl("delete", "stepuppolicies,tokenissuers", "--all", "--all-namespaces")


def mounted(plane: ControlPlane, directory: Path) -> dict[str, Path]:
    """Mount point → folder with what the operator wrote, once it is there, and the service's token."""

    def data(kind: str, name: str, key: str) -> str:
        found: str = plane.get(kind, name, namespace=NAMESPACE).get("data", {}).get(key, "")
        return found

    certificate = wait_until(lambda: data("configmap", "stepguard-operator-ca", "ca.crt"), "the CA is published")
    nonces = wait_until(lambda: data("secret", "stepguard-nonce-keys", "nonce-keys"), "there are nonce keys")
    create = ("create", "token", "stepguard", "--namespace", NAMESPACE, "--audience", "stepguard")
    content = {
        "/etc/stepguard/operator-ca": ("ca.crt", certificate),
        "/etc/stepguard/nonce-keys": ("nonce-keys", b64decode(nonces).decode()),
        "/var/run/secrets/stepguard": ("token", plane.kubectl(*create).stdout),
        "/var/lib/stepguard": ("", ""),
        "/run/stepguard": ("", ""),
    }
    folders = {}
    for number, (mount, (name, text)) in enumerate(content.items()):
        folders[mount] = folder = directory / f"mount-{number}"
        folder.mkdir()
        if name:
            (folder / name).write_text(text)
    return folders


def rewritten(flag: str, port: int, mounts: dict[str, Path]) -> str:
    """The flag outside a pod."""
    if flag.startswith("--operator="):
        return f"--operator=127.0.0.1:{port}"
    for mount, folder in mounts.items():
        flag = flag.replace(f"={mount}", f"={folder}", 1)
    return flag


def test_with_these_rights_a_policy_is_applied_enforced_and_reported(plane: ControlPlane, whole: Whole) -> None:
    """Listed, pushed, in force, written to status, told in an Event, the Lease held, the Secrets kept."""
    plane.apply(issuer(), policy("payments", "pay.bank.example.com", namespace="bank"))
    ready = ("wait", "--for=condition=Ready", "--timeout=30s")
    plane.kubectl(*ready, "stepuppolicy/payments", "-n", "bank")
    plane.kubectl(*ready, "tokenissuer/main")

    caller = Caller(whole.service.port)
    try:
        assert caller.check(check_request(host="pay.bank.example.com")).status == 401
        assert caller.check(check_request(host="elsewhere.example.com")).status == 403
    finally:
        caller.close()

    assert plane.get("stepuppolicy", "payments", namespace="bank")["status"]["replicas"]["summary"] == "1/1"
    about = "involvedObject.name={}"
    for name, where in (("payments", "bank"), ("main", "default")):
        events = ("get", "events", "-n", where, "--field-selector", about.format(name), "-o", "name")
        assert plane.kubectl(*events).stdout
    assert plane.get("lease", "stepguard-operator", namespace=NAMESPACE)["spec"]["holderIdentity"]
    assert {"ca.crt", "tls.crt", "tls.key"} <= plane.get("secret", "stepguard-operator-tls", namespace=NAMESPACE)[
        "data"
    ].keys()
    assert whole.operator.metric("stepguard_operator_api_requests_total", code="403") == 0


PEOPLE = {
    "an editor writes policies": ("stepguard-policy-editor", "create", "stepuppolicies", "yes"),
    "an editor does not write status": (
        "stepguard-policy-editor",
        "patch",
        "stepuppolicies --subresource=status",
        "no",
    ),
    "an editor adds no issuer": ("stepguard-policy-editor", "create", "tokenissuers", "no"),
    "a viewer reads policies": ("stepguard-policy-viewer", "get", "stepuppolicies", "yes"),
    "a viewer reads issuers": ("stepguard-policy-viewer", "get", "tokenissuers", "yes"),
    "a viewer does not write policies": ("stepguard-policy-viewer", "update", "stepuppolicies", "no"),
    "nobody with edit writes policies": ("edit", "create", "stepuppolicies", "no"),
}


@pytest.mark.parametrize(("role", "verb", "what", "answer"), PEOPLE.values(), ids=PEOPLE)
def test_of_people(plane: ControlPlane, role: str, verb: str, what: str, answer: str) -> None:
    """Each role bound to somebody of its own."""
    put_once(plane)
    bound = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"test-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"user-{role}"}],
    }
    plane.apply(bound)
    asked = plane.kubectl("auth", "can-i", verb, *what.split(), "-n", "bank", f"--as=user-{role}", check=False)
    assert asked.stdout.strip() == answer
