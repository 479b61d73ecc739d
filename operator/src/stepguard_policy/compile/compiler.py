"""All resources → one snapshot and a verdict for each: a pure function of what it is given, in whatever order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.bind import Bound
from stepguard_policy.compile.conclude import verdicts
from stepguard_policy.compile.entrants import Drafts, enter
from stepguard_policy.compile.issuers import IssuerDraft, Issuers, compile_issuers
from stepguard_policy.compile.memo import Memo
from stepguard_policy.compile.options import CompileOptions
from stepguard_policy.compile.settle import Bounds, Settled, settle
from stepguard_policy.compile.tables import Table, build_table
from stepguard_policy.compile.verdicts import Compiled, Ref, ref_of
from stepguard_policy.encode import SCHEMA_VERSION, snapshot_hash
from stepguard_policy.resources import IssuerResource, PolicyResource, Problem, Resource


def compile_resources(resources: Iterable[Resource], options: CompileOptions) -> Compiled:
    """Compile once, from nothing. Of two resources with one kind, namespace and name neither counts."""
    return Compiler().compile(resources, options)


class Compiler:
    """Compiles again and again, and remembers what did not change in between.

    It gives the same result as `compile_resources`, sooner. Not to be used by two threads at once.
    """

    def __init__(self) -> None:
        self._issuers: Memo[tuple[str, str], IssuerDraft] = Memo()
        self._drafts: Drafts = Memo()
        self._bounds: Bounds = Memo()
        self._tables: Memo[str, Table] = Memo()

    def compile(self, resources: Iterable[Resource], options: CompileOptions) -> Compiled:
        """Do as `compile_resources` does."""
        given = _once_each(resources)
        issuers = compile_issuers((one for one in given if isinstance(one, IssuerResource)), self._issuers)
        entrants = enter((one for one in given if isinstance(one, PolicyResource)), self._drafts)
        settled = settle(entrants, issuers, options, self._bounds)
        tables = [self._table(host, policies) for host, policies in sorted(settled.hosts.items())]
        for memo in (self._issuers, self._drafts, self._bounds, self._tables):
            memo.end_round()
        return Compiled(
            _snapshot(settled, tables, issuers),
            {**issuers.verdicts, **verdicts(settled.outcomes, tables)},
            {one.entrant.ref: one.served.attempt.draft.spec for one in settled.outcomes if one.served},
        )

    def _table(self, host: str, policies: Sequence[Bound]) -> Table:
        inputs = tuple((bound.hash, bound.rule_fields) for bound in policies)
        return self._tables.get(host, inputs, partial(build_table, host, policies))


def _once_each(resources: Iterable[Resource]) -> list[Resource]:
    """Each resource that is given once, and for those that are given more often one without a spec."""
    by_ref: dict[Ref, Resource] = {}
    for resource in resources:
        ref = ref_of(resource)
        by_ref[ref] = resource if ref not in by_ref else _nothing(resource)
    return list(by_ref.values())


def _nothing(resource: Resource) -> Resource:
    problem = Problem("", 0, "metadata.name", "is given more than once")
    return replace(resource, spec=None, accepted=None, spec_problems=(problem,))


def _snapshot(settled: Settled, tables: Sequence[Table], issuers: Issuers) -> pb.PolicySnapshot:
    bounds = (outcome.served.bound for outcome in settled.outcomes if outcome.served)
    serving = sorted(bounds, key=lambda bound: bound.ref)
    snapshot = pb.PolicySnapshot(
        min_schema_version=SCHEMA_VERSION,
        host_tables=[table.entry for table in tables],
        issuers=[issuer.message for _, issuer in sorted(issuers.by_name.items()) if issuer],
        policies=[pb.PolicyDigest(name=str(bound.ref), hash=bound.hash) for bound in serving],
        identity_headers=sorted({header for bound in serving for header in bound.identity_headers}),
    )
    snapshot.hash = snapshot_hash(snapshot)
    return snapshot
