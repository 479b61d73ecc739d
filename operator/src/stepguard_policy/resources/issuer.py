"""TokenIssuer: who may sign tokens, and where the keys are. Owned by the platform team."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from stepguard_policy.resources.duration import Duration
from stepguard_policy.resources.schema import ATOMIC, SET, Check, Model, cel, matching
from stepguard_policy.resources.text import Audience, ClaimName, FetchUrl, IssuerUrl, ObjectName


class TokenAlgorithm(StrEnum):
    """Signature algorithms of access tokens."""

    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    RS256 = "RS256"
    EDDSA = "EdDSA"
    ED25519 = "Ed25519"


class IntrospectionUse(StrEnum):
    """Which tokens are looked up at the introspection endpoint."""

    OPAQUE_ONLY = "OpaqueOnly"
    ALWAYS = "Always"


class KeyType(StrEnum):
    """Key types of JWKs (RFC 7518, RFC 8037)."""

    EC = "EC"
    RSA = "RSA"
    OKP = "OKP"


class KeyCurve(StrEnum):
    """Curves of EC and OKP keys."""

    P256 = "P-256"
    P384 = "P-384"
    P521 = "P-521"
    ED25519 = "Ed25519"


Base64Url = Annotated[
    str,
    Field(min_length=1, max_length=1400),
    matching("[A-Za-z0-9_-]+", "must be base64url without padding"),
]


class InlineKey(Model):
    """A public JWK (RFC 7517). There are no members for private keys."""

    kty: KeyType
    """Key type: EC, RSA or OKP."""
    crv: KeyCurve | None = None
    """Curve: P-256, P-384 or P-521 for EC, Ed25519 for OKP."""
    x: Base64Url | None = None
    """X coordinate (EC) or public key (OKP), base64url."""
    y: Base64Url | None = None
    """Y coordinate (EC), base64url."""
    n: Base64Url | None = None
    """Modulus (RSA), base64url; 2048 to 8192 bits."""
    e: Base64Url | None = None
    """Exponent (RSA), base64url."""
    kid: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Key id, compared with the token's."""
    alg: TokenAlgorithm | None = None
    """The one algorithm that the key is for. Default: every one that fits the key."""
    use: Literal["sig"] | None = None
    """What the key is for: sig."""

    @cel(
        "self.kty != 'EC' || (has(self.crv) && self.crv != 'Ed25519' && has(self.x) && has(self.y)"
        " && !has(self.n) && !has(self.e))",
        "a key of type EC needs crv (P-256, P-384 or P-521), x and y, and no n and e",
    )
    def _ec(self) -> bool:
        return self.kty is not KeyType.EC or (
            self.crv not in {None, KeyCurve.ED25519}
            and None not in {self.x, self.y}
            and self.n is None
            and self.e is None
        )

    @cel(
        "self.kty != 'RSA' || (has(self.n) && has(self.e) && !has(self.crv) && !has(self.x) && !has(self.y))",
        "a key of type RSA needs n and e, and no crv, x and y",
    )
    def _rsa(self) -> bool:
        return self.kty is not KeyType.RSA or (
            None not in {self.n, self.e} and self.crv is None and self.x is None and self.y is None
        )

    @cel(
        "self.kty != 'OKP' || (has(self.crv) && self.crv == 'Ed25519' && has(self.x) && !has(self.y)"
        " && !has(self.n) && !has(self.e))",
        "a key of type OKP needs crv Ed25519 and x, and no y, n and e",
    )
    def _okp(self) -> bool:
        return self.kty is not KeyType.OKP or (
            self.crv is KeyCurve.ED25519 and self.x is not None and self.y is None and self.n is None and self.e is None
        )


class Jwks(Model):
    """Where the keys of an issuer are."""

    uri: FetchUrl | None = None
    """URL of the JWK Set. Redirects are not followed."""
    keys: Annotated[tuple[InlineKey, ...], Field(min_length=1, max_length=32), ATOMIC] | None = None
    """The public keys themselves, for installations without a way to the issuer."""
    refresh_interval: Annotated[int, Duration("1m", "24h")] | None = None
    """How often keys are fetched, 1m to 24h; only with uri or discovery. Default 10m."""

    @cel("!(has(self.uri) && has(self.keys))", "at most one of uri and keys", about="keys")
    def _one_source(self) -> bool:
        return self.uri is None or self.keys is None

    @cel(
        "!(has(self.refreshInterval) && has(self.keys))",
        "refreshInterval is for keys that are fetched, not for inline keys",
        about="refreshInterval",
    )
    def _refresh_what_is_fetched(self) -> bool:
        return self.refresh_interval is None or self.keys is None


class SecretKeyRef(Model):
    """A value in a mounted Secret: <--secrets-dir>/name/key."""

    name: ObjectName
    """Name of the Secret, which the service has mounted under its --secrets-dir."""
    key: Annotated[
        str,
        Field(min_length=1, max_length=253),
        matching(r"[A-Za-z0-9_-][A-Za-z0-9._-]*|\.[A-Za-z0-9_-][A-Za-z0-9._-]*", "must be a key of a Secret"),
    ]
    """Key in the Secret."""


class Introspection(Model):
    """Where tokens are looked up (RFC 7662)."""

    endpoint: FetchUrl
    """URL of the introspection endpoint. Redirects are not followed."""
    client_id: Annotated[str, Field(min_length=1, max_length=256)]
    """Client id with which the service authenticates (HTTP Basic)."""
    client_secret_ref: SecretKeyRef
    """Where the client secret is."""
    use: IntrospectionUse = IntrospectionUse.OPAQUE_ONLY
    """OpaqueOnly (default) looks up tokens that are no JWT; Always JWTs too, to see revocations."""
    cache_ttl: Annotated[int, Duration("0s", "5m"), Field(alias="cacheTTL")] = 30
    """How long an answer is reused, 0s to 5m, never beyond the token's exp. Default 30s."""
    required_claims: Annotated[tuple[ClaimName, ...], Field(max_length=32), SET] = ()
    """Members that the answer must have, beside active: true. Default: none."""


class TokenIssuerSpec(Model):
    """An authorization server whose tokens are trusted."""

    issuer: Annotated[IssuerUrl, Check("self == oldSelf", "issuer is immutable", lambda _: True)]
    """Issuer identifier; the token's iss must equal it exactly (RFC 8414 §2). Immutable."""
    audiences: Annotated[tuple[Audience, ...], Field(min_length=1, max_length=16), SET]
    """Audiences of which the token's aud must contain one (RFC 9068 §4)."""
    jwks: Jwks = Jwks()
    """Where the keys are. Without uri and keys they are discovered from the issuer (RFC 8414, then OpenID Connect
    Discovery)."""
    ca_bundle: (
        Annotated[
            str,
            Field(min_length=1, max_length=65536),
            Check(
                "self.contains('-----BEGIN CERTIFICATE-----') && !self.contains('PRIVATE KEY')",
                "must be certificates in PEM, and no private key",
                lambda pem: "-----BEGIN CERTIFICATE-----" in pem and "PRIVATE KEY" not in pem,
            ),
        ]
        | None
    ) = None
    """Certificates (PEM) of the CAs that every fetch for this issuer trusts, instead of the system's."""
    algorithms: Annotated[tuple[TokenAlgorithm, ...], Field(min_length=1, max_length=9), SET] = tuple(TokenAlgorithm)
    """Signature algorithms that tokens may use. Default: ES256 ES384 ES512 PS256 PS384 PS512 RS256 EdDSA Ed25519."""
    token_types: Annotated[
        tuple[
            Annotated[
                str,
                Field(min_length=1, max_length=64),
                matching("[A-Za-z0-9!#$&^_.+-]+", "must be a media type without application/, such as at+jwt"),
                Check(
                    "self.lowerAscii() != 'dpop+jwt'",
                    "dpop+jwt is the type of proofs, never of tokens",
                    lambda name: name.lower() != "dpop+jwt",
                ),
            ],
            ...,
        ],
        Field(min_length=1, max_length=16),
        SET,
    ] = ("at+jwt",)
    """Values of typ that tokens may have, compared without case and application/ (RFC 9068 §4). Default at+jwt; add JWT
    for issuers that do not set it."""
    clock_skew: Annotated[int, Duration("0s", "60s")] = 5
    """How far the issuer's clock may be off for exp and nbf, 0s to 60s. Default 5s."""
    required_claims: Annotated[tuple[ClaimName, ...], Field(max_length=32), SET] = ("exp", "sub")
    """Claims that a JWT must have; exp is required in any case. Default exp and sub."""
    introspection: Introspection | None = None
    """Where opaque tokens are looked up (RFC 7662)."""
    namespaces: Annotated[
        tuple[
            Annotated[
                str,
                Field(min_length=1, max_length=63),
                matching(r"\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?", 'must be the name of a namespace, or "*"'),
            ],
            ...,
        ],
        Field(min_length=1, max_length=256),
        SET,
        Check(
            "!self.exists(n, n == '*') || self.size() == 1",
            '"*" stands for every namespace and must be alone',
            lambda names: "*" not in names or len(names) == 1,
        ),
    ] = ("*",)
    """Namespaces whose policies may refer to this issuer. Default: all ("*")."""
