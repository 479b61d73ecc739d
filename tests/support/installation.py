"""Stepguard on a real Kubernetes API: operators with the rights they need and no more, and replicas of the service.

Nothing runs in pods here: operators and replicas are processes, EndpointSlices are written by tests.
"""

import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.certificates import Authority, KeyPair
from tests.support.kubernetes import ControlPlane
from tests.support.processes import Process, free_port, program, start, wait_until

NAMESPACE: Final = "stepguard-system"
ROOT: Final = Path(__file__).parents[2]
CRDS: Final = ROOT / "charts" / "stepguard" / "files" / "crds"
RBAC: Final = ROOT / "tests" / "kubernetes" / "operator_rbac.yaml"
SERVER_NAME: Final = "stepguard-operator.test"
Object = dict[str, Any]


@dataclass
class Program:
    """A process of ours with an admin port."""

    process: Process
    port: int
    admin_port: int

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a path of the admin port; status 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether /readyz says so."""
        return self.get("/readyz")[0] == http.client.OK

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that have these labels."""
        total = 0.0
        for found, series, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", self.get("/metrics")[1], re.MULTILINE):
            has = dict(re.findall(r'(\w+)="([^"]*)"', series))
            if found == name and all(has.get(label) == wanted for label, wanted in labels.items()):
                total += float(value)
        return total

    def stop(self) -> int:
        """SIGTERM."""
        return self.process.stop()


@dataclass
class Installation:
    """CRDs, rights, certificates and ServiceAccounts; operators and replicas are started by tests."""

    plane: ControlPlane
    directory: Path
    authority: Authority
    pair: KeyPair
    programs: list[Program] = field(default_factory=list)

    def operator(
        self, *flags: str, port: int | None = None, api: int | None = None, tls: bool = True, wait: bool = True
    ) -> Program:
        """One more operator, with its ServiceAccount's rights; `api`: a port that leads to the API server."""
        port, admin = port or free_port(), free_port()
        kubeconfig = self.plane.service_account_kubeconfig(NAMESPACE, "stepguard-operator")
        if api is not None:
            direct = kubeconfig.read_text()
            kubeconfig = self.directory / f"kubeconfig-{api}"
            kubeconfig.write_text(direct.replace(f":{self.plane.port}", f":{api}"))
        files: tuple[str | Path, ...] = ("--tls-cert", self.pair.cert, "--tls-key", self.pair.key) if tls else ()
        process = start(
            (
                program("stepguard-operator"),
                *("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"),
                *("--subscriber", f"{NAMESPACE}/stepguard", "--log-format", "text"),
                *files,
                *flags,
            ),
            self.directory,
            name="operator",
            environment={"KUBECONFIG": str(kubeconfig)},
        )
        started = Program(process, port, admin)
        self.programs.append(started)
        if wait:
            process.wait_for(started.ready, "the operator is ready", timeout=30)
        return started

    def replica(
        self,
        name: str,
        *operators: Program | int,
        wait: bool = True,
        flags: tuple[str, ...] = (),
        ca: Path | None = None,
        server_name: str = SERVER_NAME,
    ) -> Program:
        """A replica of the service; it trusts `ca`, or the CA of `operator` where that was started with files."""
        port, admin = free_port(), free_port()
        addresses = [f"127.0.0.1:{it if isinstance(it, int) else it.port}" for it in operators]
        process = start(
            (
                program("stepguard-service"),
                *("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--node-name", name),
                *("--operator", ",".join(addresses), "--operator-ca", ca or self.authority.ca),
                *("--operator-server-name", server_name, "--operator-token-file", self.token_file("stepguard")),
                *("--drain-seconds", "0", "--log-format", "text"),
                *flags,
            ),
            self.directory,
            name=name,
        )
        started = Program(process, port, admin)
        self.programs.append(started)
        if wait:
            process.wait_for(started.ready, "the replica has a snapshot in force", timeout=30)
        return started

    def token_file(self, account: str, *, audience: str = "stepguard", seconds: int = 3600) -> Path:
        """A file with a fresh token of a ServiceAccount."""
        arguments = ("--namespace", NAMESPACE, "--audience", audience, "--duration", f"{seconds}s")
        token = self.plane.kubectl("create", "token", account, *arguments).stdout.strip()
        path = self.directory / f"token-{account}-{time.monotonic_ns()}"
        path.write_text(token)
        return path

    def status(self, kind: str, name: str, namespace: str = "default") -> Object:
        """The object's status, empty where nobody wrote one."""
        found: Object = self.plane.get(kind, name, namespace=namespace).get("status", {})
        return found

    def conditions(self, kind: str, name: str, namespace: str = "default") -> dict[str, str]:
        """Type → `status reason`, of those conditions that are about the object as it is now."""
        found = self.plane.get(kind, name, namespace=namespace)
        return {
            one["type"]: f"{one['status']} {one['reason']}"
            for one in found.get("status", {}).get("conditions", ())
            if one["observedGeneration"] == found["metadata"]["generation"]
        }

    def wait_for(self, name: str, *, namespace: str = "default", **expected: str) -> None:
        """Wait until conditions of a StepUpPolicy are these (`Programmed="True Programmed"` …)."""

        def reached() -> bool:
            found = self.conditions("stepuppolicy", name, namespace)
            return all(found.get(condition) == value for condition, value in expected.items())

        def report() -> str:
            shown = json.dumps(self.status("stepuppolicy", name, namespace), indent=1)
            return "\n".join([shown, *(one.process.report() for one in self.programs)])

        wait_until(reached, f"{namespace}/{name}: {expected}", timeout=40, report=report)

    def delete_all(self) -> None:
        """Stop every program, delete every policy and issuer, and what a Lease remembers."""
        for one in self.programs:
            one.process.kill()
        self.programs.clear()
        self.delete_objects()
        self.plane.kubectl("delete", "leases,endpointslices", "--all", "--namespace", NAMESPACE)

    def delete_objects(self) -> None:
        """Delete every policy and issuer, and the Events about them."""
        self.plane.kubectl("delete", "stepuppolicies,tokenissuers,events", "--all", "--all-namespaces")


def install(plane: ControlPlane, directory: Path) -> Installation:
    """Everything but programs."""
    plane.apply_crds(CRDS)
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    plane.kubectl("apply", "-f", RBAC)
    directory.mkdir(exist_ok=True)
    authority = Authority(directory)
    return Installation(plane, directory, authority, authority.issue(SERVER_NAME, file="operator"))


@contextmanager
def installation(plane: ControlPlane, directory: Path) -> Iterator[Installation]:
    """An installation whose programs end with the block."""
    made = install(plane, directory)
    try:
        yield made
    finally:
        for one in made.programs:
            one.process.kill()


def issuer(name: str = "main", **spec: Any) -> Object:
    """A TokenIssuer with one inline key."""
    key = {"kty": "EC", "crv": "P-256", "kid": "k1", "x": X, "y": Y}
    body = {"issuer": "https://as.example", "audiences": ["https://api.example"], "jwks": {"keys": [key]}}
    return {
        "apiVersion": "stepguard.dev/v1alpha1",
        "kind": "TokenIssuer",
        "metadata": {"name": name},
        "spec": {**body, **spec},
    }


def policy(name: str, host: str, *, namespace: str = "default", **spec: Any) -> Object:
    """A StepUpPolicy of one host, for tokens of `main`, with one rule for everything."""
    rules = [{"name": "all", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]
    body = {"hosts": [host], "issuerRefs": [{"name": "main"}], "rules": rules}
    return {
        "apiVersion": "stepguard.dev/v1alpha1",
        "kind": "StepUpPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**body, **spec},
    }


def with_path(document: Mapping[str, Any], path: str) -> Object:
    """The same policy with its rule for another path."""
    changed: Object = json.loads(json.dumps(document))
    changed["spec"]["rules"][0]["matches"][0]["path"]["value"] = path
    return changed


X: Final = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
Y: Final = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
"""The public key of RFC 7517, appendix A.1."""
