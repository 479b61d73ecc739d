"""A replica that does what a test tells it to: the service's own subscription, with a decision core of cardboard."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_service.transport.operator_channel import OperatorAccess
from stepguard_service.transport.policy_stream import PolicyStream

Refuse: TypeAlias = Callable[[pb.PolicySnapshot], str | None]
"""Why a snapshot is refused; None where it is not."""


class ScriptedReplica:
    """Applies what it is given, but for the snapshots that `refuse` has a reason for; reports what it is told to."""

    def __init__(
        self,
        name: str,
        *ports: int,
        ca: Path,
        server_name: str,
        token_file: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> None:
        """Subscribes at once to the operators on these ports of 127.0.0.1."""
        self.applied: list[str] = []
        self.refuse: Refuse = lambda _: None
        self.errors: dict[str, str] = {}
        self.shared_replay_store = True
        self.nonce_key_ids: tuple[str, ...] = ()
        self.delay = 0.0
        self._snapshot = pb.PolicySnapshot()
        access = OperatorAccess(
            addresses=tuple(f"127.0.0.1:{port}" for port in ports),
            ca=ca,
            server_name=server_name,
            token_file=token_file,
            client_cert=client_cert,
            client_key=client_key,
        )
        self.stream = PolicyStream(access, self, node_name=name)
        self.stream.start()

    def apply(self, snapshot: pb.PolicySnapshot) -> str | None:
        """Put it in force, after `delay` seconds."""
        time.sleep(self.delay)
        if reason := self.refuse(snapshot):
            return reason
        self._snapshot = snapshot
        self.applied.append(snapshot.hash)
        return None

    def describe(self) -> pb.Report:
        """As a real one would."""
        policies = [
            pb.PolicyState(name=one.name, hash=one.hash, error=self.errors.get(one.name, ""))
            for one in self._snapshot.policies
        ]
        issuers = [pb.IssuerState(name=one.name, keys=1, last_success=1_700_000_000) for one in self._snapshot.issuers]
        store = pb.ReplayStore(kind="redis" if self.shared_replay_store else "memory", shared=self.shared_replay_store)
        return pb.Report(
            schema_version=1,
            policies=policies,
            issuers=issuers,
            replay_store=store,
            nonce_key_ids=self.nonce_key_ids,
        )

    @property
    def version(self) -> tuple[int, int]:
        """Epoch and sequence in force, as it reports them."""
        version = self.stream.report().in_force.version
        return version.epoch, version.sequence

    @property
    def refused(self) -> str:
        """Why the last snapshot was refused, empty where it was not."""
        return self.stream.report().rejected.reason

    @property
    def policies(self) -> list[str]:
        """Names of the policies in force."""
        return [one.name for one in self._snapshot.policies]

    def stop(self) -> None:
        """End the subscription."""
        self.stream.stop()
