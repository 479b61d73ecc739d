"""The closed vocabulary of verdicts: the reasons of the conditions Accepted and ResolvedRefs (docs/resources.md)."""

from enum import StrEnum


class AcceptedReason(StrEnum):
    """Why a resource's current spec is accepted or not."""

    ACCEPTED = "Accepted"
    """The spec is in force, or will be once the replicas have it."""
    INVALID = "Invalid"
    """A field has a wrong value, or two fields contradict each other."""
    INVALID_EXPRESSION = "InvalidExpression"
    """A `when` does not compile, or uses `claims` where nobody is authenticated."""
    DUPLICATE_MATCH = "DuplicateMatch"
    """Two rules of the policy, or one rule twice, answer the same match."""
    NOT_ALLOWED = "NotAllowed"
    """`mode: Audit` or `dpop.replay: Skip` on a host for which no host grant allows it."""
    HOST_NOT_GRANTED = "HostNotGranted"
    """No host grant gives the host to the policy's namespace."""
    HOST_CONFLICT = "HostConflict"
    """The host overlaps one that belongs to another namespace."""
    QUOTA_EXCEEDED = "QuotaExceeded"
    """The namespace has more matches than it may have, and this policy is among its youngest."""
    UNRESOLVED_REFS = "UnresolvedRefs"
    """A new generation refers to a TokenIssuer that is missing or may not be used: see ResolvedRefs."""
    HOST_SETTINGS_CONFLICT = "HostSettingsConflict"
    """An older policy of the same host has another `pathMatching`, `origin` or `cors`."""
    CONFLICTED = "Conflicted"
    """An older policy answers the same match, or serves a document at the same path."""


class RefsReason(StrEnum):
    """Why a policy's issuerRefs are resolved or not."""

    RESOLVED_REFS = "ResolvedRefs"
    """Every TokenIssuer is there and may be used."""
    ISSUER_NOT_FOUND = "IssuerNotFound"
    """There is no TokenIssuer of that name."""
    ISSUER_NOT_ACCEPTED = "IssuerNotAccepted"
    """The TokenIssuer exists, but no generation of it was ever valid."""
    ISSUER_NOT_ALLOWED = "IssuerNotAllowed"
    """The TokenIssuer's `namespaces` leave out the policy's."""
    ISSUERS_AMBIGUOUS = "IssuersAmbiguous"
    """Two of the policy's TokenIssuers have the same `issuer`, or both have `introspection`."""


CONTRIBUTES_NOTHING = frozenset(
    {AcceptedReason.HOST_NOT_GRANTED, AcceptedReason.HOST_CONFLICT, AcceptedReason.QUOTA_EXCEEDED}
)
"""Refused for these, a spec neither serves nor denies its hosts."""

LOST_TO_ANOTHER = frozenset(
    {AcceptedReason.HOST_CONFLICT, AcceptedReason.HOST_SETTINGS_CONFLICT, AcceptedReason.CONFLICTED}
)
"""The resource is good by itself; it is looked at again when the one that won goes."""
