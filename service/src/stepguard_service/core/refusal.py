"""Refusals as the client sees them: status, challenges, other headers, body."""

import json
from functools import lru_cache

from stepguard_service.core.challenge import Challenge, Terms, write_challenge
from stepguard_service.core.model import Refuse, Scheme
from stepguard_service.core.reasons import Reason
from stepguard_service.core.rulings import RULINGS, Placement, Ruling

NO_STORE = ("cache-control", "no-store")
EXPOSED_HEADERS = "WWW-Authenticate, DPoP-Nonce"
"""What scripts of a page need to see to authenticate (RFC 9449 §8, §7.1)."""

_AUTHENTICATION = frozenset({Reason.INSUFFICIENT_ACR, Reason.STALE_AUTHENTICATION})


@lru_cache(maxsize=4096)
def refusal(
    reason: Reason,
    terms: Terms | None = None,
    *,
    scheme: Scheme | None = None,
    grpc: bool = False,
    scope_lacking: bool = False,
) -> Refuse:
    """The answer to one kind of fault. Equal questions get the same object, until many others were asked.

    Args:
        reason: what is wrong.
        terms: of the rule that applies; needed for everything that is answered with challenges.
        scheme: the one that the client used.
        grpc: the client speaks gRPC and reads no body.
        scope_lacking: beside what `reason` says, the token lacks a scope.
    """
    ruling = RULINGS[reason]
    headers = [NO_STORE]
    if terms is not None and ruling.challenges:
        headers += [
            (
                "www-authenticate",
                write_challenge(_challenge(offered, reason, terms, used=scheme, scope_lacking=scope_lacking)),
            )
            for offered in terms.schemes
        ]
    if grpc or not ruling.error:
        return Refuse(ruling.status_for(grpc=grpc), tuple(headers))
    headers.append(("content-type", "application/json"))
    body = json.dumps({"error": ruling.error, "error_description": ruling.description})
    return Refuse(ruling.status_for(grpc=grpc), tuple(headers), body)


def cors_headers(origin: str) -> tuple[tuple[str, str], ...]:
    """What lets a page of a listed origin read one of our answers (Fetch §3.2.3)."""
    return (
        ("access-control-allow-origin", origin),
        ("vary", "Origin"),
        ("access-control-expose-headers", EXPOSED_HEADERS),
    )


def with_headers(refuse: Refuse, *headers: tuple[str, str]) -> Refuse:
    """The same answer with more headers."""
    return Refuse(refuse.status, (*refuse.headers, *headers), refuse.body) if headers else refuse


def _challenge(offered: Scheme, reason: Reason, terms: Terms, *, used: Scheme | None, scope_lacking: bool) -> Challenge:
    ruling = RULINGS[reason]
    bare = Challenge(
        scheme=offered,
        realm=terms.realm,
        algs=terms.algs if offered is Scheme.DPOP else (),
        resource_metadata=terms.resource_metadata,
    )
    if not _tells(ruling, offered, used if used in terms.schemes else Scheme.DPOP):
        return bare
    step_up = reason in _AUTHENTICATION
    return Challenge(
        scheme=offered,
        realm=bare.realm,
        error=ruling.error,
        error_description=ruling.description,
        algs=bare.algs,
        acr_values=terms.acr_values if step_up else (),
        max_age=terms.max_age if step_up else None,
        scope=terms.scopes if scope_lacking or reason is Reason.INSUFFICIENT_SCOPE else (),
        resource_metadata=bare.resource_metadata,
    )


def _tells(ruling: Ruling, offered: Scheme, used: Scheme | None) -> bool:
    """Whether this scheme's challenge says what is wrong."""
    match ruling.placement:
        case Placement.NONE | Placement.BARE:
            return False
        case Placement.OFFERED:
            return True
        case Placement.USED:
            return offered is used
        case Placement.DPOP:
            return offered is Scheme.DPOP
