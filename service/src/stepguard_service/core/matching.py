"""Which host's rules a request meets: an immutable index over all of them, swapped whole.

A look-up costs the same for ten rules as for a hundred thousand. Tables of hosts are built one by one, so that those
that did not change are used again and none holds up the serving loop.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stepguard_policy.hosts import ANY_HOST
from stepguard_policy.paths import PathRefused, normalize_path

from stepguard_service.core.challenge import terms_of
from stepguard_service.core.model import Candidate, Issuer, Mode, PathMatching, PathType, Policy, ResourceMetadata
from stepguard_service.core.path_index import Entry, Found, PathIndex, captures_of

METHOD_OVERRIDES = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})
"""With these a client may make the application take a request for one with another method."""

_SLICE = 256
"""Candidates per step: about a millisecond."""


@dataclass(frozen=True, slots=True)
class HostTable:
    """Everything that the policies of one host pattern say, as it is compiled.

    `policies` are oldest first, `candidates` in walking order, header names in lower case. Without candidates every
    request is denied.
    """

    pattern: str
    path_matching: PathMatching = field(default_factory=PathMatching)
    policies: tuple[Policy, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    allow_origins: frozenset[str] = frozenset()
    identity_headers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class HostRules:
    """A host table, indexed."""

    pattern: str
    path_matching: PathMatching
    policies: tuple[Policy, ...]
    allow_origins: frozenset[str]
    paths: PathIndex
    entries: tuple[Entry, ...]
    """All of them, in the order in which they were compiled."""
    documents: Mapping[str, tuple[Policy, ResourceMetadata]]
    """RFC 9728 documents by their path in normal form."""
    stripped: tuple[str, ...]
    """Request headers that only we may set, or that nobody may."""
    mode: Mode
    """Audit where all policies are: how requests are treated that no rule governs."""
    proof_lifetime: int
    """Seconds after its `iat` in which a proof may pass under one policy or another that refuses replays."""

    @property
    def owner(self) -> str:
        """The oldest policy of the host, for answers to requests that no rule governs."""
        return self.policies[0].name if self.policies else ""

    def normalize(self, path: str) -> str | PathRefused:
        """The normal form of a path at this host."""
        return _normalize(path, self.path_matching)

    def candidates(self, path: str, method: str) -> Iterator[Found]:
        """What may govern a request for this path in normal form, in walking order."""
        return self.paths.find(path, method)


def index(table: HostTable) -> HostRules:
    """Index a host table at once."""
    steps = index_in_steps(table)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            rules: HostRules = done.value
            return rules


def index_in_steps(table: HostTable) -> Generator[None, None, HostRules]:
    """The same in steps of about a millisecond, for who has other things to do between them."""
    paths, entries = PathIndex(), []
    for position, candidate in enumerate(table.candidates, start=1):
        entry = Entry(
            path_type=candidate.path_type,
            path=candidate.path,
            method=candidate.method,
            rule=candidate.rule,
            terms=terms_of(candidate.rule),
            captures=captures_of(candidate.path) if candidate.path_type is PathType.TEMPLATE else (),
        )
        paths.add(entry)
        entries.append(entry)
        if position % _SLICE == 0:
            yield
    audit = bool(table.policies) and all(policy.mode is Mode.AUDIT for policy in table.policies)
    return HostRules(
        pattern=table.pattern,
        path_matching=table.path_matching,
        policies=table.policies,
        allow_origins=table.allow_origins,
        paths=paths,
        entries=tuple(entries),
        documents=_documents(table),
        stripped=tuple(sorted(table.identity_headers | (METHOD_OVERRIDES if _methods_matter(table) else frozenset()))),
        mode=Mode.AUDIT if audit else Mode.ENFORCE,
        proof_lifetime=max((_lifetime(policy) for policy in table.policies), default=0),
    )


def _methods_matter(table: HostTable) -> bool:
    """Whether a method decides what is asked of a request: by a match, by a condition, or because it is a preflight."""
    judged = any(candidate.method or candidate.rule.condition is not None for candidate in table.candidates)
    return judged or bool(table.allow_origins)


def _lifetime(policy: Policy) -> int:
    return 0 if policy.dpop.skip_replay else policy.dpop.proof_max_age + policy.dpop.clock_skew


def _documents(table: HostTable) -> dict[str, tuple[Policy, ResourceMetadata]]:
    """Where two policies have one path, the older one's counts."""
    documents = {}
    for policy in reversed(table.policies):
        if (document := policy.resource_metadata) is not None:
            path = _normalize(document.path, table.path_matching)
            if not isinstance(path, PathRefused):
                documents[path] = policy, document
    return documents


def _normalize(path: str, how: PathMatching) -> str | PathRefused:
    return normalize_path(
        path,
        ignore_case=how.ignore_case,
        keep_encoded_slashes=how.keep_encoded_slashes,
        drop_parameters=how.drop_parameters,
    )


@dataclass(frozen=True, slots=True, eq=False)
class RuleSet:
    """All rules in force. Made by `RuleSetBuilder`."""

    hash: str
    issuers: tuple[Issuer, ...]
    identity_headers: tuple[str, ...]
    """Those that any policy sets: removed from requests to hosts of no policy."""
    exact: Mapping[str, HostRules]
    wildcards: Mapping[str, HostRules]
    """By what follows the asterisk, dot included."""
    fallback: HostRules | None

    def find(self, host: str) -> HostRules | None:
        """The rules of the most specific pattern that matches a host in normal form."""
        if (rules := self.exact.get(host)) is not None:
            return rules
        if self.wildcards:
            dot = host.find(".", 1)
            while dot != -1:
                if (rules := self.wildcards.get(host[dot:])) is not None:
                    return rules
                dot = host.find(".", dot + 1)
        return self.fallback

    @property
    def hosts(self) -> tuple[HostRules, ...]:
        """Every host's rules, exact names first."""
        return (*self.exact.values(), *self.wildcards.values(), *([self.fallback] if self.fallback else ()))


class RuleSetBuilder:
    """Collects the rules of hosts, each in no time, into a RuleSet."""

    def __init__(self) -> None:
        self._exact: dict[str, HostRules] = {}
        self._wildcards: dict[str, HostRules] = {}
        self._fallback: HostRules | None = None

    def add(self, rules: HostRules) -> None:
        """Take part in the set. A pattern stands in it once; a second one is a fault of the caller (ValueError)."""
        pattern = rules.pattern
        if pattern == ANY_HOST and self._fallback is None:
            self._fallback = rules
        elif pattern.startswith("*.") and pattern[1:] not in self._wildcards:
            self._wildcards[pattern[1:]] = rules
        elif not pattern.startswith("*") and pattern not in self._exact:
            self._exact[pattern] = rules
        else:
            raise ValueError(f"two host tables for the pattern {pattern}, or none that it could be")

    def finish(
        self, *, content_hash: str = "", issuers: Iterable[Issuer] = (), identity_headers: Iterable[str] = ()
    ) -> RuleSet:
        """The set of everything that was added. The builder is used up."""
        return RuleSet(
            hash=content_hash,
            issuers=tuple(issuers),
            identity_headers=tuple(sorted(identity_headers)),
            exact=self._exact,
            wildcards=self._wildcards,
            fallback=self._fallback,
        )
