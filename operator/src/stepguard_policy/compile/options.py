"""What an installation decides about compilation."""

from dataclasses import dataclass

from stepguard_policy.compile.grants import HostGrant

DEFAULT_MAX_MATCHES_PER_NAMESPACE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """How to compile.

    `grants`: None restricts nothing but the host `*`; an empty tuple grants nothing to anybody.
    `file_mode`: the host `*` is free, and a reference to a TokenIssuer that is missing or not for the policy's
    namespace never refuses a policy (ResolvedRefs says so, its tokens are refused, and the caller decides what it
    thinks of that).
    `max_matches_per_namespace`: a match counts once per host and per method that it lists; None is no limit.
    """

    grants: tuple[HostGrant, ...] | None = None
    file_mode: bool = False
    max_matches_per_namespace: int | None = DEFAULT_MAX_MATCHES_PER_NAMESPACE
