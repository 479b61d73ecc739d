"""Compile after every change, publish what came out: level-triggered, from all objects there are."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stepguard_policy.compile import Compiled, CompileOptions, Compiler, Ref, Verdict, ref_of
from stepguard_policy.resources import NonceMode

from stepguard_operator.catalog import Catalog
from stepguard_operator.distribute import Distribution
from stepguard_operator.kinds import Kind
from stepguard_operator.leadership import Leader
from stepguard_operator.metrics import Metrics
from stepguard_operator.publication import publish
from stepguard_operator.trigger import Trigger

SNAPSHOT_LENGTH: Final = 64 * 1024 * 1024
"""Bytes of one message, at both ends of the stream."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What was compiled, and of which objects: (uid, generation) of each."""

    compiled: Compiled
    list: int
    """The number of the complete list that it takes in."""
    of: Mapping[Ref, tuple[str, int]]

    def verdict(self, ref: Ref, uid: str, generation: int) -> Verdict | None:
        """The verdict about exactly this object; None while it was not compiled yet."""
        return self.compiled.verdicts[ref] if self.of.get(ref) == (uid, generation) else None

    def requires_nonce(self, ref: Ref) -> bool:
        """Whether the spec of this policy that serves requires nonces."""
        spec = self.compiled.serving.get(ref)
        return spec is not None and spec.dpop.nonce is NonceMode.REQUIRED


class Reconciler:
    """`touch` after any change; `run` does the rest."""

    def __init__(
        self,
        catalog: Catalog,
        leader: Leader,
        distribution: Distribution,
        metrics: Metrics,
        *,
        options: Callable[[], CompileOptions],
        compiled: Callable[[], None],
    ) -> None:
        """`options` are those of now; `compiled` is called after each compilation."""
        self._catalog = catalog
        self._leader = leader
        self._distribution = distribution
        self._metrics = metrics
        self._options = options
        self._compiled = compiled
        self._compiler = Compiler()
        self._trigger = Trigger()
        self._needs_list = 0
        self.result: Result | None = None
        """Of the last compilation; None before the first complete list."""

    def touch(self) -> None:
        """Something that is compiled, or who is active, has changed."""
        self._trigger.touch()

    def took_over(self) -> None:
        """We are active from now on: publish nothing before another complete list."""
        self._needs_list = self._catalog.lists_begun + 1
        self._distribution.activate()
        self._catalog.list_soon()

    def listed(self) -> None:
        """A complete list is there: what waits for one after a take-over can go on."""
        if self.result is None or self.result.list < self._needs_list:
            self.touch()

    async def run(self) -> None:
        """Compile and publish, for ever."""
        while True:
            await self._trigger.wait()
            if self._catalog.listed_at is None:
                continue
            await self._compile()
            self.publish()
            self._compiled()

    def publish(self) -> None:
        """Publish the last result, where we may and it is new."""
        epoch, result = self._leader.epoch, self.result
        if epoch is None or not self._leader.certain or result is None or result.list < self._needs_list:
            return
        before = self._distribution.publication
        publication = publish(result.compiled.snapshot, epoch, before)
        if publication is before:
            return
        if len(publication.push) > SNAPSHOT_LENGTH:
            _log.error("the snapshot has %d bytes, more than a message may have; not sent", len(publication.push))
            return
        self._distribution.publish(publication)
        _log.info(
            "published snapshot %s, version %d.%d: %d policies, %d bytes",
            publication.hash[:12],
            publication.epoch,
            publication.sequence,
            len(result.compiled.snapshot.policies),
            len(publication.push),
        )

    async def _compile(self) -> None:
        number = self._catalog.lists_done
        resources = [stored.parsed for _, stored in self._catalog.stored() if stored.parsed is not None]
        began = time.monotonic()
        compiled = await asyncio.to_thread(self._compiler.compile, resources, self._options())
        if self.result is None or self.result.list != number:
            # Once a list: objects that live as long as a policy does are not looked at by each collection any more.
            gc.collect()
            gc.freeze()
        self._metrics.compile_seconds.observe(time.monotonic() - began)
        of = {ref_of(resource): (resource.uid, resource.generation) for resource in resources}
        self.result = Result(compiled, number, of)
        verdicts = [verdict.accepted for ref, verdict in compiled.verdicts.items() if ref.kind == Kind.POLICY.kind]
        for accepted in (True, False):
            self._metrics.policies.labels(str(accepted).lower()).set(verdicts.count(accepted))
