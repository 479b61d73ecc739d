"""What a replica tells the operator about itself."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_service.stores.keys import IssuerKeys
from stepguard_service.stores.replay import ReplayStore
from stepguard_service.transport.rules_loader import RulesLoader
from stepguard_service.transport.schema import SCHEMA_VERSION

FEATURES: Final[tuple[str, ...]] = ()
"""Abilities beyond the schema version that an operator may ask for; none yet."""


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The two things that push mode needs: putting a snapshot in force, and describing what is."""

    loader: RulesLoader
    replay: ReplayStore
    keys: Callable[[float], Sequence[IssuerKeys]]
    nonce_key_ids: Callable[[], Sequence[str]]

    def apply(self, snapshot: pb.PolicySnapshot) -> str | None:
        """Put it in force as a whole, or say in one line why it is refused."""
        return self.loader.apply(snapshot)

    def describe(self) -> pb.Report:
        """Everything in a Report but the replica's name and the snapshot's version."""
        report = pb.Report(schema_version=SCHEMA_VERSION, features=FEATURES, nonce_key_ids=self.nonce_key_ids())
        report.replay_store.kind, report.replay_store.shared = self.replay.kind, self.replay.shared
        in_force = self.loader.in_force
        if in_force is not None:
            for name, digest in in_force.policies.items():
                report.policies.add(name=name, hash=digest, error=in_force.problems.get(name, ""))
        for issuer in self.keys(time.monotonic()):
            report.issuers.append(_issuer(issuer))
        return report


def _issuer(state: IssuerKeys) -> pb.IssuerState:
    last_success = 0 if state.age is None else int(time.time() - state.age)
    error = state.error or "; ".join(state.problems)
    return pb.IssuerState(name=state.name, keys=len(state.key_ids), last_success=last_success, error=error)
