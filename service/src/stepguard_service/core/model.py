"""The types that every other module trusts: what a request, a rule, a token, a proof and an answer are.

Everything here is frozen. Values are parsed before they get here, so nothing inside checks them again. What is made for
every request is a tuple, which takes half the time of a frozen dataclass.
Times are Unix seconds; `now` is floored to whole seconds by the edge that reads the clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol

from stepguard_service.core.reasons import Reason

# --- what was asked ---------------------------------------------------------------------------------------------------


class Request(NamedTuple):
    """One HTTP request as Envoy described it, before anything in it is believed.

    `headers` has lower-case names; lines of the same name are joined by a comma, in both forms in which Envoy sends
    them, so a repeated header is one whose value has a comma where its syntax allows none.
    """

    id: str
    method: str
    authority: str
    target: str
    headers: Mapping[str, str]
    certificate: str = ""
    """`source.certificate`: URL-encoded PEM of the peer's certificate, empty where there is none."""


# --- what was configured ----------------------------------------------------------------------------------------------


class Mode(StrEnum):
    """Whether a policy blocks (Enforce) or only says what it would have done (Audit)."""

    ENFORCE = "Enforce"
    AUDIT = "Audit"


class Access(StrEnum):
    """What a rule asks for before anything else."""

    AUTHENTICATED = "Authenticated"
    ANONYMOUS = "Anonymous"
    DENIED = "Denied"


class UpstreamAuthorization(StrEnum):
    """What happens to the client's credentials on the way to the application."""

    KEEP = "Keep"
    BEARER = "Bearer"
    REMOVE = "Remove"


@dataclass(frozen=True, slots=True)
class PathMatching:
    """How the paths of one host are brought into normal form (for choosing a rule only, never for htu)."""

    ignore_case: bool = False
    keep_encoded_slashes: bool = False
    drop_parameters: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """How clients address the host, for htu (RFC 9449 §4.3). Port 0 and an empty host: the request's own."""

    scheme: Literal["https", "http"] = "https"
    port: int = 0
    host: str = ""


@dataclass(frozen=True, slots=True)
class DpopSettings:
    """What a policy asks of proofs. Durations in seconds."""

    algorithms: tuple[str, ...]
    proof_max_age: int = 60
    clock_skew: int = 10
    nonce_required: bool = False
    skip_replay: bool = False


@dataclass(frozen=True, slots=True)
class InlineKeys:
    """A JWK Set document that the TokenIssuer itself carries."""

    document: str


@dataclass(frozen=True, slots=True)
class JwksUri:
    """A JWK Set fetched from a URL, every `refresh_interval` seconds."""

    uri: str
    refresh_interval: int


@dataclass(frozen=True, slots=True)
class Discovery:
    """A JWK Set found through the issuer's metadata (RFC 8414, OpenID Connect Discovery)."""

    refresh_interval: int


@dataclass(frozen=True, slots=True)
class Introspection:
    """How opaque tokens are looked up (RFC 7662). Durations in seconds."""

    endpoint: str
    client_id: str
    secret_name: str
    secret_key: str
    always: bool
    cache_ttl: int
    required_claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Issuer:
    """One TokenIssuer in force. `hash` covers every field, the name included: caches are keyed by it."""

    name: str
    hash: str
    issuer: str
    audiences: frozenset[str]
    keys: InlineKeys | JwksUri | Discovery
    algorithms: frozenset[str]
    token_types: frozenset[str]
    clock_skew: int
    required_claims: tuple[str, ...]
    introspection: Introspection | None = None
    ca_bundle: str = ""


@dataclass(frozen=True, slots=True)
class ClaimHeader:
    """A claim that the application receives as a header. `header` is lower case."""

    claim: str
    header: str


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """The RFC 9728 document of a policy: served at `path`, named as `url` in challenges."""

    path: str
    url: str
    document: str


@dataclass(frozen=True, slots=True)
class Policy:
    """All of one StepUpPolicy that does not differ from rule to rule.

    `issuers` maps `iss` to the TokenIssuer of that name. `opaque_issuer` is the one that has introspection.
    """

    name: str
    """`namespace/name`; also the realm of its challenges."""
    mode: Mode
    issuers: Mapping[str, Issuer]
    audiences: frozenset[str]
    dpop: DpopSettings
    origin: Origin
    opaque_issuer: Issuer | None = None
    authorization: UpstreamAuthorization = UpstreamAuthorization.KEEP
    claim_headers: tuple[ClaimHeader, ...] = ()
    resource_metadata: ResourceMetadata | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """What an Authenticated rule demands; `defaults` of its policy are merged in already. `max_age` in seconds."""

    dpop_required: bool = False
    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionInput:
    """What a `when` expression sees. `claims` is None until the token and the proof were verified."""

    method: str
    path: str
    host: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    params: Mapping[str, str]
    claims: Mapping[str, object] | None


class Condition(Protocol):
    """A type-checked `when` expression."""

    @property
    def mentions_claims(self) -> bool:
        """Whether it can only be evaluated once credentials are verified."""

    def evaluate(self, given: ConditionInput) -> bool | None:
        """True, False, or None where the expression gave neither (an error, an exhausted budget, another type)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one policy."""

    name: str
    policy: Policy
    access: Access
    require: Requirement = field(default_factory=Requirement)
    condition: Condition | None = None


class PathType(StrEnum):
    """How the path of a match is compared."""

    EXACT = "Exact"
    TEMPLATE = "Template"
    PREFIX = "PathPrefix"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One (path, method) under which a rule applies. An empty method means any. Lists of them are in walking order."""

    path_type: PathType
    path: str
    method: str
    rule: Rule


# --- what was found ---------------------------------------------------------------------------------------------------


class Scheme(StrEnum):
    """Authentication schemes we know."""

    DPOP = "DPoP"
    BEARER = "Bearer"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why something a client sent is not good. `detail` is static text for logs and `stepguard explain`."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token is bound to (`cnf`, RFC 7800): a DPoP key, a certificate, both, or nothing."""

    jkt: str | None = None
    x5t: str | None = None
    not_understood: bool = False
    """`cnf` is there and no member of it is understood, or one has the wrong type (row 13)."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token whose signature (or introspection answer) and claims one Issuer's rules accept.

    `expires` is None only for an introspected token without `exp`. `acr` and `auth_time` are None where missing or of
    the wrong type, which satisfies no requirement (RFC 9470, checklist S9).
    """

    issuer: Issuer
    claims: Mapping[str, object]
    ath: str
    binding: Binding
    audiences: frozenset[str]
    scopes: frozenset[str]
    acr: str | None
    auth_time: float | None
    expires: float | None
    not_before: float | None
    kid: str | None = None
    opaque: bool = False


class Proof(NamedTuple):
    """A DPoP proof that passed RFC 9449 §4.3 but for the replay check, which is the caller's."""

    jkt: str
    jti: str
    iat: float
    nonce_age: float | None = None
    """Age in seconds of the nonce it used; None where the policy requires none."""


# --- what is answered -------------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """The metric label `outcome` and the metadata's `decision`."""

    ALLOW = "allow"
    CHALLENGE = "challenge"
    DENY = "deny"
    UNAVAILABLE = "unavailable"
    PREFLIGHT = "preflight"
    METADATA = "metadata"


class HeaderAction(Enum):
    """How Envoy puts a header on the upstream's response."""

    OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"
    APPEND = "APPEND_IF_EXISTS_OR_ADD"


@dataclass(frozen=True, slots=True)
class ResponseHeader:
    """A header for the response that the client gets from the application."""

    name: str
    value: str
    action: HeaderAction


@dataclass(frozen=True, slots=True)
class Allow:
    """The request goes on: headers set on it, removed from it, and put on its response."""

    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()
    response_headers: tuple[ResponseHeader, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request ends here with this response. `status` is never 0; 200 only for an RFC 9728 document."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str = ""


_NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})


class Answer(NamedTuple):
    """What goes back to Envoy, and everything that log, metrics and dynamic metadata say about it.

    In Audit mode `response` is an Allow while `outcome` and `reason` say what Enforce would have answered; so `audited`
    is true exactly where the two differ in kind.
    """

    response: Allow | Refuse
    outcome: Outcome
    reason: Reason
    policy: str = ""
    rule: str = ""
    mode: Mode = Mode.ENFORCE
    audited: bool = False
    metadata: Mapping[str, str] = _NO_METADATA
    """Dynamic metadata: policy, rule, iss, sub, client_id, jkt, acr, decision, reason; unknown ones are left out."""
    dropped_claim_headers: int = 0
    """Identity headers that were not set because the claim's value cannot be a header."""
