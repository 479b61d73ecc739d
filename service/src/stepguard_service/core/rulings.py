"""The table of refusals: for each reason its row in docs/decisions.md, its status, its OAuth error and its words.

Descriptions are static and ours; nothing that a client sent is ever part of an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from stepguard_service.core.model import Outcome
from stepguard_service.core.reasons import Reason

_BAD_REQUEST = 400
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_UNAVAILABLE = 503


class Placement(Enum):
    """Which challenges an answer has, and which of them say what is wrong."""

    NONE = "no challenge"
    BARE = "each offered scheme, without error"
    OFFERED = "each offered scheme, with the error"
    USED = "each offered scheme, the error in that which the client used (DPoP where that is not offered)"
    DPOP = "each offered scheme, the error in DPoP"


@dataclass(frozen=True, slots=True)
class Ruling:
    """How one kind of fault is answered."""

    row: str
    status: int
    error: str
    """OAuth error code (RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470 §3), or ours where there is no challenge."""
    description: str
    placement: Placement = Placement.NONE

    def status_for(self, *, grpc: bool) -> int:
        """HTTP status; gRPC clients get 401 for bad credentials, since Envoy makes INTERNAL of a 400."""
        return _UNAUTHORIZED if grpc and self.status == _BAD_REQUEST and self.challenges else self.status

    @property
    def challenges(self) -> bool:
        """Whether the answer tells the client how to authenticate."""
        return self.placement is not Placement.NONE

    @property
    def outcome(self) -> Outcome:
        """How the answer is counted."""
        if self.status == _UNAVAILABLE:
            return Outcome.UNAVAILABLE
        return Outcome.CHALLENGE if self.challenges else Outcome.DENY


def _bad_request(row: str, description: str) -> Ruling:
    return Ruling(row, _BAD_REQUEST, "bad_request", description)


def _forbidden(row: str, description: str) -> Ruling:
    return Ruling(row, _FORBIDDEN, "access_denied", description)


def _unavailable(row: str, description: str) -> Ruling:
    return Ruling(row, _UNAVAILABLE, "temporarily_unavailable", description)


def _invalid_request(row: str, description: str, placement: Placement) -> Ruling:
    return Ruling(row, _BAD_REQUEST, "invalid_request", description, placement)


def _invalid_token(row: str, description: str, placement: Placement = Placement.USED) -> Ruling:
    return Ruling(row, _UNAUTHORIZED, "invalid_token", description, placement)


def _invalid_proof(row: str, description: str) -> Ruling:
    return Ruling(row, _UNAUTHORIZED, "invalid_dpop_proof", description, Placement.DPOP)


def _use_nonce(row: str, description: str) -> Ruling:
    return Ruling(row, _UNAUTHORIZED, "use_dpop_nonce", description, Placement.DPOP)


def _step_up(row: str, description: str) -> Ruling:
    return Ruling(row, _UNAUTHORIZED, "insufficient_user_authentication", description, Placement.USED)


RULINGS: Mapping[Reason, Ruling] = MappingProxyType(
    {
        Reason.MALFORMED_REQUEST: _bad_request("1", "the request has no usable target"),
        Reason.BAD_AUTHORITY: _bad_request("1a", "the authority is not a host with an optional port"),
        Reason.UNKNOWN_HOST: _forbidden("2", "no policy covers this host"),
        Reason.PATH_REFUSED: _bad_request("3", "the path is ambiguous or malformed"),
        Reason.BAD_METHOD: _bad_request("3a", "the method is not upper-case letters"),
        Reason.NO_RULE: _forbidden("4", "no rule allows this request"),
        Reason.ACCESS_DENIED: _forbidden("4", "nobody has access here"),
        Reason.NO_CREDENTIALS: Ruling("6", _UNAUTHORIZED, "", "", Placement.BARE),
        Reason.AMBIGUOUS_CREDENTIALS: _invalid_request("7", "more than one credential", Placement.OFFERED),
        Reason.MALFORMED_AUTHORIZATION: _invalid_request("8", "the Authorization header is malformed", Placement.USED),
        Reason.TOKEN_TOO_LONG: _invalid_request("9", "the Authorization header is too long", Placement.USED),
        Reason.PROOF_TOO_LONG: _invalid_proof("9", "the DPoP proof is too long"),
        Reason.TOKEN_MALFORMED: _invalid_token("10", "the access token is malformed"),
        Reason.TOKEN_TYPE: _invalid_token("10", "the token is not of an accepted type"),
        Reason.TOKEN_ALGORITHM: _invalid_token(
            "10", "the access token is signed with an algorithm that is not accepted"
        ),
        Reason.TOKEN_KEY_UNKNOWN: _invalid_token("10", "the key that signed the access token is not known"),
        Reason.TOKEN_SIGNATURE: _invalid_token("10", "the signature of the access token is wrong"),
        Reason.TOKEN_CLAIM_MISSING: _invalid_token("10", "the access token lacks a required claim"),
        Reason.TOKEN_CLAIM_INVALID: _invalid_token("10", "a claim of the access token has the wrong type"),
        Reason.TOKEN_AUDIENCE: _invalid_token("10", "the access token is for another audience"),
        Reason.TOKEN_EXPIRED: _invalid_token("10", "the access token has expired"),
        Reason.TOKEN_NOT_YET_VALID: _invalid_token("10", "the access token is not valid yet"),
        Reason.TOKEN_INACTIVE: _invalid_token("10", "the access token is not active"),
        Reason.TOKEN_ISSUER: _invalid_token("11", "the issuer of the access token is not accepted"),
        Reason.TOKEN_BINDING_CONTRADICTION: _invalid_token("11a", "the binding of the access token is contradictory"),
        Reason.KEYS_UNAVAILABLE: _unavailable("12", "the access token cannot be checked at the moment"),
        Reason.INTROSPECTION_UNAVAILABLE: _unavailable("12", "the access token cannot be checked at the moment"),
        Reason.TOKEN_BINDING_UNKNOWN: _invalid_token("13", "the binding of the access token is not understood"),
        Reason.BOUND_TOKEN_AS_BEARER: _invalid_token("14", "the access token is bound to a key and needs a DPoP proof"),
        Reason.UNBOUND_TOKEN_AS_DPOP: _invalid_token("15", "the access token is not bound to a key", Placement.DPOP),
        Reason.DPOP_REQUIRED: _invalid_token("16", "an access token bound to a DPoP key is required", Placement.DPOP),
        Reason.STRAY_PROOF: _invalid_request("17", "a DPoP proof with a bearer token", Placement.OFFERED),
        Reason.CERTIFICATE_MISMATCH: _invalid_token("18", "the access token is bound to another client certificate"),
        Reason.NONCE_KEYS_MISSING: _unavailable("18a", "DPoP nonces cannot be checked at the moment"),
        Reason.PROOF_MISSING: _invalid_proof("19", "the DPoP proof is missing"),
        Reason.PROOF_REPEATED: _invalid_proof("20", "more than one DPoP proof"),
        Reason.PROOF_MALFORMED: _invalid_proof("21", "the DPoP proof is malformed"),
        Reason.PROOF_TYPE: _invalid_proof("21", "the typ of the DPoP proof is wrong"),
        Reason.PROOF_ALGORITHM: _invalid_proof("21", "the DPoP proof is signed with an algorithm that is not accepted"),
        Reason.PROOF_KEY: _invalid_proof("21", "the key in the DPoP proof is not acceptable"),
        Reason.PROOF_SIGNATURE: _invalid_proof("21", "the signature of the DPoP proof is wrong"),
        Reason.PROOF_CLAIM_MISSING: _invalid_proof("21", "the DPoP proof lacks a required claim"),
        Reason.PROOF_CLAIM_INVALID: _invalid_proof("21", "a claim of the DPoP proof is not acceptable"),
        Reason.PROOF_METHOD: _invalid_proof("21", "the DPoP proof is for another method"),
        Reason.PROOF_TARGET: _invalid_proof("21", "the DPoP proof is for another URI"),
        Reason.PROOF_TOKEN_HASH: _invalid_proof("21", "the DPoP proof is for another access token"),
        Reason.PROOF_TOO_OLD: _invalid_proof("21", "the DPoP proof is too old"),
        Reason.PROOF_FROM_FUTURE: _invalid_proof("21", "the DPoP proof is from the future"),
        Reason.NONCE_MISSING: _use_nonce("22", "the DPoP proof needs a nonce of this server"),
        Reason.NONCE_INVALID: _use_nonce("22", "the nonce of the DPoP proof is not valid any more"),
        Reason.PROOF_KEY_MISMATCH: _invalid_token("23", "the access token is bound to another key", Placement.DPOP),
        Reason.CONDITION_ERROR: _forbidden("23a", "a condition could not be evaluated for this request"),
        Reason.INSUFFICIENT_ACR: _step_up("24", "a different authentication level is required"),
        Reason.STALE_AUTHENTICATION: _step_up("24", "more recent authentication is required"),
        Reason.INSUFFICIENT_SCOPE: Ruling(
            "25", _FORBIDDEN, "insufficient_scope", "the access token lacks a required scope", Placement.USED
        ),
        Reason.REPLAYED: _invalid_proof("27", "the DPoP proof was used before"),
        Reason.REPLAY_STORE_UNAVAILABLE: _unavailable("28", "the request cannot be checked at the moment"),
        Reason.REPLAY_STORE_FULL: _unavailable("28", "the request cannot be checked at the moment"),
        Reason.REPLAY_QUOTA: _unavailable("28", "too many requests with this key at the moment"),
        Reason.INTERNAL_ERROR: _unavailable("F1", "the request could not be checked"),
        Reason.NO_SNAPSHOT: _unavailable("F2", "no policies are in force yet"),
    }
)

ALLOWED: frozenset[Reason] = frozenset(
    {Reason.OK, Reason.ANONYMOUS, Reason.PREFLIGHT, Reason.METADATA_DOCUMENT},
)
"""Reasons that refuse nothing."""
