"""What holds for any set of resources: order, memory and neighbours do not matter."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import (
    Allowance,
    Compiled,
    CompileOptions,
    Compiler,
    HostGrant,
    compile_resources,
    ref_of,
    snapshot_hash,
    table_hash,
)
from stepguard_policy.hosts import covers, parse_host_pattern
from stepguard_policy.resources import Accepted, IssuerResource, PolicyResource, Resource, StepUpPolicySpec

from tests.support.resources import HOST, issuer, issuer_spec, match, policy, policy_spec, rule, tables

PATHS = st.sampled_from(
    [match("/a"), match("/a", "GET"), match("/a/{x}", kind="Template"), match("/", kind="PathPrefix")]
)
CONDITIONS = st.sampled_from([None, None, '"x" in request.query', "claims.sub == 'me'", "nosuch == 1"])
HOSTS = st.lists(
    st.sampled_from(["a.example", "b.example", "*.example", "x.a.example", "*"]), min_size=1, max_size=2, unique=True
)
REQUIREMENTS = st.sampled_from([{}, {"dpop": "Required"}, {"acrValues": ["mfa"]}, {"maxAge": "5m"}])


@st.composite
def _specs(draw: st.DrawFn) -> StepUpPolicySpec:
    matches = draw(st.lists(PATHS, min_size=1, max_size=3))
    rules = []
    for index, one in enumerate(matches):
        condition = draw(CONDITIONS)
        fields: dict[str, Any] = {"require": draw(REQUIREMENTS)} | ({"when": condition} if condition else {})
        rules.append(rule(f"r{index}", one, **fields))
    extra: dict[str, Any] = draw(st.sampled_from([{}, {}, {"mode": "Audit"}, {"origin": {"port": 8443}}]))
    return policy_spec(
        *rules, hosts=draw(HOSTS), issuers=draw(st.sampled_from([["i0"], ["i1"], ["i0", "i1"]])), **extra
    )


SPECS = _specs()
"""Few words, so that they meet often."""


@st.composite
def _policies(draw: st.DrawFn) -> list[PolicyResource]:
    names = draw(st.lists(st.sampled_from(["n/a", "n/b", "n/c", "m/a", "m/b"]), unique=True, max_size=5))
    made = []
    for name in names:
        one = policy(name, draw(SPECS), day=draw(st.integers(0, 2)), generation=draw(st.integers(1, 2)))
        before = draw(st.none() | st.builds(Accepted, st.integers(1, 2), SPECS))
        readable = draw(st.integers(0, 9)) > 0
        made.append(replace(one, accepted=before, spec=one.spec if readable else None))
    return made


@st.composite
def _issuers(draw: st.DrawFn) -> list[IssuerResource]:
    urls = st.sampled_from(["https://as.example", "https://other.example"])
    namespaces = st.sampled_from([["*"], ["n"]])
    names = draw(st.lists(st.sampled_from(["i0", "i1"]), unique=True, max_size=2))
    return [issuer(name, issuer_spec(draw(urls), namespaces=draw(namespaces))) for name in names]


RESOURCES = st.tuples(_policies(), _issuers()).map(lambda parts: [*parts[0], *parts[1]])
OPTIONS = st.builds(
    CompileOptions,
    grants=st.none()
    | st.just((HostGrant(("*.example",), ("n", "m"), frozenset({Allowance.AUDIT})), HostGrant(("a.example",), ("n",)))),
    file_mode=st.booleans(),
    max_matches_per_namespace=st.sampled_from([None, 2, 5000]),
)


def _said(result: Compiled) -> tuple[bytes, Any]:
    return result.snapshot.SerializeToString(deterministic=True), result.verdicts


@given(resources=RESOURCES, options=OPTIONS, data=st.data())
def test_the_order_of_the_resources_never_matters(
    resources: list[Resource], options: CompileOptions, data: st.DataObject
) -> None:
    """Every permutation gives the same snapshot, byte for byte, and the same verdicts."""
    shuffled = data.draw(st.permutations(resources))
    assert _said(compile_resources(resources, options)) == _said(compile_resources(shuffled, options))


@given(rounds=st.lists(st.tuples(RESOURCES, OPTIONS), min_size=1, max_size=4))
def test_a_compiler_with_a_memory_says_what_one_without_says(
    rounds: list[tuple[list[Resource], CompileOptions]],
) -> None:
    """Whatever it compiled before: what it keeps is only used for equal inputs."""
    compiler = Compiler()
    for resources, options in rounds:
        assert _said(compiler.compile(resources, options)) == _said(compile_resources(resources, options))


@given(spec=SPECS, data=st.data())
def test_the_order_of_rules_and_hosts_never_matters(spec: StepUpPolicySpec, data: st.DataObject) -> None:
    """A policy whose lists are shuffled compiles to the same snapshot."""
    shuffled = spec.model_copy(
        update={
            "rules": tuple(data.draw(st.permutations(spec.rules))),
            "hosts": tuple(data.draw(st.permutations(spec.hosts))),
        }
    )
    one, other = (_compile([policy("n/p", each)]).snapshot for each in (spec, shuffled))
    assert one == other


@given(resources=RESOURCES, options=OPTIONS)
def test_every_resource_gets_a_verdict_that_agrees_with_the_snapshot(
    resources: list[Resource], options: CompileOptions
) -> None:
    """What serves is in it, with its hash; what does not serve is not."""
    result = compile_resources(resources, options)
    assert set(result.verdicts) == {ref_of(one) for one in resources}
    digests = {one.name: one.hash for one in result.snapshot.policies}
    policies = {str(ref): verdict for ref, verdict in result.verdicts.items() if ref.kind == "StepUpPolicy"}
    assert digests == {name: one.policy_hash for name, one in policies.items() if one.serving_generation is not None}
    assert set(result.serving) == {ref for ref in result.verdicts if str(ref) in digests and ref.kind == "StepUpPolicy"}
    for table in tables(result).values():
        assert {one.name for one in table.policies} <= set(digests)


@given(resources=RESOURCES, options=OPTIONS)
def test_an_accepted_verdict_is_one_that_serves_the_current_generation(
    resources: list[Resource], options: CompileOptions
) -> None:
    """And each refusal says why."""
    verdicts = compile_resources(resources, options).verdicts
    for one in resources:
        verdict = verdicts[ref_of(one)]
        if verdict.accepted:
            assert verdict.serving_generation == one.generation
            assert verdict.findings == ()
        else:
            assert verdict.message
            assert not verdict.accepts_new


@given(resources=RESOURCES)
def test_overlapping_hosts_in_the_snapshot_belong_to_one_namespace(resources: list[Resource]) -> None:
    """Without grants nobody gets a host inside or around another namespace's, whatever happened before."""
    served = tables(_compile(resources))
    owners = {pattern: {one.name.partition("/")[0] for one in table.policies} for pattern, table in served.items()}
    for pattern, names in owners.items():
        for other, others in owners.items():
            if covers(pattern, other):
                assert len(names | others) <= 1


@given(resources=RESOURCES, options=OPTIONS)
def test_one_match_of_a_host_is_answered_by_one_rule_without_condition(
    resources: list[Resource], options: CompileOptions
) -> None:
    """So the walk always knows what comes last."""
    for table in tables(compile_resources(resources, options)).values():
        certain = [
            (one.path_type, _without_names(one.path), one.method)
            for one in table.candidates
            if not table.policies[one.policy].rules[one.rule].when
        ]
        assert len(set(certain)) == len(certain)


@given(resources=RESOURCES, options=OPTIONS)
def test_hashes_are_those_of_the_content(resources: list[Resource], options: CompileOptions) -> None:
    """Anybody who has the bytes can check them; the version is no part of the content."""
    snapshot = compile_resources(resources, options).snapshot
    assert all(entry.hash == table_hash(entry.table) for entry in snapshot.host_tables)
    versioned = pb.PolicySnapshot()
    versioned.CopyFrom(snapshot)
    versioned.version.sequence = 7
    assert snapshot.hash == snapshot_hash(versioned)


@given(resources=_policies(), issuers=_issuers())
def test_every_host_of_a_snapshot_is_named_by_a_policy(
    resources: list[PolicyResource], issuers: list[IssuerResource]
) -> None:
    """And every table is under its own pattern in normal form."""
    result = _compile([*resources, *issuers])
    specs = [spec for one in resources for spec in (one.spec, one.accepted and one.accepted.spec) if spec]
    assert set(tables(result)) <= {parse_host_pattern(host) for spec in specs for host in spec.hosts}
    assert all(table.pattern == pattern for pattern, table in tables(result).items())


def test_the_hash_of_a_policy_does_not_change_with_another_policy() -> None:
    """So a neighbour's edit touches no status here."""
    ours = policy("n/p", policy_spec(rule("x", match("/a"))))
    alone = _compile([ours, issuer()])
    beside = _compile([ours, policy("n/q", policy_spec(rule("y", match("/b")))), issuer(), issuer("more")])
    assert _digest(alone, "n/p") == _digest(beside, "n/p")


def test_the_hash_of_a_policy_changes_with_what_is_compiled_from_it() -> None:
    """Its rules, hosts, settings, and which of its issuers count."""
    base = policy_spec(rule("x", match("/a")), issuers=["main", "gone"])
    variants = [
        base,
        policy_spec(rule("x", match("/b")), issuers=["main", "gone"]),
        policy_spec(rule("x", match("/a"), require={"dpop": "Required"}), issuers=["main", "gone"]),
        base.model_copy(update={"hosts": ("b.example",)}),
        base.model_copy(update={"hosts": ("b.example", "a.example")}),
        policy_spec(rule("x", match("/a")), issuers=["main", "gone"], pathMatching={"ignoreCase": True}),
        policy_spec(rule("x", match("/a")), issuers=["main", "gone"], audiences=["https://x.example"]),
    ]
    gone = issuer("gone", issuer_spec("https://gone.example"))
    hashes = [_digest(_compile([policy("n/p", spec), issuer(), gone]), "n/p") for spec in variants]
    before = policy("n/p", base, accepted=base, accepted_generation=1)
    hashes.append(_digest(_compile([before, issuer()]), "n/p"))
    assert len(set(hashes)) == len(hashes)


def test_the_table_of_a_host_does_not_change_with_another_host() -> None:
    """Replicas reuse it."""
    ours = policy("n/p")
    tables_before = {entry.pattern: entry.hash for entry in _compile([ours, issuer()]).snapshot.host_tables}
    other = policy("n/q", policy_spec(hosts=["other.example"]))
    tables_after = {entry.pattern: entry.hash for entry in _compile([ours, other, issuer()]).snapshot.host_tables}
    assert tables_before[HOST] == tables_after[HOST]


def _compile(resources: Iterable[Resource]) -> Compiled:
    return compile_resources(resources, CompileOptions())


def _digest(result: Compiled, name: str) -> str:
    return next(one.hash for one in result.snapshot.policies if one.name == name)


def _without_names(path: str) -> str:
    return path.replace("{x}", "{}")
