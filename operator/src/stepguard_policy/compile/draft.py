"""One spec of one policy, as far as it can be judged without looking at anything else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.hints import hints
from stepguard_policy.compile.matches import ANY_METHOD, MatchKey, PathSettings, parse_path
from stepguard_policy.compile.metadata import check_metadata
from stepguard_policy.compile.reasons import AcceptedReason
from stepguard_policy.compile.requirements import Effective, merge_requirement
from stepguard_policy.compile.verdicts import Finding
from stepguard_policy.expressions import ExpressionError, compile_expression
from stepguard_policy.hosts import HostRefused, parse_host_pattern
from stepguard_policy.resources import Access, EncodedSlashes, PathParameters, Rule, StepUpPolicySpec

_ACCESS = {
    Access.AUTHENTICATED: pb.ACCESS_AUTHENTICATED,
    Access.ANONYMOUS: pb.ACCESS_ANONYMOUS,
    Access.DENIED: pb.ACCESS_DENIED,
}


@dataclass(frozen=True, slots=True)
class Route:
    """One (path, method) of one match. `rule` is the index of its rule by name, `field` where the match stands."""

    key: MatchKey
    path: str
    rule: int
    conditional: bool
    field: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a spec cannot serve."""

    reason: AcceptedReason
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What all policies of one host pattern must have in common."""

    paths: PathSettings
    origin: tuple[str, int, str]
    """Scheme, port (0: the authority's) and host (empty: the authority's)."""
    allow_origins: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """The rules in the order of their names, so that their order in the list never matters.

    `fault` is what is wrong whatever else there is in the cluster; the rest is then as complete as it can be.
    """

    spec: StepUpPolicySpec
    hosts: tuple[str, ...]
    settings: HostSettings
    rules: tuple[pb.Rule, ...]
    rule_fields: tuple[str, ...]
    routes: tuple[Route, ...]
    fault: Fault | None
    warnings: tuple[Finding, ...]


def draft_policy(spec: StepUpPolicySpec) -> Draft:
    """Judge a spec by itself: hosts, paths, expressions, merged requirements, and matches that occur twice."""
    hosts, problems = _hosts(spec)
    paths = PathSettings(
        spec.path_matching.ignore_case,
        spec.path_matching.encoded_slashes is EncodedSlashes.KEEP,
        spec.path_matching.parameters is PathParameters.DROP,
    )
    expressions: list[Finding] = []
    rules: list[pb.Rule] = []
    routes: list[Route] = []
    by_name = sorted(enumerate(spec.rules), key=lambda item: item[1].name)
    for position, (index, rule) in enumerate(by_name):
        field = f"spec.rules[{index}]"
        message = pb.Rule(name=rule.name, access=_ACCESS[rule.access])
        problems += _require(message, rule, spec, field)
        expressions += _condition(message, rule, field)
        rules.append(message)
        found = list(_routes(rule, paths, position, field))
        routes += (route for route in found if isinstance(route, Route))
        problems += (problem for problem in found if isinstance(problem, Finding))
    problems += check_metadata(spec, paths)
    return Draft(
        spec,
        hosts,
        HostSettings(paths, _origin(spec), tuple(sorted(spec.cors.allow_origins)) if spec.cors else None),
        tuple(rules),
        tuple(f"spec.rules[{index}]" for index, _ in by_name),
        tuple(routes),
        _fault(problems, expressions, _duplicates(sorted(routes, key=lambda route: by_name[route.rule][0]))),
        tuple(_warnings(spec)),
    )


def _fault(invalid: list[Finding], expressions: list[Finding], duplicates: list[Finding]) -> Fault | None:
    """All findings at once; the reason is that of the first kind there is."""
    kinds = (
        (AcceptedReason.INVALID, invalid),
        (AcceptedReason.INVALID_EXPRESSION, expressions),
        (AcceptedReason.DUPLICATE_MATCH, duplicates),
    )
    reason = next((reason for reason, findings in kinds if findings), None)
    return Fault(reason, (*invalid, *expressions, *duplicates)) if reason else None


def _hosts(spec: StepUpPolicySpec) -> tuple[tuple[str, ...], list[Finding]]:
    parsed = [parse_host_pattern(host) for host in spec.hosts]
    problems = [
        Finding(f"spec.hosts[{index}]", host.reason)
        for index, host in enumerate(parsed)
        if isinstance(host, HostRefused)
    ]
    return tuple(dict.fromkeys(host for host in parsed if isinstance(host, str))), problems


def _origin(spec: StepUpPolicySpec) -> tuple[str, int, str]:
    return spec.origin.scheme.value, spec.origin.port or 0, (spec.origin.host or "").lower().removesuffix(".")


def _require(message: pb.Rule, rule: Rule, spec: StepUpPolicySpec, field: str) -> Iterator[Finding]:
    if rule.access is not Access.AUTHENTICATED:
        return
    effective = effective_requirement(spec, rule)
    if effective.unmeetable:
        yield Finding(f"{field}.require.acrValues", "none of these is in spec.defaults.require.acrValues")
    message.require.dpop_required = effective.dpop_required.value
    message.require.acr_values.extend(effective.acr_values.value)
    message.require.max_age_seconds = effective.max_age.value or 0
    message.require.scopes.extend(effective.scopes.value)


def effective_requirement(spec: StepUpPolicySpec, rule: Rule) -> Effective:
    """What an Authenticated rule demands, the policy's defaults included, and who says so."""
    return merge_requirement(rule.require, spec.defaults.require if spec.defaults else None)


def _condition(message: pb.Rule, rule: Rule, field: str) -> Iterator[Finding]:
    if rule.when is None:
        return
    expression = compile_expression(rule.when)
    if isinstance(expression, ExpressionError):
        yield Finding(f"{field}.when", expression.text)
        return
    if expression.mentions_claims and rule.access is not Access.AUTHENTICATED:
        yield Finding(f"{field}.when", f"claims are not known in a rule with access {rule.access}")
    message.when = rule.when
    message.when_mentions_claims = expression.mentions_claims


def _routes(rule: Rule, paths: PathSettings, position: int, field: str) -> Iterator[Route | Finding]:
    for index, match in enumerate(rule.matches):
        place = f"{field}.matches[{index}]"
        parsed = parse_path(match.path, paths)
        if isinstance(parsed, str):
            yield Finding(f"{place}.path.value", parsed)
            continue
        for method in match.methods or (ANY_METHOD,):
            yield Route(MatchKey(parsed.shape, method), parsed.text, position, rule.when is not None, place)


def _duplicates(routes: Sequence[Route]) -> list[Finding]:
    """Matches that two rules without `when` answer, or that one rule lists twice."""
    always: dict[MatchKey, Route] = {}
    in_rule: dict[tuple[MatchKey, int], Route] = {}
    findings = []
    for route in routes:
        first = in_rule.setdefault((route.key, route.rule), route)
        if first is route and not route.conditional:
            first = always.setdefault(route.key, route)
        if first is not route:
            findings.append(Finding(route.field, f"{first.field} answers the same match already ({describe(route)})"))
    return findings


def _warnings(spec: StepUpPolicySpec) -> Iterator[Finding]:
    for index, rule in enumerate(spec.rules):
        yield from (Finding(f"spec.rules[{index}].when", hint) for hint in hints(rule.when or ""))


def describe(route: Route) -> str:
    """A match in words, for messages."""
    kind = {pb.PATH_TYPE_EXACT: "Exact", pb.PATH_TYPE_TEMPLATE: "Template"}.get(route.key.shape.path_type, "PathPrefix")
    return f"{kind} {route.path}, {route.key.method or 'any method'}"
