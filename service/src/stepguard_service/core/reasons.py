"""The closed vocabulary of decisions: the same word in logs, metrics, dynamic metadata, audit records and tests."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a request was answered as it was. Row numbers are those of docs/decisions.md."""

    OK = "ok"
    """Everything the rule asks for was there."""
    ANONYMOUS = "anonymous"
    """Row 5: the rule is public."""
    PREFLIGHT = "preflight"
    """Row 3c: a CORS preflight of a listed origin."""
    METADATA_DOCUMENT = "metadata_document"
    """Row 3b: the RFC 9728 document of a policy."""

    MALFORMED_REQUEST = "malformed_request"
    """Row 1: no HTTP attributes, or a path that does not start with a slash."""
    BAD_AUTHORITY = "bad_authority"
    """Row 1a: the authority is not host or host:port."""
    UNKNOWN_HOST = "unknown_host"
    """Row 2: no policy names the host."""
    PATH_REFUSED = "path_refused"
    """Row 3: servers disagree about what this path means."""
    BAD_METHOD = "bad_method"
    """Row 3a: the method is not upper-case letters."""
    NO_RULE = "no_rule"
    """Row 4: the host has policies, none of their rules matches."""
    ACCESS_DENIED = "access_denied"
    """Row 4: the rule denies everybody."""

    NO_CREDENTIALS = "no_credentials"
    """Row 6: no Authorization header, or a scheme that is not ours."""
    AMBIGUOUS_CREDENTIALS = "ambiguous_credentials"
    """Row 7: more than one Authorization value."""
    MALFORMED_AUTHORIZATION = "malformed_authorization"
    """Row 8: the scheme is not followed by one token68."""
    TOKEN_TOO_LONG = "token_too_long"  # noqa: S105
    """Row 9: the Authorization header is over its limit."""
    PROOF_TOO_LONG = "proof_too_long"
    """Row 9: the DPoP header is over its limit."""

    TOKEN_MALFORMED = "token_malformed"  # noqa: S105
    """Row 10: not a JWS in compact form, or its JSON is not acceptable."""
    TOKEN_TYPE = "token_type"  # noqa: S105
    """Row 10: `typ` is not one the TokenIssuer accepts."""
    TOKEN_ALGORITHM = "token_algorithm"  # noqa: S105
    """Row 10: `alg` is not allowed, or does not fit the key."""
    TOKEN_KEY_UNKNOWN = "token_key_unknown"  # noqa: S105
    """Row 10: the issuer has no key with this `kid`."""
    TOKEN_SIGNATURE = "token_signature"  # noqa: S105
    """Row 10: the signature is wrong."""
    TOKEN_CLAIM_MISSING = "token_claim_missing"  # noqa: S105
    """Row 10: a required claim is not there."""
    TOKEN_CLAIM_INVALID = "token_claim_invalid"  # noqa: S105
    """Row 10: a claim has the wrong type."""
    TOKEN_AUDIENCE = "token_audience"  # noqa: S105
    """Row 10: the token was made for another API."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    """Row 10: `exp` has passed."""
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105
    """Row 10: `nbf` is in the future."""
    TOKEN_INACTIVE = "token_inactive"  # noqa: S105
    """Row 10: introspection says that the token is not active."""
    TOKEN_ISSUER = "token_issuer"  # noqa: S105
    """Row 11: no TokenIssuer of the policy has this `iss`."""
    TOKEN_BINDING_CONTRADICTION = "token_binding_contradiction"  # noqa: S105
    """Row 11a: the JWT and introspection disagree about `cnf`."""
    KEYS_UNAVAILABLE = "keys_unavailable"
    """Row 12: the issuer's keys could not be fetched."""
    INTROSPECTION_UNAVAILABLE = "introspection_unavailable"
    """Row 12: the issuer could not be asked about the token."""

    TOKEN_BINDING_UNKNOWN = "token_binding_unknown"  # noqa: S105
    """Row 13: the token is bound in a way we cannot check."""
    BOUND_TOKEN_AS_BEARER = "bound_token_as_bearer"  # noqa: S105
    """Row 14: a DPoP-bound token came as a bearer token."""
    UNBOUND_TOKEN_AS_DPOP = "unbound_token_as_dpop"  # noqa: S105
    """Row 15: the token is not bound to any key."""
    DPOP_REQUIRED = "dpop_required"
    """Row 16: the rule asks for DPoP."""
    STRAY_PROOF = "stray_proof"
    """Row 17: a proof beside an unbound bearer token."""
    CERTIFICATE_MISMATCH = "certificate_mismatch"
    """Row 18: the client certificate is not the one the token is bound to."""
    NONCE_KEYS_MISSING = "nonce_keys_missing"
    """Row 18a: the policy requires nonces and this replica has no key for them."""

    PROOF_MISSING = "proof_missing"
    """Row 19: no DPoP header."""
    PROOF_REPEATED = "proof_repeated"
    """Row 20: more than one DPoP header."""
    PROOF_MALFORMED = "proof_malformed"
    """Row 21 (P2): not a JWS in compact form, or its JSON is not acceptable."""
    PROOF_TYPE = "proof_type"
    """Row 21 (P4): `typ` is not dpop+jwt."""
    PROOF_ALGORITHM = "proof_algorithm"
    """Row 21 (P5): `alg` is not allowed, or does not fit the key."""
    PROOF_KEY = "proof_key"
    """Row 21 (P6, P7): `jwk` is not an acceptable public key."""
    PROOF_SIGNATURE = "proof_signature"
    """Row 21 (P6): the signature is wrong."""
    PROOF_CLAIM_MISSING = "proof_claim_missing"
    """Row 21 (P3): a required claim is not there."""
    PROOF_CLAIM_INVALID = "proof_claim_invalid"
    """Row 21 (P3): a claim has the wrong type or is too long."""
    PROOF_METHOD = "proof_method"
    """Row 21 (P8): `htm` is another method."""
    PROOF_TARGET = "proof_target"
    """Row 21 (P9): `htu` is another URI."""
    PROOF_TOKEN_HASH = "proof_token_hash"  # noqa: S105
    """Row 21 (P12a): `ath` is the hash of another token."""
    PROOF_TOO_OLD = "proof_too_old"
    """Row 21 (P11): `iat` is too long ago, or `exp` has passed."""
    PROOF_FROM_FUTURE = "proof_from_future"
    """Row 21 (P11): `iat` or `nbf` is in the future."""
    NONCE_MISSING = "nonce_missing"
    """Rows 19, 22: the policy requires a nonce and the proof has none."""
    NONCE_INVALID = "nonce_invalid"
    """Row 22: the nonce is not ours, too old, or another host's."""
    PROOF_KEY_MISMATCH = "proof_key_mismatch"
    """Row 23 (P12b): the proof's key is not the one the token is bound to."""

    CONDITION_ERROR = "condition_error"
    """Row 23a: `when` gave neither true nor false."""
    INSUFFICIENT_ACR = "insufficient_acr"
    """Row 24: `acr` is none of the rule's values."""
    STALE_AUTHENTICATION = "stale_authentication"
    """Row 24: `auth_time` is too long ago, in the future, or missing."""
    INSUFFICIENT_SCOPE = "insufficient_scope"
    """Row 25: the token lacks a scope."""

    REPLAYED = "replayed"
    """Row 27: another request used this proof already."""
    REPLAY_STORE_UNAVAILABLE = "replay_store_unavailable"
    """Row 28: the replay store does not answer."""
    REPLAY_STORE_FULL = "replay_store_full"
    """Row 28: the replay store cannot take one more live entry."""
    REPLAY_QUOTA = "replay_quota"
    """Row 28: under pressure, this client's key has more than its share of the store."""

    INTERNAL_ERROR = "internal_error"
    """Row F1: a fault of ours."""
    NO_SNAPSHOT = "no_snapshot"
    """Row F2: no snapshot is in force yet."""
