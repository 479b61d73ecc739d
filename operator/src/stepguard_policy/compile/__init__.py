"""From resources to a PolicySnapshot and a verdict for each resource."""

from stepguard_policy.compile.compiler import Compiler, compile_resources
from stepguard_policy.compile.draft import effective_requirement
from stepguard_policy.compile.grants import Allowance, HostGrant
from stepguard_policy.compile.options import DEFAULT_MAX_MATCHES_PER_NAMESPACE, CompileOptions
from stepguard_policy.compile.problems import problems_of
from stepguard_policy.compile.reasons import AcceptedReason, RefsReason
from stepguard_policy.compile.render import render_snapshot
from stepguard_policy.compile.requirements import Decider, Effective, Part
from stepguard_policy.compile.verdicts import Compiled, Finding, Kind, Ref, Verdict, ref_of
from stepguard_policy.encode import SCHEMA_VERSION, snapshot_hash, table_hash

__all__ = [
    "DEFAULT_MAX_MATCHES_PER_NAMESPACE",
    "SCHEMA_VERSION",
    "AcceptedReason",
    "Allowance",
    "CompileOptions",
    "Compiled",
    "Compiler",
    "Decider",
    "Effective",
    "Finding",
    "HostGrant",
    "Kind",
    "Part",
    "Ref",
    "RefsReason",
    "Verdict",
    "compile_resources",
    "effective_requirement",
    "problems_of",
    "ref_of",
    "render_snapshot",
    "snapshot_hash",
    "table_hash",
]
