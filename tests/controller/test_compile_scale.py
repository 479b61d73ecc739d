"""How long compilation takes. Measured on one core of a busy two-core machine; the bounds here are ten times that.

1 000 policies of 10 rules: 0.5 s from nothing, 0.05 s after one change. 10 000 of them on as many hosts: 5 s and 0.5 s.
"""

import time
from collections.abc import Iterator

import pytest
from stepguard_policy.compile import Compiled, CompileOptions, Compiler
from stepguard_policy.resources import PolicyResource, Resource, StepUpPolicySpec

from tests.support.resources import issuer, match, policy, policy_spec, rule

RULES = [rule(f"r{n}", match(f"/service/{n}/{{id}}", "GET", "POST", kind="Template")) for n in range(10)]
OPTIONS = CompileOptions(max_matches_per_namespace=None)


def on_hosts_of_their_own(count: int, spec: StepUpPolicySpec) -> Iterator[PolicyResource]:
    """Policies of twenty namespaces."""
    for number in range(count):
        own = spec.model_copy(update={"hosts": (f"h{number}.example.com",)})
        yield policy(f"n{number % 20}/p{number}", own, day=number)


def seconds(compiler: Compiler, resources: list[Resource]) -> tuple[float, Compiled]:
    """How long one compilation takes, in CPU time of this process."""
    start = time.process_time()
    result = compiler.compile(resources, OPTIONS)
    return time.process_time() - start, result


@pytest.mark.parametrize(
    ("policies", "cold", "warm"), [(1000, 5, 0.5), pytest.param(10_000, 50, 5, marks=pytest.mark.slow)]
)
def test_compiling_takes_its_stated_time(policies: int, cold: float, warm: float) -> None:
    """From nothing, and again after one policy was changed."""
    resources: list[Resource] = [issuer(), *on_hosts_of_their_own(policies, policy_spec(*RULES))]
    compiler = Compiler()
    took, before = seconds(compiler, resources)
    assert took < cold
    assert len(before.snapshot.policies) == policies
    resources[1] = policy("n0/p0", policy_spec(*RULES[:5], hosts=["h0.example.com"]), day=0)
    took, after = seconds(compiler, resources)
    assert took < warm
    changed = [
        ours
        for ours, theirs in zip(after.snapshot.host_tables, before.snapshot.host_tables, strict=True)
        if ours != theirs
    ]
    assert [entry.pattern for entry in changed] == ["h0.example.com"]


def test_many_policies_of_one_host_take_no_longer_than_on_many_hosts() -> None:
    """Conflicts are found by looking matches up, not by comparing policies with each other."""
    resources: list[Resource] = [issuer()]
    for number in range(1000):
        rules = [rule(f"r{n}", match(f"/{number}/{n}")) for n in range(10)]
        resources.append(policy(f"bank/p{number}", policy_spec(*rules), day=number))
    took, result = seconds(Compiler(), resources)
    assert took < 5
    assert len(result.snapshot.policies) == 1000
