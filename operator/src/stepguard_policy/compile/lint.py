"""What is legal and still worth a word to its author."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.draft import Route, describe
from stepguard_policy.compile.matches import ANY_METHOD
from stepguard_policy.compile.verdicts import Finding, Ref

Candidate = tuple[Ref, pb.Rule, str, Route]
"""The policy, its rule, the field of the rule, and the match, as they stand in a host table."""


def conditions_that_clients_choose(candidates: Sequence[Candidate]) -> Iterator[tuple[Ref, Finding]]:
    """Rules with `when` that a weaker rule for the same match follows: who sends the request chooses between them."""
    for _, same_path in groupby(candidates, key=lambda candidate: candidate[3].key.shape):
        group = list(same_path)
        for position, (ref, rule, field, route) in enumerate(group):
            if not route.conditional:
                continue
            followers = (later for later in group[position + 1 :] if _follows(later[3], route))
            weaker = next((later for later in followers if _weaker(later[1], rule)), None)
            if weaker is not None:
                yield ref, Finding(f"{field}.when", _choice(weaker, route))


def _choice(weaker: Candidate, route: Route) -> str:
    ref, rule, _, _ = weaker
    return (
        f"where this is false, the weaker rule {rule.name} of {ref} applies to the same match ({describe(route)}):"
        " the client chooses by what it sends"
    )


def _follows(later: Route, route: Route) -> bool:
    """Whether a request that reaches the earlier match can go on to the later one."""
    return route.key.method == ANY_METHOD or later.key.governs(route.key.method)


def _weaker(rule: pb.Rule, than: pb.Rule) -> bool:
    """Whether a rule lets something through that the other does not."""
    if rule.access != pb.ACCESS_AUTHENTICATED or than.access != pb.ACCESS_AUTHENTICATED:
        openness = {pb.ACCESS_DENIED: 0, pb.ACCESS_AUTHENTICATED: 1, pb.ACCESS_ANONYMOUS: 2}
        return openness[rule.access] > openness[than.access]
    ours, theirs = rule.require, than.require
    return (
        (theirs.dpop_required and not ours.dpop_required)
        or (
            bool(theirs.acr_values)
            and not 0 < len(ours.acr_values) == len(set(ours.acr_values) & set(theirs.acr_values))
        )
        or (bool(theirs.max_age_seconds) and not 0 < ours.max_age_seconds <= theirs.max_age_seconds)
        or not set(ours.scopes) >= set(theirs.scopes)
    )
