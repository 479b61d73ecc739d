"""What the operator writes into status. Kept loose where an older or newer operator may have written it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from stepguard_policy.resources.schema import Check, Model, map_by

_COUNT = Field(ge=0, le=2_147_483_647)
_INT64 = Field(ge=0, json_schema_extra={"format": "int64"})
_TIME = Field(max_length=64, json_schema_extra={"format": "date-time"})

_ANYTHING = Check("", "", lambda _: True, (("x-kubernetes-preserve-unknown-fields", True),))
"""An accepted spec is kept as it was accepted, even where the schema has become stricter since."""


class Condition(Model):
    """One aspect of the state of the object (KEP-1623)."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """What it is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in a sentence."""
    last_transition_time: Annotated[str, _TIME]
    """When the status of this condition last changed."""
    observed_generation: Annotated[int, _INT64] | None = None
    """The metadata.generation that it is about."""


class AcceptedSpec(Model):
    """The last spec that was accepted; it serves while a newer one is not."""

    generation: Annotated[int, _INT64]
    """Its metadata.generation."""
    spec: Annotated[dict[str, Any], _ANYTHING]
    """The spec itself."""


class Replicas(Model):
    """How far the policy is in force."""

    desired: Annotated[int, _COUNT]
    """Replicas of stepguard-service that should enforce it."""
    programmed: Annotated[int, _COUNT]
    """Replicas that do."""
    summary: Annotated[str, Field(max_length=64)]
    """Both, as in 2/3."""


class _Status(Model):
    observed_generation: Annotated[int, _INT64] | None = None
    """The newest metadata.generation that the operator has seen."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), map_by("type")] | None = None
    """State of the object; Ready sums it up."""
    accepted: AcceptedSpec | None = None
    """The last spec that was accepted; it serves while a newer one is not."""


class StepUpPolicyStatus(_Status):
    """What the operator says about a StepUpPolicy: Accepted, ResolvedRefs, Programmed, Ready."""

    replicas: Replicas | None = None
    """How many replicas of stepguard-service enforce it."""
    rules: Annotated[int, _COUNT] | None = None
    """Number of rules in force."""


class TokenIssuerStatus(_Status):
    """What the operator says about a TokenIssuer: Accepted, Ready."""

    keys: Annotated[int, _COUNT] | None = None
    """The smallest number of usable keys that a replica holds."""
    last_fetch_time: Annotated[str, _TIME] | None = None
    """When keys were last fetched; renewed only together with a condition."""
