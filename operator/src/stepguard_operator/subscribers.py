"""Who may subscribe: authenticated *and* named, by token or by certificate.

A token is judged by the API server (TokenReview). What it said is remembered, and counts for ten minutes while the API
server cannot be asked; a refusal counts for a moment only.
"""

import asyncio
import binascii
import json
import logging
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from stepguard_operator.api import Api, ApiError

REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
TRUSTED_SECONDS: Final = 600.0
"""How long a review counts when the API server cannot be asked again."""
REFUSED_SECONDS: Final = 5.0
"""How long a refusal counts, so that knocking again costs the API server nothing."""
REMEMBERED: Final = 4096
REVIEWS_AT_ONCE: Final = 8
WITHOUT_EXPIRY_SECONDS: Final = 3600.0
"""A stream of a token that does not say when it ends."""
TOKEN_LENGTH: Final = 16 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admitted:
    """May subscribe until then, in Unix seconds; None: for as long as the connection lives."""

    who: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """May not. `try_again`: not because of who it is, but because nobody could be asked."""

    reason: str
    try_again: bool = False


Admission = Admitted | NotAdmitted


class Gate(Protocol):
    """Decides who may subscribe."""

    async def admit(self, metadata: Mapping[str, str], certificate: Sequence[str], now: float) -> Admission:
        """Judge a call by its metadata and the names in the client's verified certificate; `now` in Unix seconds."""


class Certificates:
    """mTLS: a verified client certificate with one of these names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    async def admit(self, metadata: Mapping[str, str], certificate: Sequence[str], now: float) -> Admission:  # noqa: ARG002  (Gate)
        """See Gate."""
        name = next((name for name in certificate if name in self._names), None)
        if name is None:
            return NotAdmitted("the client certificate has none of the names that may subscribe")
        return Admitted(name)


class Anybody:
    """unsafe-none: whoever reaches the port, which is a loopback one."""

    async def admit(self, metadata: Mapping[str, str], certificate: Sequence[str], now: float) -> Admission:  # noqa: ARG002  (Gate)
        """See Gate."""
        return Admitted("anybody")


class Tokens:
    """ServiceAccount tokens for our audience, of the accounts that are named."""

    def __init__(self, api: Api, service_accounts: Iterable[str], *, audience: str) -> None:
        """`service_accounts` are namespace/name."""
        self._api = api
        self._users = frozenset(user_name(account) for account in service_accounts)
        self._audience = audience
        self._remembered: OrderedDict[bytes, tuple[Admission, float]] = OrderedDict()
        self._reviewing = asyncio.Semaphore(REVIEWS_AT_ONCE)

    async def admit(self, metadata: Mapping[str, str], certificate: Sequence[str], now: float) -> Admission:  # noqa: ARG002  (Gate)
        """See Gate."""
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_LENGTH:
            return NotAdmitted("a ServiceAccount token is needed: authorization: Bearer …")
        key = sha256(token.encode()).digest()
        before, at = self._remembered.get(key, (None, 0.0))
        if isinstance(before, NotAdmitted) and now - at <= REFUSED_SECONDS:
            return before
        try:
            async with self._reviewing:
                review = await self._api.create(REVIEWS, self._question(token))
        except ApiError as error:
            return self._unasked(before, now - at, now, error)
        admission = judge_review(review.get("status") or {}, self._users, audience=self._audience)
        if isinstance(admission, Admitted):
            admission = Admitted(admission.who, expiry(token) or now + WITHOUT_EXPIRY_SECONDS)
        self._remember(key, admission, now)
        return admission

    def _question(self, token: str) -> dict[str, Any]:
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }

    def _unasked(self, before: Admission | None, age: float, now: float, error: ApiError) -> Admission:
        """The API server did not answer, or does not let us ask."""
        if isinstance(before, Admitted) and age <= TRUSTED_SECONDS and error.unavailable:
            still_valid = before.until is None or before.until > now
            return before if still_valid else NotAdmitted("the token has expired")
        _log.warning("a subscriber's token cannot be reviewed: %s", error)
        return NotAdmitted("the token cannot be reviewed now", try_again=True)

    def _remember(self, key: bytes, admission: Admission, now: float) -> None:
        self._remembered[key] = (admission, now)
        self._remembered.move_to_end(key)
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)


def user_name(service_account: str) -> str:
    """What the API server calls namespace/name."""
    namespace, _, name = service_account.partition("/")
    return f"system:serviceaccount:{namespace}:{name}"


def judge_review(status: Mapping[str, Any], users: frozenset[str], *, audience: str) -> Admission:
    """Authenticated, for our audience, and one of these user names exactly."""
    if status.get("authenticated") is not True:
        return NotAdmitted("the token is not valid")
    if audience not in (status.get("audiences") or ()):
        return NotAdmitted(f"the token is not for audience {audience}")
    user = (status.get("user") or {}).get("username")
    if not isinstance(user, str) or user not in users:
        return NotAdmitted("this ServiceAccount may not subscribe")
    return Admitted(user)


def expiry(token: str) -> float | None:
    """`exp` of a JWT that was reviewed already; None where it has none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError, binascii.Error, RecursionError):
        return None
    value = claims.get("exp") if isinstance(claims, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
