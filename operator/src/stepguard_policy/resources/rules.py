"""The rules of a StepUpPolicy: which requests, and what they need."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from stepguard_policy.resources.duration import Duration
from stepguard_policy.resources.schema import ATOMIC, SET, Model, cel, quote
from stepguard_policy.resources.text import AcrValue, Method, RuleName, Scope


class Access(StrEnum):
    """What a rule asks for before anything else."""

    AUTHENTICATED = "Authenticated"
    ANONYMOUS = "Anonymous"
    DENIED = "Denied"


class DpopRequirement(StrEnum):
    """Whether a rule insists on DPoP-bound tokens. A bound token is always enforced."""

    IF_BOUND = "IfBound"
    REQUIRED = "Required"


class PathType(StrEnum):
    """How the path of a match is compared."""

    EXACT = "Exact"
    PATH_PREFIX = "PathPrefix"
    TEMPLATE = "Template"


_PLAIN_PATH = r"(/[^\x00-\x20\x7F-\x{10FFFF}{}?#\\/]*)+"
_CHARACTERS = r"""!"$-.0->@-[\]-z|~"""
"""Visible ASCII without # / ? \\ { }. Patterns are kept short: the API server charges for their length."""
_PLAIN_PATH = f"/[{_CHARACTERS}/]*"
_CAPTURE = r"[A-Za-z_]\w*"
_TEMPLATE = rf"(/([{_CHARACTERS}]+|\{{{_CAPTURE}\}}))*(/\{{({_CAPTURE}=)?\*\*\}})?/?"


class PathMatch(Model):
    """The path of a match."""

    type: PathType
    """Exact compares the whole path (one trailing slash ignored); PathPrefix whole segments from the left, the longest
    first; Template segment by segment, {name} being one segment and {name=**} or {**} the rest."""
    value: Annotated[str, Field(min_length=1, max_length=1024)]
    """The path in normal form: begins with /, no query, unreserved characters not percent-encoded, upper-case hex, no
    dot segments and no repeated slashes."""

    @cel(
        f"self.type == 'Template' || self.value.matches({quote(f'^{_PLAIN_PATH}$')})",
        "must begin with / and hold visible ASCII without ? # \\ { } (captures need type: Template)",
        about="value",
    )
    def _plain(self) -> bool:
        return self.type is PathType.TEMPLATE or bool(re.fullmatch(_PLAIN_PATH, self.value, re.ASCII))

    @cel(
        f"self.type != 'Template' || self.value.matches({quote(f'^{_TEMPLATE}$')})",
        "must be a template such as /users/{id}/cards/{card} or /files/{path=**}, with {**} in the last segment only",
        about="value",
    )
    def _template(self) -> bool:
        return self.type is not PathType.TEMPLATE or bool(re.fullmatch(_TEMPLATE, self.value, re.ASCII))


class Match(Model):
    """Which requests: a path, and optionally methods."""

    path: PathMatch
    """The path that the request must have."""
    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=32), SET] | None = None
    """Methods in upper case, any of them. Default: every method. GET governs HEAD too, unless a match names HEAD."""


class Require(Model):
    """What an Authenticated rule demands of the token."""

    dpop: DpopRequirement = DpopRequirement.IF_BOUND
    """IfBound (default) takes bearer tokens too; Required only DPoP-bound ones (RFC 9449). A token that is bound needs
    its proof in either case."""
    acr_values: Annotated[tuple[AcrValue, ...], Field(min_length=1, max_length=32), ATOMIC] | None = None
    """Authentication context classes, any one of which suffices; their order is the preference in the challenge
    (RFC 9470). Compared as case-sensitive strings, without hierarchy."""
    max_age: Annotated[int, Duration("1s")] | None = None
    """The most time since the user's authentication (auth_time, RFC 9470), a duration such as 5m, at least 1s."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=32), SET] | None = None
    """Scopes that the token must all have (RFC 6749 §3.3)."""


class Rule(Model):
    """One rule. The order of rules in the list never matters."""

    name: RuleName
    """Name of the rule, unique in the policy; shown in logs and metadata."""
    matches: Annotated[tuple[Match, ...], Field(min_length=1, max_length=16), ATOMIC]
    """Which requests the rule is about: any of these."""
    when: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """CEL condition over request.method, request.path, request.host, request.query, request.headers, params and
    claims; false passes on to the next rule, an error denies. With claims only in Authenticated rules."""
    access: Access = Access.AUTHENTICATED
    """Authenticated (default) asks for a token; Anonymous lets everybody in; Denied nobody."""
    require: Require | None = None
    """What the token must show; only with access Authenticated. Merged with the policy's defaults."""

    @cel(
        "!has(self.require) || self.access == 'Authenticated'",
        "require needs access: Authenticated",
        about="require",
    )
    def _only_authenticated_requires(self) -> bool:
        return self.require is None or self.access is Access.AUTHENTICATED
