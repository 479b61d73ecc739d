"""Where a request arrives: its host's rules and its path in normal form (docs/decisions.md, rows 1 to 3c)."""

from functools import lru_cache
from typing import NamedTuple

from stepguard_policy.hosts import Authority, HostRefused, parse_authority
from stepguard_policy.paths import PathRefused

from stepguard_service.core.matching import HostRules, RuleSet
from stepguard_service.core.model import Policy, Request, ResourceMetadata
from stepguard_service.core.reasons import Reason


class Place(NamedTuple):
    """A request to a host of ours, in the form in which rules and conditions see it."""

    request: Request
    rules: HostRules
    host: str
    """Lower case, without port and trailing dot."""
    path: str
    """In normal form, without query."""
    query: str
    """As received."""


class Nowhere(NamedTuple):
    """A request that no rule can govern. `rules` are those of its host where that is known."""

    reason: Reason
    rules: HostRules | None = None


class Preflight(NamedTuple):
    """A CORS preflight of a listed origin: answered by the application or a filter behind us."""

    rules: HostRules


class Document(NamedTuple):
    """The RFC 9728 document of a policy."""

    policy: Policy
    metadata: ResourceMetadata


_LONGEST_AUTHORITY = 300
"""More than any name with a dot and a port has; nothing longer is kept."""

_host_of = lru_cache(maxsize=16_384)(parse_authority)
"""The same authorities are asked for again and again, seldom more of them than hosts have policies."""


def locate(request: Request, rules: RuleSet) -> Place | Nowhere | Preflight | Document:
    """Find the host's rules and bring the path into the form in which they are written."""
    if not request.target.startswith("/"):
        return Nowhere(Reason.MALFORMED_REQUEST)
    text = request.authority
    authority: Authority | HostRefused = _host_of(text) if len(text) <= _LONGEST_AUTHORITY else parse_authority(text)
    if isinstance(authority, HostRefused):
        return Nowhere(Reason.BAD_AUTHORITY)
    found = rules.find(authority.host)
    if found is None:
        return Nowhere(Reason.UNKNOWN_HOST)
    raw_path, _, query = request.target.partition("?")
    path = found.normalize(raw_path)
    if isinstance(path, PathRefused):
        return Nowhere(Reason.PATH_REFUSED, found)
    method = request.method
    if not (method.isalpha() and method.isupper() and method.isascii()):
        return Nowhere(Reason.BAD_METHOD, found)
    if found.documents or found.allow_origins:
        special = _special(request, found, path)
        if special is not None:
            return special
    return Place(request, found, host=authority.host, path=path, query=query)


def is_grpc(request: Request) -> bool:
    """Whether the client speaks gRPC: it understands statuses, but neither bodies nor CORS."""
    return request.headers.get("content-type", "")[:16].lower() == "application/grpc"


def listed_origin(request: Request, rules: HostRules) -> str:
    """The request's Origin where the host's policies list it, else nothing."""
    origin = request.headers.get("origin", "")
    return origin if origin in rules.allow_origins else ""


def _special(request: Request, rules: HostRules, path: str) -> Preflight | Document | None:
    if is_grpc(request):
        return None
    if request.method in {"GET", "HEAD"} and (document := rules.documents.get(path)) is not None:
        return Document(*document)
    preflight = (
        request.method == "OPTIONS"
        and listed_origin(request, rules)
        and request.headers.get("access-control-request-method")
        and "authorization" not in request.headers
    )
    return Preflight(rules) if preflight else None
