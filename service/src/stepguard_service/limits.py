"""Every bound in one place, each with its source. Sizes in bytes, durations in seconds."""

TOKEN_LENGTH = 8 * 1024
"""Authorization value (docs/decisions.md, row 9): Envoy's default for all headers together is 60 KiB."""

PROOF_LENGTH = 4 * 1024
"""DPoP value (row 9): an RSA-8192 proof takes 3.2 KiB."""

JTI_LENGTH = 512
"""`jti` in UTF-8 (RFC 9449 §11.1: refuse needlessly large values)."""

JSON_NESTING = 32
"""JOSE headers, claims, JWK Sets and introspection answers."""

JWKS_LENGTH = 256 * 1024
JWKS_KEYS = 64
INTROSPECTION_LENGTH = 64 * 1024

KEYS_TRIED_WITHOUT_KID = 4
"""Signature verifications for one token that names no key."""

WAIT_FOR_SLOW_WORK = 1.0
"""Keys and introspection; the request's own deadline where that is earlier."""

REQUESTS_WAITING = 1000
"""Per issuer; beyond it row 12 at once."""

INTROSPECTIONS_IN_FLIGHT = 32
"""Per issuer."""

CLAIM_HEADER_LENGTH = 1024
"""Value of an identity header."""

RSA_BITS = range(2048, 8193)
"""RFC 7518 §3.3 sets the minimum; the maximum bounds the time of a verification."""

CHECK_REQUEST_LENGTH = 4 * 1024 * 1024
"""gRPC message: Envoy's largest header block (8 MiB) is far below what anybody configures."""

SNAPSHOT_LENGTH = 64 * 1024 * 1024
"""Push message, at both ends."""
