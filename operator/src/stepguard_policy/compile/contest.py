"""Which spec of each policy serves, oldest policy first: what is taken by an older one stays taken."""

from collections import defaultdict
from collections.abc import Iterator

from stepguard_policy.compile.bind import Bound
from stepguard_policy.compile.draft import Draft, Fault, HostSettings, describe
from stepguard_policy.compile.matches import MatchKey
from stepguard_policy.compile.reasons import AcceptedReason
from stepguard_policy.compile.verdicts import Finding, Ref
from stepguard_policy.paths import without_trailing_slash

Holders = dict[MatchKey, Bound]
"""Which policy answers a match, whatever else the request has."""


class Contest:
    """What serves so far."""

    def __init__(self, *, max_matches_per_namespace: int | None) -> None:
        self._limit = max_matches_per_namespace
        self._matches: dict[str, int] = defaultdict(int)
        self._closed: set[str] = set()
        self._settings: dict[str, tuple[HostSettings, Ref]] = {}
        self._held: dict[str, Holders] = defaultdict(dict)
        self._documents: dict[tuple[str, str], Ref] = {}
        self.serving: dict[str, list[Bound]] = defaultdict(list)
        """Policies of each host pattern, oldest first."""

    def over_quota(self, draft: Draft, namespace: str) -> Fault | None:
        """Whether the namespace has no room for this. A match counts once per host and per method it lists."""
        if self._limit is None:
            return None
        count = len(draft.routes) * len(draft.hosts)
        total = self._matches[namespace] + count
        if total <= self._limit and namespace not in self._closed:
            return None
        message = (
            f"namespace {namespace} may have {self._limit} matches (each counts once per host and per method);"
            f" older policies have {self._matches[namespace]}, this one has {count}"
        )
        return Fault(AcceptedReason.QUOTA_EXCEEDED, (Finding("spec.rules", message),))

    def close(self, namespace: str) -> None:
        """Let no younger policy of the namespace in: the youngest are the first to go."""
        self._closed.add(namespace)

    def loses(self, bound: Bound) -> Fault | None:
        """Whether an older policy has other settings for a host, or answers a match already."""
        settings = tuple(self._other_settings(bound))
        if settings:
            return Fault(AcceptedReason.HOST_SETTINGS_CONFLICT, settings)
        conflicts = (*self._taken_matches(bound), *self._taken_documents(bound))
        return Fault(AcceptedReason.CONFLICTED, conflicts) if conflicts else None

    def admit(self, bound: Bound) -> None:
        """Let a policy serve."""
        self._matches[bound.ref.namespace] += len(bound.routes) * len(bound.hosts)
        for host in bound.hosts:
            self.serving[host].append(bound)
            self._settings.setdefault(host, (bound.settings, bound.ref))
            self._held[host].update(dict.fromkeys(bound.certain, bound))
            if bound.message.HasField("resource_metadata"):
                self._documents[host, _document(bound)] = bound.ref

    def _other_settings(self, bound: Bound) -> Iterator[Finding]:
        for host in bound.hosts:
            if host not in self._settings:
                continue
            settings, ref = self._settings[host]
            for field, ours, theirs in (
                ("spec.pathMatching", bound.settings.paths, settings.paths),
                ("spec.origin", bound.settings.origin, settings.origin),
                ("spec.cors", bound.settings.allow_origins, settings.allow_origins),
            ):
                if ours != theirs:
                    yield Finding(field, f"must be as in the older policy {ref}, which has host {host} too")

    def _taken_matches(self, bound: Bound) -> Iterator[Finding]:
        for host in bound.hosts:
            holders = self._held.get(host)
            if holders is None or holders.keys().isdisjoint(bound.certain):
                continue
            for key, route in bound.certain.items():
                if (winner := holders.get(key)) is not None:
                    rule = winner.message.rules[winner.certain[key].rule].name
                    whose = f"rule {rule} of the older policy {winner.ref}"
                    yield Finding(route.field, f"{whose} answers the same match on {host} ({describe(route)})")

    def _taken_documents(self, bound: Bound) -> Iterator[Finding]:
        if not bound.message.HasField("resource_metadata"):
            return
        for host in bound.hosts:
            winner = self._documents.get((host, _document(bound)))
            if winner is not None:
                path = bound.message.resource_metadata.path
                message = f"the older policy {winner} serves a document at {path} on {host}"
                yield Finding("spec.protectedResourceMetadata.resource", message)


def _document(bound: Bound) -> str:
    return without_trailing_slash(bound.message.resource_metadata.path)
