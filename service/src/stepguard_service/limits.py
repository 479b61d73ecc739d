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

METADATA_LENGTH = 256 * 1024
"""Issuer metadata (RFC 8414): real ones take 5-15 KiB."""

KEYS_FETCH_TIME = 10.0
"""Discovery and JWK Set together, from the first name lookup to the last byte."""

KEYS_SHORTEST_REFRESH = 60
"""What Cache-Control may shorten the refresh interval of keys to; also the smallest legal `refreshInterval`."""

KEYS_KEPT_WITHOUT_REFRESH = 24 * 3600
"""Keys keep verifying for so long after the last successful fetch."""

KEYS_RETRY_WITHOUT = 10
"""Longest pause after a failed fetch where there are no keys at all, so that a server that is back is soon asked."""

KEYS_RETRY_WITH_STALE = 60
"""Longest pause after a failed fetch where older keys still verify."""

UNKNOWN_KID_INTERVAL = 30
"""Between two fetches that unknown `kid`s cause, per source (docs/decisions.md, *Unknown kid*)."""

INTROSPECTION_TIME = 3.0
"""One introspection call. Requests wait for less; a later answer serves the client's next try."""

INACTIVE_TTL = 10
"""How long `active: false` is remembered (docs/decisions.md, *Introspection*)."""

INTROSPECTION_ANSWERS = 10_000
"""Remembered per issuer: active ones; inactive ones have as much room of their own."""

INTROSPECTION_ANSWERS_LENGTH = 8 * 1024 * 1024
"""Together, as received, per issuer; parsed they take several times as much."""

SECRET_LENGTH = 16 * 1024
"""A client secret's file."""

SHARED_CLAIM_EXTRA = 20
"""How much longer a shared store keeps a claim than the proof lives: replicas' clocks may differ by 10 s each way."""

NONCE_LIFETIME = 300
"""Of our own nonces (docs/decisions.md, *Nonce*); a new one is offered at half of it."""

CERTIFICATE_LENGTH = 32 * 1024
"""`source.certificate`: an RSA-8192 leaf with many names takes 8 KiB of URL-encoded PEM."""

CLAIM_HEADER_LENGTH = 1024
"""Value of an identity header."""

RSA_BITS = range(2048, 8193)
"""RFC 7518 §3.3 sets the minimum; the maximum bounds the time of a verification."""

RSA_EXPONENT_BITS = 64
"""Of the public exponent: OpenSSL's own bound for large moduli, for the same reason."""

PROOF_HEADER_CACHE_ENTRIES = 8 * 1024
"""Measured: 3 KiB each with its parsed key (P-256), so 24 MiB in all."""

PROOF_HEADER_CACHE_BYTES = 4 * 1024 * 1024
"""Sum of the encoded headers' lengths: keeps those of large RSA keys within the same memory."""

TOKEN_CACHE_ENTRIES = 8 * 1024
TOKEN_CACHE_BYTES = 4 * 1024 * 1024
"""Sum of the tokens' lengths. Measured: with its claims each takes 7 to 8 times its length, so 32 MiB in all."""

CHECK_REQUEST_LENGTH = 4 * 1024 * 1024
"""gRPC message: Envoy's largest header block (8 MiB) is far below what anybody configures."""

SNAPSHOT_LENGTH = 64 * 1024 * 1024
"""Push message, at both ends."""

CONCURRENT_STREAMS = 1024
"""Checks under way on one connection: Envoy opens another connection beyond what the peer allows."""

PENDING_CALLS = 4096
"""Calls on all connections that the loop has not taken yet: about a second of the dearest checks, after which their
callers have given up. From here on gRPC resets new ones, all of them from twice as many; its own limit of 1000 is less
than what one connection may send."""

CONNECTION_AGE_MS = 5 * 60 * 1000
"""docs/architecture.md, section 3: long-lived connections move to new replicas."""

CONNECTION_AGE_GRACE_MS = 10 * 1000
"""For the calls of a connection that is old: ten times as long as any of them may wait."""

KEEPALIVE_MS = 60 * 1000
KEEPALIVE_TIMEOUT_MS = 20 * 1000
"""gRPC's own default."""

PEER_PING_INTERVAL_MS = 5 * 1000
"""How often Envoy's `connection_keepalive` may ping; gRPC's default of 5 min ends connections that do."""

LOGGED_LENGTH = 1024
"""Of one value in a line about a decision: 10 000 lines may wait, and a request target may have 60 KiB."""

CLAIMS_IN_A_BATCH = 32
"""Claims in one round trip to the replay store (docs/architecture.md, section 3)."""

REPLAY_SWEEP = 512
"""Ended entries that one claim at the memory store clears away: a quarter of a millisecond, or a little more."""
