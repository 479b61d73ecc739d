"""From verdicts and reports to statuses that are wanted."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from stepguard_policy.compile import Ref, Verdict
from stepguard_policy.resources import Resource

from stepguard_operator.catalog import Catalog
from stepguard_operator.conditions import differs
from stepguard_operator.issuer_status import IssuerFacts, issuer_status
from stepguard_operator.kinds import Kind
from stepguard_operator.leadership import Leader
from stepguard_operator.reconcile import Result
from stepguard_operator.replicas import Fleet, Replicas
from stepguard_operator.status import PolicyFacts, policy_status
from stepguard_operator.status_writer import StatusWriter, Target, Write, rfc3339
from stepguard_operator.store import Key, Stored
from stepguard_operator.trigger import Trigger

BREATH: Final = 100
"""Objects between two turns of the loop."""


class Reporter:
    """`touch_all` and `touch` after changes; `run` does the rest."""

    def __init__(
        self,
        catalog: Catalog,
        replicas: Replicas,
        leader: Leader,
        writer: StatusWriter,
        *,
        result: Callable[[], Result | None],
    ) -> None:
        """`result` is that of the last compilation."""
        self._catalog = catalog
        self._replicas = replicas
        self._leader = leader
        self._writer = writer
        self._result = result
        self._trigger = Trigger()
        self._all = False
        self._some: dict[Target, None] = {}

    def touch_all(self) -> None:
        """Verdicts or reports are new."""
        self._all = True
        self._trigger.touch()

    def touch(self, kind: Kind, key: Key) -> None:
        """One object is new, gone, or has another status."""
        self._some[kind, key] = None
        self._trigger.touch()

    async def run(self) -> None:
        """Work out what statuses should be, for ever."""
        while True:
            if not await self._trigger.wait(until=self._replicas.next_change(time.monotonic())):
                self._all = True
            targets = [(kind, _key(stored)) for kind, stored in self._catalog.stored()] if self._all else []
            targets += [target for target in self._some if not self._all]
            gone = [target for target in self._some if self._catalog[target[0]].get(target[1]) is None]
            self._all, self._some = False, {}
            for target in gone:
                self._writer.unwant(target)
            await self._look(targets)

    async def _look(self, targets: list[Target]) -> None:
        fleet, now = self._replicas.fleet(time.monotonic()), rfc3339()
        for number, (kind, key) in enumerate(targets, start=1):
            stored, result = self._catalog[kind].get(key), self._result()
            if stored is not None and result is not None and self._leader.certain:
                self._judge((kind, key), stored, result, fleet=fleet, now=now)
            if number % BREATH == 0:
                await asyncio.sleep(0)

    def _judge(self, target: Target, stored: Stored[Resource], result: Result, *, fleet: Fleet, now: str) -> None:
        kind, (namespace, name) = target
        ref = Ref("StepUpPolicy" if kind is Kind.POLICY else "TokenIssuer", namespace, name)
        generation = stored.metadata.get("generation", 0)
        verdict = result.verdict(ref, stored.metadata["uid"], generation)
        if verdict is None:
            return
        accepted = _accepted(stored, verdict, generation)
        if kind is Kind.POLICY:
            status = policy_status(
                PolicyFacts(
                    name=str(ref),
                    generation=generation,
                    verdict=verdict,
                    requires_nonce=result.requires_nonce(ref),
                    snapshot=result.compiled.snapshot.hash,
                    accepted=accepted,
                    status=stored.status,
                ),
                fleet,
                now=now,
            )
        else:
            facts = IssuerFacts(
                name=name, generation=generation, verdict=verdict, accepted=accepted, status=stored.status
            )
            status = issuer_status(facts, fleet, now=now)
        if not differs(status, stored.status):
            self._writer.unwant(target)
            return
        urgent = status.get("accepted") != stored.status.get("accepted")
        self._writer.want(target, Write(kind, stored.metadata, stored.status, status, urgent))


def _accepted(stored: Stored[Resource], verdict: Verdict, generation: int) -> Mapping[str, Any] | None:
    """What status.accepted has to be."""
    if verdict.accepts_new:
        return {"generation": generation, "spec": stored.raw["spec"]}
    accepted: Mapping[str, Any] | None = stored.status.get("accepted")
    return accepted


def _key(stored: Stored[Resource]) -> Key:
    return stored.metadata.get("namespace") or "", stored.metadata["name"]
