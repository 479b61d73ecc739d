"""What a watch does not tell: objects that were deleted while it was broken. The API here is scripted with kmock."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kmock
import pytest
import yaml

from tests.support.certificates import Authority
from tests.support.installation import Object, Program, issuer, policy
from tests.support.processes import free_port, program, start, wait_until
from tests.support.scripted_replica import ScriptedReplica

NAME = "operator.test"
VERBS = {"list", "watch", "patch"}
RESOURCES = {
    "stepguard.dev/v1alpha1/stepuppolicies": kmock.ResourceInfo(kind="StepUpPolicy", namespaced=True, verbs=VERBS),
    "stepguard.dev/v1alpha1/tokenissuers": kmock.ResourceInfo(kind="TokenIssuer", namespaced=False, verbs=VERBS),
    # kopf looks for this one before it watches anything.
    "v1/namespaces": kmock.ResourceInfo(kind="Namespace", namespaced=False, verbs=VERBS),
}
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
POLICIES, ISSUERS = "/apis/stepguard.dev/v1alpha1/stepuppolicies", "/apis/stepguard.dev/v1alpha1/tokenissuers"


class Script:
    """What the API has; `break_watches` ends every watch of policies with 410."""

    def __init__(self) -> None:
        self.policies: dict[str, Object] = {}
        self.version = 10
        self.lists = 0
        self._broken = asyncio.Event()

    def add(self, document: Object, *, uid: str) -> None:
        """One more policy."""
        self.version += 1
        generated = {"uid": uid, "generation": 1, "resourceVersion": str(self.version)}
        stamp = {"creationTimestamp": "2030-01-01T00:00:00Z"}
        self.policies[document["metadata"]["name"]] = {
            **document,
            "metadata": {**document["metadata"], **generated, **stamp},
        }

    def break_watches(self) -> None:
        """The versions that watches stand at are gone."""
        self.version += 10
        self._broken.set()
        self._broken = asyncio.Event()

    def serve_policies(self, request: kmock.Request) -> Any:
        """List or watch."""
        if "watch" in request.params:
            return self._watch()
        self.lists += 1
        return {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.policies.values())}

    async def _watch(self) -> AsyncIterator[Any]:
        broken = self._broken
        yield b""
        await broken.wait()
        yield GONE


def serve_issuers(request: kmock.Request) -> Any:
    """One TokenIssuer; its watch says nothing."""
    if "watch" in request.params:
        return _silence()
    generated = {"uid": "i", "generation": 1, "resourceVersion": "5", "creationTimestamp": "2030-01-01T00:00:00Z"}
    main = issuer()
    return {"metadata": {"resourceVersion": "5"}, "items": [{**main, "metadata": {**main["metadata"], **generated}}]}


async def _silence() -> AsyncIterator[bytes]:
    yield b""
    await asyncio.Event().wait()


@contextmanager
def operator(directory: Path, url: str, authority: Authority) -> Iterator[Program]:
    """An operator without a Lease that lists by itself only after kopf does."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "user", "user": {"token": "t"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
        "current-context": "test",
    }
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    pair = authority.issue(NAME)
    port, admin = free_port(), free_port()
    flags = ("--lease", "none", "--subscriber-auth", "unsafe-none", "--resync", "86400s", "--log-format", "text")
    process = start(
        (
            program("stepguard-operator"),
            *("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"),
            *("--tls-cert", pair.cert, "--tls-key", pair.key, *flags),
        ),
        directory,
        environment={"KUBECONFIG": str(kubeconfig)},
    )
    try:
        yield Program(process, port, admin)
    finally:
        process.kill()


async def scenario(directory: Path, script: Script, survivors: list[str]) -> None:
    """Policies `a` and `b` are in force; all but `survivors` vanish while the watch is broken."""
    authority = Authority(directory)
    for name in ("a", "b"):
        script.add(policy(name, f"{name}.example.com"), uid=name)
    api = kmock.KubernetesScaffold()
    for resource, info in RESOURCES.items():
        api.resources[resource] = info
    async with api, kmock.Server(api) as server:
        api[f"get {POLICIES}"] << script.serve_policies
        api[f"get {ISSUERS}"] << serve_issuers
        with operator(directory, str(server.url), authority) as running:
            replica = ScriptedReplica("pod-1", running.port, ca=authority.ca, server_name=NAME)
            try:
                await _in_force(replica, ["default/a", "default/b"], running)
                await asyncio.to_thread(
                    wait_until,
                    lambda: script.lists >= 3,
                    "kopf has listed, and we after it",
                    report=running.process.report,
                )
                script.policies = {name: one for name, one in script.policies.items() if name in survivors}
                script.break_watches()
                await _in_force(replica, [f"default/{name}" for name in survivors], running)
            finally:
                await asyncio.to_thread(replica.stop)


async def _in_force(replica: ScriptedReplica, names: list[str], running: Program) -> None:
    report = running.process.report
    await asyncio.to_thread(wait_until, lambda: replica.policies == names, f"{names} in force", report=report)


@pytest.mark.parametrize("survivors", [["a"], []], ids=["one of two is deleted", "all are deleted"])
def test_an_object_that_was_deleted_in_a_410_gap_ends_with_the_next_list(tmp_path: Path, survivors: list[str]) -> None:
    asyncio.run(scenario(tmp_path, Script(), survivors))
