"""A real Kubernetes API: etcd and kube-apiserver with RBAC on loopback, as KUBEBUILDER_ASSETS names them.

There are no controllers and no nodes: objects are stored, defaulted, validated, watched and authorized; that is all.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.processes import Process, accepts, free_port, start

START_SECONDS: Final = 60.0
PROGRAMS: Final = ("etcd", "kube-apiserver", "kubectl")


def kube_assets() -> Path:
    """The folder with etcd, kube-apiserver and kubectl; skips the test where it is missing."""
    named = os.environ.get("KUBEBUILDER_ASSETS", "")
    folder = Path(named)
    if not named or not all(os.access(folder / name, os.X_OK) for name in PROGRAMS):
        pytest.skip(
            "needs a Kubernetes API server: export KUBEBUILDER_ASSETS=$(make -s kube-assets), which needs Go; "
            f"KUBEBUILDER_ASSETS is {named!r}"
        )
    return folder


@dataclass
class ControlPlane:
    """A Kubernetes API that is running. `kubeconfig` is a file with the rights of cluster-admin."""

    assets: Path
    directory: Path
    port: int
    etcd_port: int
    token: str
    etcd: Process | None = None
    api_server: Process | None = None

    @property
    def url(self) -> str:
        """Address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate_authority(self) -> Path:
        """What clients trust (PEM)."""
        return self.directory / "certificates" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """For cluster-admin, namespace `default`."""
        return self.directory / "kubeconfig"

    def write_kubeconfig(self, name: str, token: str, *, namespace: str = "default") -> Path:
        """A kubeconfig file with this bearer token."""
        cluster = {"server": self.url, "certificate-authority": str(self.certificate_authority)}
        path = self.directory / name
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user", "namespace": namespace}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a fresh token of an existing ServiceAccount, and no more rights than it has."""
        token = self.kubectl("create", "token", name, "--namespace", namespace).stdout.strip()
        return self.write_kubeconfig(f"kubeconfig-{namespace}-{name}", token, namespace=namespace)

    def kubectl(
        self,
        *arguments: str | Path,
        given: str | None = None,
        check: bool = True,
        kubeconfig: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl, with `given` as its standard input; a failure fails the test unless `check` is off."""
        result = subprocess.run(
            [self.assets / "kubectl", "--kubeconfig", kubeconfig or self.kubeconfig, *arguments],
            input=given if given is not None else "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "HOME": str(self.directory)},
        )
        if check and result.returncode:
            command = " ".join(map(str, arguments))
            raise AssertionError(f"kubectl {command} failed with {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def apply(self, *documents: Mapping[str, Any], check: bool = True) -> subprocess.CompletedProcess[str]:
        """`kubectl apply` these objects."""
        # As JSON: kubectl reads an unquoted `y` of a JWK as a boolean, and PyYAML does not quote it.
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
        return self.kubectl("apply", "-f", "-", given=given, check=check)

    def get(self, kind: str, name: str, *, namespace: str = "default") -> dict[str, Any]:
        """The object as the API server holds it."""
        found = self.kubectl("get", kind, name, "--namespace", namespace, "--output", "json").stdout
        result: dict[str, Any] = json.loads(found)
        return result

    def apply_crds(self, folder: Path) -> None:
        """Apply every CRD of a folder and wait until the API server serves them."""
        self.kubectl("apply", "--server-side", "-f", folder)
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", folder)

    def start_api_server(self) -> None:
        """Start (again) on the same port with the same data, and wait until it is ready."""
        certificates = self.directory / "certificates"
        key = self.directory / "service-accounts.key"
        arguments: Sequence[str | Path] = (
            self.assets / "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={certificates}",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            "--shutdown-delay-duration=0s",
        )
        self.api_server = start(arguments, self.directory, name="kube-apiserver")
        self.api_server.wait_for(self._ready, "the API server is ready", timeout=START_SECONDS)

    def stop_api_server(self) -> None:
        """Stop it at once, as a crash would; etcd keeps the data."""
        if self.api_server is not None:
            self.api_server.kill()
            self.api_server = None

    def start(self) -> None:
        """Start etcd, then the API server."""
        peer = free_port()
        client_url, peer_url = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{peer}"
        self.etcd = start(
            (
                self.assets / "etcd",
                f"--data-dir={self.directory / 'etcd'}",
                f"--listen-client-urls={client_url}",
                f"--advertise-client-urls={client_url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=default={peer_url}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ),
            self.directory,
            name="etcd",
        )
        self.etcd.wait_for(partial(accepts, self.etcd_port), "etcd listens", timeout=START_SECONDS)
        self.start_api_server()

    def stop(self) -> None:
        """Stop both."""
        self.stop_api_server()
        if self.etcd is not None:
            self.etcd.kill()
            self.etcd = None

    def _ready(self) -> bool:
        return (
            self.certificate_authority.exists()
            and self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0
            and self.kubectl("get", "namespace", "default", check=False).returncode == 0
        )


def _prepare(assets: Path, directory: Path) -> ControlPlane:
    directory.mkdir(parents=True, exist_ok=True)
    plane = ControlPlane(assets, directory, free_port(), free_port(), secrets.token_urlsafe(24))
    (directory / "certificates").mkdir()
    tokens = directory / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f'{plane.token},admin,admin,"system:masters"\n')
    key = directory / "service-accounts.key"
    key.touch(mode=0o600)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    plane.write_kubeconfig(plane.kubeconfig.name, plane.token)
    return plane


@contextlib.contextmanager
def control_plane(directory: Path) -> Iterator[ControlPlane]:
    """A Kubernetes API of its own, ended with the block; skips the test where KUBEBUILDER_ASSETS is missing."""
    plane = _prepare(kube_assets(), directory)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
        shutil.rmtree(directory / "etcd", ignore_errors=True)
