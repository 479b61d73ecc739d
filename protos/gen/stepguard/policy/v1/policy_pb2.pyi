from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_ENFORCE: _ClassVar[Mode]
    MODE_AUDIT: _ClassVar[Mode]

class UpstreamAuthorization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPSTREAM_AUTHORIZATION_UNSPECIFIED: _ClassVar[UpstreamAuthorization]
    UPSTREAM_AUTHORIZATION_KEEP: _ClassVar[UpstreamAuthorization]
    UPSTREAM_AUTHORIZATION_BEARER: _ClassVar[UpstreamAuthorization]
    UPSTREAM_AUTHORIZATION_REMOVE: _ClassVar[UpstreamAuthorization]

class Access(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_UNSPECIFIED: _ClassVar[Access]
    ACCESS_AUTHENTICATED: _ClassVar[Access]
    ACCESS_ANONYMOUS: _ClassVar[Access]
    ACCESS_DENIED: _ClassVar[Access]

class PathType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATH_TYPE_UNSPECIFIED: _ClassVar[PathType]
    PATH_TYPE_EXACT: _ClassVar[PathType]
    PATH_TYPE_TEMPLATE: _ClassVar[PathType]
    PATH_TYPE_PREFIX: _ClassVar[PathType]
MODE_UNSPECIFIED: Mode
MODE_ENFORCE: Mode
MODE_AUDIT: Mode
UPSTREAM_AUTHORIZATION_UNSPECIFIED: UpstreamAuthorization
UPSTREAM_AUTHORIZATION_KEEP: UpstreamAuthorization
UPSTREAM_AUTHORIZATION_BEARER: UpstreamAuthorization
UPSTREAM_AUTHORIZATION_REMOVE: UpstreamAuthorization
ACCESS_UNSPECIFIED: Access
ACCESS_AUTHENTICATED: Access
ACCESS_ANONYMOUS: Access
ACCESS_DENIED: Access
PATH_TYPE_UNSPECIFIED: PathType
PATH_TYPE_EXACT: PathType
PATH_TYPE_TEMPLATE: PathType
PATH_TYPE_PREFIX: PathType

class Push(_message.Message):
    __slots__ = ("snapshot", "unchanged", "standby")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    snapshot: PolicySnapshot
    unchanged: Unchanged
    standby: Standby
    def __init__(self, snapshot: _Optional[_Union[PolicySnapshot, _Mapping]] = ..., unchanged: _Optional[_Union[Unchanged, _Mapping]] = ..., standby: _Optional[_Union[Standby, _Mapping]] = ...) -> None: ...

class Unchanged(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: Version
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class Standby(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Version(_message.Message):
    __slots__ = ("epoch", "sequence")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class PolicySnapshot(_message.Message):
    __slots__ = ("version", "hash", "min_schema_version", "host_tables", "issuers", "policies", "identity_headers")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    MIN_SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOST_TABLES_FIELD_NUMBER: _ClassVar[int]
    ISSUERS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_HEADERS_FIELD_NUMBER: _ClassVar[int]
    version: Version
    hash: str
    min_schema_version: int
    host_tables: _containers.RepeatedCompositeFieldContainer[HostTableEntry]
    issuers: _containers.RepeatedCompositeFieldContainer[Issuer]
    policies: _containers.RepeatedCompositeFieldContainer[PolicyDigest]
    identity_headers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., hash: _Optional[str] = ..., min_schema_version: _Optional[int] = ..., host_tables: _Optional[_Iterable[_Union[HostTableEntry, _Mapping]]] = ..., issuers: _Optional[_Iterable[_Union[Issuer, _Mapping]]] = ..., policies: _Optional[_Iterable[_Union[PolicyDigest, _Mapping]]] = ..., identity_headers: _Optional[_Iterable[str]] = ...) -> None: ...

class HostTableEntry(_message.Message):
    __slots__ = ("pattern", "hash", "table")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    hash: str
    table: bytes
    def __init__(self, pattern: _Optional[str] = ..., hash: _Optional[str] = ..., table: _Optional[bytes] = ...) -> None: ...

class PolicyDigest(_message.Message):
    __slots__ = ("name", "hash")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    name: str
    hash: str
    def __init__(self, name: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class HostTable(_message.Message):
    __slots__ = ("pattern", "path_matching", "origin", "cors", "policies", "candidates", "identity_headers")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    PATH_MATCHING_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CORS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_HEADERS_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    path_matching: PathMatching
    origin: Origin
    cors: Cors
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    identity_headers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pattern: _Optional[str] = ..., path_matching: _Optional[_Union[PathMatching, _Mapping]] = ..., origin: _Optional[_Union[Origin, _Mapping]] = ..., cors: _Optional[_Union[Cors, _Mapping]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., identity_headers: _Optional[_Iterable[str]] = ...) -> None: ...

class PathMatching(_message.Message):
    __slots__ = ("ignore_case", "keep_encoded_slashes", "drop_parameters")
    IGNORE_CASE_FIELD_NUMBER: _ClassVar[int]
    KEEP_ENCODED_SLASHES_FIELD_NUMBER: _ClassVar[int]
    DROP_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ignore_case: bool
    keep_encoded_slashes: bool
    drop_parameters: bool
    def __init__(self, ignore_case: _Optional[bool] = ..., keep_encoded_slashes: _Optional[bool] = ..., drop_parameters: _Optional[bool] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("scheme", "port", "host")
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    scheme: str
    port: int
    host: str
    def __init__(self, scheme: _Optional[str] = ..., port: _Optional[int] = ..., host: _Optional[str] = ...) -> None: ...

class Cors(_message.Message):
    __slots__ = ("allow_origins",)
    ALLOW_ORIGINS_FIELD_NUMBER: _ClassVar[int]
    allow_origins: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, allow_origins: _Optional[_Iterable[str]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "mode", "issuers", "audiences", "dpop", "upstream", "resource_metadata", "rules")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ISSUERS_FIELD_NUMBER: _ClassVar[int]
    AUDIENCES_FIELD_NUMBER: _ClassVar[int]
    DPOP_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_METADATA_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    name: str
    mode: Mode
    issuers: _containers.RepeatedScalarFieldContainer[str]
    audiences: _containers.RepeatedScalarFieldContainer[str]
    dpop: DpopSettings
    upstream: Upstream
    resource_metadata: ResourceMetadata
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    def __init__(self, name: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., issuers: _Optional[_Iterable[str]] = ..., audiences: _Optional[_Iterable[str]] = ..., dpop: _Optional[_Union[DpopSettings, _Mapping]] = ..., upstream: _Optional[_Union[Upstream, _Mapping]] = ..., resource_metadata: _Optional[_Union[ResourceMetadata, _Mapping]] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ...) -> None: ...

class DpopSettings(_message.Message):
    __slots__ = ("algorithms", "proof_max_age_seconds", "clock_skew_seconds", "nonce_required", "skip_replay")
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    PROOF_MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_SKEW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NONCE_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    SKIP_REPLAY_FIELD_NUMBER: _ClassVar[int]
    algorithms: _containers.RepeatedScalarFieldContainer[str]
    proof_max_age_seconds: int
    clock_skew_seconds: int
    nonce_required: bool
    skip_replay: bool
    def __init__(self, algorithms: _Optional[_Iterable[str]] = ..., proof_max_age_seconds: _Optional[int] = ..., clock_skew_seconds: _Optional[int] = ..., nonce_required: _Optional[bool] = ..., skip_replay: _Optional[bool] = ...) -> None: ...

class Upstream(_message.Message):
    __slots__ = ("authorization", "claims")
    AUTHORIZATION_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    authorization: UpstreamAuthorization
    claims: _containers.RepeatedCompositeFieldContainer[ClaimHeader]
    def __init__(self, authorization: _Optional[_Union[UpstreamAuthorization, str]] = ..., claims: _Optional[_Iterable[_Union[ClaimHeader, _Mapping]]] = ...) -> None: ...

class ClaimHeader(_message.Message):
    __slots__ = ("claim", "header")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    claim: str
    header: str
    def __init__(self, claim: _Optional[str] = ..., header: _Optional[str] = ...) -> None: ...

class ResourceMetadata(_message.Message):
    __slots__ = ("path", "url", "document")
    PATH_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    path: str
    url: str
    document: bytes
    def __init__(self, path: _Optional[str] = ..., url: _Optional[str] = ..., document: _Optional[bytes] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("name", "access", "require", "when", "when_mentions_claims")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    WHEN_MENTIONS_CLAIMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    access: Access
    require: Requirement
    when: str
    when_mentions_claims: bool
    def __init__(self, name: _Optional[str] = ..., access: _Optional[_Union[Access, str]] = ..., require: _Optional[_Union[Requirement, _Mapping]] = ..., when: _Optional[str] = ..., when_mentions_claims: _Optional[bool] = ...) -> None: ...

class Requirement(_message.Message):
    __slots__ = ("dpop_required", "acr_values", "max_age_seconds", "scopes")
    DPOP_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    ACR_VALUES_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    dpop_required: bool
    acr_values: _containers.RepeatedScalarFieldContainer[str]
    max_age_seconds: int
    scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dpop_required: _Optional[bool] = ..., acr_values: _Optional[_Iterable[str]] = ..., max_age_seconds: _Optional[int] = ..., scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("path_type", "path", "method", "policy", "rule")
    PATH_TYPE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    path_type: PathType
    path: str
    method: str
    policy: int
    rule: int
    def __init__(self, path_type: _Optional[_Union[PathType, str]] = ..., path: _Optional[str] = ..., method: _Optional[str] = ..., policy: _Optional[int] = ..., rule: _Optional[int] = ...) -> None: ...

class Issuer(_message.Message):
    __slots__ = ("name", "hash", "issuer", "audiences", "keys", "algorithms", "token_types", "clock_skew_seconds", "required_claims", "introspection", "ca_bundle")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    AUDIENCES_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_TYPES_FIELD_NUMBER: _ClassVar[int]
    CLOCK_SKEW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CLAIMS_FIELD_NUMBER: _ClassVar[int]
    INTROSPECTION_FIELD_NUMBER: _ClassVar[int]
    CA_BUNDLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    hash: str
    issuer: str
    audiences: _containers.RepeatedScalarFieldContainer[str]
    keys: KeySource
    algorithms: _containers.RepeatedScalarFieldContainer[str]
    token_types: _containers.RepeatedScalarFieldContainer[str]
    clock_skew_seconds: int
    required_claims: _containers.RepeatedScalarFieldContainer[str]
    introspection: Introspection
    ca_bundle: str
    def __init__(self, name: _Optional[str] = ..., hash: _Optional[str] = ..., issuer: _Optional[str] = ..., audiences: _Optional[_Iterable[str]] = ..., keys: _Optional[_Union[KeySource, _Mapping]] = ..., algorithms: _Optional[_Iterable[str]] = ..., token_types: _Optional[_Iterable[str]] = ..., clock_skew_seconds: _Optional[int] = ..., required_claims: _Optional[_Iterable[str]] = ..., introspection: _Optional[_Union[Introspection, _Mapping]] = ..., ca_bundle: _Optional[str] = ...) -> None: ...

class KeySource(_message.Message):
    __slots__ = ("jwks_uri", "inline_jwks", "discovery", "refresh_interval_seconds")
    JWKS_URI_FIELD_NUMBER: _ClassVar[int]
    INLINE_JWKS_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_FIELD_NUMBER: _ClassVar[int]
    REFRESH_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    jwks_uri: str
    inline_jwks: str
    discovery: bool
    refresh_interval_seconds: int
    def __init__(self, jwks_uri: _Optional[str] = ..., inline_jwks: _Optional[str] = ..., discovery: _Optional[bool] = ..., refresh_interval_seconds: _Optional[int] = ...) -> None: ...

class Introspection(_message.Message):
    __slots__ = ("endpoint", "client_id", "secret_name", "secret_key", "always", "cache_ttl_seconds", "required_claims")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    SECRET_KEY_FIELD_NUMBER: _ClassVar[int]
    ALWAYS_FIELD_NUMBER: _ClassVar[int]
    CACHE_TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CLAIMS_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    client_id: str
    secret_name: str
    secret_key: str
    always: bool
    cache_ttl_seconds: int
    required_claims: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, endpoint: _Optional[str] = ..., client_id: _Optional[str] = ..., secret_name: _Optional[str] = ..., secret_key: _Optional[str] = ..., always: _Optional[bool] = ..., cache_ttl_seconds: _Optional[int] = ..., required_claims: _Optional[_Iterable[str]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("replica", "boot_id", "schema_version", "features", "in_force", "rejected", "policies", "issuers", "replay_store", "nonce_key_ids")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    ISSUERS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_STORE_FIELD_NUMBER: _ClassVar[int]
    NONCE_KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    replica: str
    boot_id: str
    schema_version: int
    features: _containers.RepeatedScalarFieldContainer[str]
    in_force: InForce
    rejected: Rejected
    policies: _containers.RepeatedCompositeFieldContainer[PolicyState]
    issuers: _containers.RepeatedCompositeFieldContainer[IssuerState]
    replay_store: ReplayStore
    nonce_key_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, replica: _Optional[str] = ..., boot_id: _Optional[str] = ..., schema_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., in_force: _Optional[_Union[InForce, _Mapping]] = ..., rejected: _Optional[_Union[Rejected, _Mapping]] = ..., policies: _Optional[_Iterable[_Union[PolicyState, _Mapping]]] = ..., issuers: _Optional[_Iterable[_Union[IssuerState, _Mapping]]] = ..., replay_store: _Optional[_Union[ReplayStore, _Mapping]] = ..., nonce_key_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class InForce(_message.Message):
    __slots__ = ("version", "hash")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    version: Version
    hash: str
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., hash: _Optional[str] = ...) -> None: ...

class Rejected(_message.Message):
    __slots__ = ("hash", "reason")
    HASH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    hash: str
    reason: str
    def __init__(self, hash: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PolicyState(_message.Message):
    __slots__ = ("name", "hash", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    hash: str
    error: str
    def __init__(self, name: _Optional[str] = ..., hash: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class IssuerState(_message.Message):
    __slots__ = ("name", "keys", "last_success", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    LAST_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    keys: int
    last_success: int
    error: str
    def __init__(self, name: _Optional[str] = ..., keys: _Optional[int] = ..., last_success: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class ReplayStore(_message.Message):
    __slots__ = ("kind", "shared")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    shared: bool
    def __init__(self, kind: _Optional[str] = ..., shared: _Optional[bool] = ...) -> None: ...
