"""One request, from what Envoy said to what Envoy gets: gather → decide → claim → answer.

Nothing here waits. Where a decision needs something from outside, the step says what, and how to go on; each transport
waits in its own way.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stepguard_service.core.model import Answer
from stepguard_service.core.slow import Need, Waited
from stepguard_service.stores.replay import Claim, Claimed


@dataclass(frozen=True, slots=True)
class ClaimStep:
    """Everything passed but the replay check: make this claim (a batch in one round trip), then finish."""

    claim: Claim
    finish: Callable[[Claimed], Answer]


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Something slow is missing: get it off the serving loop, then resume with a fresh `now`."""

    need: Need
    resume: Callable[[Waited, int], "Step"]


Step = Answer | ClaimStep | WaitStep
