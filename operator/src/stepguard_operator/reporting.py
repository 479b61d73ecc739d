"""From verdicts and reports to statuses that are wanted."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
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
        self._looked_at: dict[Target, tuple[object, ...]] = {}

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
            if self._all:
                self._some |= dict.fromkeys((kind, _key(stored)) for kind, stored in self._catalog.stored())
            targets = tuple(self._some)
            self._all, self._some = False, {}
            await self._look(targets)

    def forget(self) -> None:
        """Another operator may have written meanwhile: look at everything as if for the first time."""
        self._looked_at.clear()
        self.touch_all()

    async def _look(self, targets: Sequence[Target]) -> None:
        fleet, now = self._replicas.fleet(time.monotonic()), rfc3339()
        for number, target in enumerate(targets, start=1):
            stored, result = self._catalog[target[0]].get(target[1]), self._result()
            if stored is None:
                self._writer.unwant(target)
                self._looked_at.pop(target, None)
            elif result is not None and self._leader.certain:
                self._judge(target, stored, result, fleet=fleet, now=now)
            if number % BREATH == 0:
                await asyncio.sleep(0)

    def _judge(self, target: Target, stored: Stored[Resource], result: Result, *, fleet: Fleet, now: str) -> None:
        kind, (namespace, name) = target
        ref = Ref("StepUpPolicy" if kind is Kind.POLICY else "TokenIssuer", namespace, name)
        verdict = result.verdict(ref, stored.metadata["uid"], stored.metadata.get("generation", 0))
        if verdict is None:
            return
        requires_nonce = result.requires_nonce(ref)
        inputs = (stored, verdict, requires_nonce, fleet.shape, fleet.about(str(ref)), _refusable(fleet, result))
        if self._looked_at.get(target) == inputs:
            return
        self._looked_at[target] = inputs
        if kind is Kind.POLICY:
            facts = PolicyFacts(
                name=str(ref),
                generation=stored.metadata.get("generation", 0),
                verdict=verdict,
                requires_nonce=requires_nonce,
                snapshot=result.compiled.snapshot.hash,
                accepted=_accepted(stored, verdict),
                status=stored.status,
            )
            self._want(target, stored, policy_status(facts, fleet, now=now))
        else:
            self._want(target, stored, issuer_status(_issuer_facts(stored, verdict), fleet, now=now))

    def _want(self, target: Target, stored: Stored[Resource], status: Mapping[str, Any]) -> None:
        if not differs(status, stored.status):
            self._writer.unwant(target)
            return
        urgent = status.get("accepted") != stored.status.get("accepted")
        self._writer.want(target, Write(target[0], stored.metadata, stored.status, status, urgent))


def _refusable(fleet: Fleet, result: Result) -> str:
    """The hash of the snapshot, where it matters whether a replica refuses just this one."""
    refused = any(report.refused is not None for report in fleet.heard.values())
    return result.compiled.snapshot.hash if refused else ""


def _issuer_facts(stored: Stored[Resource], verdict: Verdict) -> IssuerFacts:
    return IssuerFacts(
        name=stored.metadata["name"],
        generation=stored.metadata.get("generation", 0),
        verdict=verdict,
        accepted=_accepted(stored, verdict),
        status=stored.status,
    )


def _accepted(stored: Stored[Resource], verdict: Verdict) -> Mapping[str, Any] | None:
    """What status.accepted has to be."""
    if verdict.accepts_new:
        return {"generation": stored.metadata.get("generation", 0), "spec": stored.raw["spec"]}
    accepted: Mapping[str, Any] | None = stored.status.get("accepted")
    return accepted


def _key(stored: Stored[Resource]) -> Key:
    return stored.metadata.get("namespace") or "", stored.metadata["name"]
