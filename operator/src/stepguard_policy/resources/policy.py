"""StepUpPolicy: what app and platform teams apply."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from stepguard_policy.resources.duration import Duration
from stepguard_policy.resources.rules import Access, Require, Rule
from stepguard_policy.resources.schema import ATOMIC, SET, Model, cel, map_by, quote
from stepguard_policy.resources.text import (
    LOOPBACK,
    Audience,
    BrowserOrigin,
    ClaimName,
    HostName,
    HostPattern,
    IdentityHeader,
    ObjectName,
    ResourceUrl,
    Scope,
)


class Mode(StrEnum):
    """Whether a policy blocks or only says what it would have done."""

    ENFORCE = "Enforce"
    AUDIT = "Audit"


class OriginScheme(StrEnum):
    """Schemes under which clients address hosts."""

    HTTPS = "https"
    HTTP = "http"


class ProofAlgorithm(StrEnum):
    """Signature algorithms of proofs. RS256, RS384 and RS512 are legal but not in the default."""

    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    EDDSA = "EdDSA"
    ED25519 = "Ed25519"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"


DEFAULT_PROOF_ALGORITHMS = tuple(ProofAlgorithm)[:8]


class NonceMode(StrEnum):
    """Whether proofs need a nonce of ours."""

    NOT_REQUIRED = "NotRequired"
    REQUIRED = "Required"


class ReplayMode(StrEnum):
    """Whether the replay of proofs is refused here."""

    ENFORCE = "Enforce"
    SKIP = "Skip"


class EncodedSlashes(StrEnum):
    """What %2F in a path does."""

    REFUSE = "Refuse"
    KEEP = "Keep"


class PathParameters(StrEnum):
    """What `;` in a segment does."""

    REFUSE = "Refuse"
    DROP = "Drop"


class UpstreamAuthorization(StrEnum):
    """What happens to the client's credentials on the way to the application."""

    KEEP = "Keep"
    BEARER = "Bearer"
    REMOVE = "Remove"


class IssuerRef(Model):
    """Reference to a TokenIssuer."""

    name: ObjectName
    """Name of the TokenIssuer."""


class Origin(Model):
    """How clients address the hosts of a policy, for htu (RFC 9449 §4.3)."""

    scheme: OriginScheme = OriginScheme.HTTPS
    """https (default), or http for loopback hosts only."""
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = None
    """Port that clients use, where a hop before Envoy may have stripped it. Default: the port of the authority."""
    host: HostName | None = None
    """Public name that clients use, where a hop before Envoy rewrote Host; only with exactly one, exact, host in hosts.
    The port is then origin.port or the scheme's default."""


class Dpop(Model):
    """How proofs are judged (RFC 9449)."""

    algorithms: Annotated[tuple[ProofAlgorithm, ...], Field(min_length=1, max_length=11), SET] = (
        DEFAULT_PROOF_ALGORITHMS
    )
    """Signature algorithms that proofs may use. Default: ES256 ES384 ES512 PS256 PS384 PS512 EdDSA Ed25519."""
    proof_max_age: Annotated[int, Duration("5s", "300s")] = 60
    """How old the iat of a proof may be, 5s to 300s. Default 60s."""
    clock_skew: Annotated[int, Duration("0s", "60s")] = 10
    """How far the iat of a proof may lie in the future, 0s to 60s. Default 10s."""
    nonce: NonceMode = NonceMode.NOT_REQUIRED
    """Required demands a server nonce in every proof (RFC 9449 §9). Default NotRequired."""
    replay: ReplayMode = ReplayMode.ENFORCE
    """Enforce (default) takes each proof once; Skip only where another hop enforces it."""


class PathMatching(Model):
    """How paths of these hosts are brought into the form on which rules are chosen. Equal in all policies of a host."""

    ignore_case: StrictBool = False
    """Whether upper and lower case are one, for servers that fold them. Default false."""
    encoded_slashes: EncodedSlashes = EncodedSlashes.REFUSE
    """Refuse (default) answers 400 to %2F in a path; Keep takes it as an ordinary character of its segment."""
    parameters: PathParameters = PathParameters.REFUSE
    """Refuse (default) answers 400 to ; in a segment; Drop ignores it and what follows in the segment."""


class Cors(Model):
    """Browsers as clients: preflights are answered, challenges are readable to scripts of these origins."""

    allow_origins: Annotated[tuple[BrowserOrigin, ...], Field(min_length=1, max_length=32), SET]
    """Origins as browsers send them, such as https://app.example."""


class Defaults(Model):
    """The floor under every Authenticated rule."""

    require: Require
    """Merged into each rule: the stricter dpop, the smaller maxAge, all scopes of both, and of the rule's acrValues
    those listed here too."""


class ClaimHeader(Model):
    """One claim for the application."""

    claim: ClaimName
    """Name of the claim: a string, a number, a boolean, or a list of them."""
    header: IdentityHeader
    """Header that carries it, in lower case, beginning with x-. Removed from what clients send."""


class Upstream(Model):
    """What the application behind sees."""

    authorization: UpstreamAuthorization = UpstreamAuthorization.KEEP
    """Keep (default) passes the credentials on; Bearer makes the DPoP scheme Bearer and removes the proof; Remove takes
    both away."""
    claims: Annotated[tuple[ClaimHeader, ...], Field(max_length=32), map_by("header")] | None = None
    """Claims of the verified token that become headers."""


class ProtectedResourceMetadata(Model):
    """The RFC 9728 document of these hosts, served and named in challenges."""

    resource: ResourceUrl
    """Resource identifier: an https URL on a host of this policy (on origin.host and origin.port where set), without
    query and fragment."""
    scopes_supported: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=32), SET] | None = None
    """Scopes that clients may ask for, for scopes_supported."""


def _is_loopback(host: str) -> bool:
    return bool(re.fullmatch(LOOPBACK, host))


_LOOPBACK_CEL = quote(f"^{LOOPBACK}$")
_RESOURCE = "self.protectedResourceMetadata.resource"
_AUTHORITY = f"{_RESOURCE}.split('/')[2]"


def _covers(pattern: str, authority: str) -> bool:
    """Whether a host pattern covers the host of `host` or `host:port`."""
    if pattern.startswith("*"):
        suffix = pattern[1:].lower()
        return authority.endswith(suffix) or f"{suffix}:" in authority
    return authority == pattern.lower() or authority.startswith(f"{pattern.lower()}:")


class StepUpPolicySpec(Model):
    """What a StepUpPolicy asks of requests to its hosts."""

    hosts: Annotated[tuple[HostPattern, ...], Field(min_length=1, max_length=32), SET]
    """Hosts this policy is about: names, IPv4 or [IPv6] addresses, "*.suffix" (one or more labels before the suffix,
    not the suffix itself) or "*". Compared without case, port and trailing dot; the most specific pattern counts."""
    issuer_refs: Annotated[tuple[IssuerRef, ...], Field(min_length=1, max_length=8), ATOMIC] | None = None
    """TokenIssuers whose tokens are taken; the token's iss picks one. Optional where every rule is Anonymous or
    Denied."""
    audiences: Annotated[tuple[Audience, ...], Field(min_length=1, max_length=16), SET] | None = None
    """Audiences of which the token's aud must contain one, beside one of its issuer's. Default: the issuer's alone."""
    mode: Mode = Mode.ENFORCE
    """Enforce (default) blocks; Audit evaluates, logs and counts, and never blocks."""
    origin: Origin = Origin()
    """How clients address these hosts, for the htu of proofs (RFC 9449 §4.3). Equal in all policies of a host."""
    dpop: Dpop = Dpop()
    """How proofs are judged (RFC 9449)."""
    path_matching: PathMatching = PathMatching()
    """Normal form of paths for choosing a rule; htu is compared as the client sent it. Equal in all policies of a
    host."""
    cors: Cors | None = None
    """Browsers as clients. Equal in all policies of a host."""
    defaults: Defaults | None = None
    """A floor that is merged into every Authenticated rule."""
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=64), map_by("name")]
    """Rules; the most specific match applies, whatever their order. A request that no rule matches is denied."""
    upstream: Upstream = Upstream()
    """What the application behind sees."""
    protected_resource_metadata: ProtectedResourceMetadata | None = None
    """Serves the RFC 9728 document of these hosts and points challenges at it."""

    @cel(
        "has(self.issuerRefs) || self.rules.all(r, r.access != 'Authenticated')",
        "issuerRefs is required unless every rule is Anonymous or Denied",
        about="issuerRefs",
    )
    def _somebody_signs(self) -> bool:
        return self.issuer_refs is not None or all(rule.access is not Access.AUTHENTICATED for rule in self.rules)

    @cel(
        "!has(self.issuerRefs) || self.issuerRefs.all(r, self.issuerRefs.exists_one(o, o.name == r.name))",
        "issuerRefs must name each TokenIssuer once",
        about="issuerRefs",
    )
    def _issuers_once(self) -> bool:
        names = [ref.name for ref in self.issuer_refs or ()]
        return len(set(names)) == len(names)

    @cel(
        "!has(self.origin.host) || (self.hosts.size() == 1 && !self.hosts[0].startsWith('*'))",
        "origin.host needs exactly one entry in hosts, without a wildcard",
        about="origin.host",
    )
    def _one_name_behind_a_public_name(self) -> bool:
        return self.origin.host is None or (len(self.hosts) == 1 and not self.hosts[0].startswith("*"))

    @cel(
        "self.origin.scheme != 'http' || (has(self.origin.host)"
        f" ? self.origin.host.matches({_LOOPBACK_CEL}) : self.hosts.all(h, h.matches({_LOOPBACK_CEL})))",
        "origin.scheme http is for loopback hosts only (localhost, 127.0.0.0/8, [::1])",
        about="origin.scheme",
    )
    def _http_on_loopback_only(self) -> bool:
        addressed = self.hosts if self.origin.host is None else (self.origin.host,)
        return self.origin.scheme is not OriginScheme.HTTP or all(map(_is_loopback, addressed))

    @cel(
        "!has(self.protectedResourceMetadata)"
        " || (has(self.origin.host) ? [self.origin.host] : self.hosts).exists(h, h.startsWith('*')"
        f" ? ({_AUTHORITY}.endsWith(h.substring(1).lowerAscii())"
        f" || {_AUTHORITY}.contains(h.substring(1).lowerAscii() + ':'))"
        f" : ({_AUTHORITY} == h.lowerAscii() || {_AUTHORITY}.startsWith(h.lowerAscii() + ':')))",
        "the host of protectedResourceMetadata.resource must be origin.host where set, else match an entry of hosts",
        about="protectedResourceMetadata.resource",
    )
    def _resource_is_here(self) -> bool:
        addressed = self.hosts if self.origin.host is None else (self.origin.host,)
        authority = self._resource_authority()
        return authority is None or any(_covers(pattern, authority) for pattern in addressed)

    @cel(
        f"!has(self.protectedResourceMetadata) || !has(self.origin.port) || !isURL({_RESOURCE})"
        f" || (url({_RESOURCE}).getPort() != '' ? int(url({_RESOURCE}).getPort())"
        f" : {_RESOURCE}.startsWith('https:') ? 443 : 80) == self.origin.port",
        "the port of protectedResourceMetadata.resource must be origin.port",
        about="protectedResourceMetadata.resource",
    )
    def _resource_has_the_port(self) -> bool:
        authority, port = self._resource_authority(), self.origin.port
        if self.protected_resource_metadata is None or authority is None or port is None:
            return True
        default = 443 if self.protected_resource_metadata.resource.startswith("https:") else 80
        written = re.search(":([0-9]+)$", authority)
        return port == (int(written[1]) if written else default)

    def _resource_authority(self) -> str | None:
        metadata = self.protected_resource_metadata
        return metadata.resource.split("/")[2] if metadata is not None else None
