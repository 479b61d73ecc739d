"""Verdicts as problems of documents, with file and line: what `stepguard lint` and file mode report."""

from collections.abc import Iterable, Iterator

from stepguard_policy.compile.reasons import LOST_TO_ANOTHER
from stepguard_policy.compile.verdicts import Compiled, Finding, Verdict, ref_of
from stepguard_policy.resources import Problem, Resource, Severity


def problems_of(
    compiled: Compiled,
    resources: Iterable[Resource],
    *,
    losers: Severity,
    unresolved_refs: Severity,
) -> list[Problem]:
    """Everything that status would say, in the order of files and lines.

    `losers` is for resources that are good by themselves and lose to an older one; `unresolved_refs` for references to
    TokenIssuers that are not there. A resource whose spec was unreadable is left out: its document has been reported.
    """
    found = (
        _problem(resource, finding, severity)
        for resource in resources
        if resource.spec is not None
        for finding, severity in _findings(compiled.verdicts[ref_of(resource)], losers, unresolved_refs)
    )
    return sorted(found, key=lambda problem: (problem.file, problem.line, problem.field, problem.message))


def _findings(verdict: Verdict, losers: Severity, unresolved_refs: Severity) -> Iterator[tuple[Finding, Severity]]:
    severity = losers if verdict.reason in LOST_TO_ANOTHER else Severity.ERROR
    # A spec that is refused for its references has them in both lists, and then the refusal counts.
    yield from ((finding, severity) for finding in verdict.findings)
    yield from ((finding, unresolved_refs) for finding in verdict.refs_findings if finding not in verdict.findings)
    yield from ((finding, Severity.WARNING) for finding in verdict.warnings)


def _problem(resource: Resource, finding: Finding, severity: Severity) -> Problem:
    source = resource.source
    return Problem(
        source.file if source else "",
        source.line_of(finding.field) if source else 0,
        finding.field,
        finding.message,
        severity,
    )
