"""Protected resource metadata (RFC 9728): where the document is, what it says, and what may be wrong with it."""

import json
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.matches import PathSettings
from stepguard_policy.compile.verdicts import Finding
from stepguard_policy.hosts import HostRefused, parse_authority
from stepguard_policy.paths import PathRefused
from stepguard_policy.resources import ProtectedResourceMetadata, StepUpPolicySpec

WELL_KNOWN = "/.well-known/oauth-protected-resource"
FIELD = "spec.protectedResourceMetadata.resource"
_DEFAULT_PORTS = {"https": 443, "http": 80}


def document_path(resource: str) -> str:
    """Path of the document of a resource identifier: the well-known part goes between host and path (RFC 9728 §3.1)."""
    path = urlsplit(resource).path
    return WELL_KNOWN if path == "/" else WELL_KNOWN + path


def check_metadata(spec: StepUpPolicySpec, paths: PathSettings) -> list[Finding]:
    """Whether clients that use the resource identifier as a URL come here; its host the model has checked."""
    if spec.protected_resource_metadata is None:
        return []
    resource = spec.protected_resource_metadata.resource
    url = urlsplit(resource)
    problems = (_scheme(spec, url), _port(spec, url), _path(resource, paths))
    return [Finding(FIELD, problem) for problem in problems if problem]


def render_metadata(
    spec: StepUpPolicySpec,
    metadata: ProtectedResourceMetadata,
    *,
    authorization_servers: Sequence[str],
    dpop_only: bool,
    paths: PathSettings,
) -> pb.ResourceMetadata:
    """The document in compact JSON, its path in normal form, and the URL for challenges.

    Where every Authenticated rule requires DPoP no way of sending a bearer token is offered: an empty list says so.
    """
    path = document_path(metadata.resource)
    members = {
        "resource": metadata.resource,
        "authorization_servers": list(authorization_servers),
        "scopes_supported": list(metadata.scopes_supported or ()),
        "dpop_signing_alg_values_supported": list(spec.dpop.algorithms),
        "dpop_bound_access_tokens_required": dpop_only,
    }
    document = {name: value for name, value in members.items() if value}
    document["bearer_methods_supported"] = [] if dpop_only else ["header"]
    url = urlsplit(metadata.resource)
    return pb.ResourceMetadata(
        path=str(paths.normalize(path)),
        url=f"{url.scheme}://{url.netloc}{path}",
        document=json.dumps(document, separators=(",", ":")).encode(),
    )


def _scheme(spec: StepUpPolicySpec, url: SplitResult) -> str | None:
    scheme = spec.origin.scheme.value
    return None if url.scheme == scheme else f"must have the scheme of spec.origin ({scheme})"


def _port(spec: StepUpPolicySpec, url: SplitResult) -> str | None:
    """That it is `origin.port` where that is set, the model has seen; `origin.host` without it means the default."""
    authority = parse_authority(url.netloc)
    if isinstance(authority, HostRefused):
        return authority.reason
    default = _DEFAULT_PORTS.get(url.scheme)
    if spec.origin.host is None or spec.origin.port is not None or authority.port in {None, default}:
        return None
    return f"must have the port of spec.origin ({default})"


def _path(resource: str, paths: PathSettings) -> str | None:
    normal = paths.normalize(document_path(resource))
    return f"no request ever has the document's path: {normal.reason}" if isinstance(normal, PathRefused) else None
