"""Asks one authorization server about tokens (RFC 7662 §2): each token once at a time, a bounded number at once.

Everything here runs on one event loop. Lookups beyond the 32 in flight wait their turn, as long as a request waits for
them; how many requests may wait is bounded elsewhere.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future
from urllib.parse import quote_plus

from stepguard_service.core.model import Introspection, Issuer
from stepguard_service.core.slow import Introspected, Unavailable, Waited
from stepguard_service.limits import INTROSPECTION_LENGTH, INTROSPECTION_TIME, INTROSPECTIONS_IN_FLIGHT
from stepguard_service.proof.introspection import lifetime
from stepguard_service.proof.jose import Malformed, strict_json
from stepguard_service.transport import log
from stepguard_service.transport.http_fetch import Fetched, FetchFailed, HttpClient
from stepguard_service.transport.introspection_answers import IntrospectionAnswers
from stepguard_service.transport.secret_files import NoSecret, SecretFiles
from stepguard_service.transport.waiters import settle

_log = log.logger("introspection")
_UNAUTHORIZED = 401


class IntrospectionDesk:
    """Introspection at one issuer. `clock` is time.monotonic, `wall` Unix seconds."""

    def __init__(
        self,
        issuer: Issuer,
        introspection: Introspection,
        *,
        client: HttpClient,
        secrets: SecretFiles,
        answers: IntrospectionAnswers,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.issuer = issuer
        self._introspection = introspection
        self._client = client
        self._secrets = secrets
        self._answers = answers
        self._clock = clock
        self._wall = wall
        self._slots = asyncio.Semaphore(INTROSPECTIONS_IN_FLIGHT)
        self._waiters: dict[str, list[Future[Waited]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault = ""

    def join(self, token: str, waiter: Future[Waited]) -> None:
        """Let a request wait for the answer about this token, together with all others that ask about it."""
        if (waiters := self._waiters.get(token)) is not None:
            waiters.append(waiter)
            return
        self._answers.count_miss()
        self._waiters[token] = [waiter]
        task = asyncio.create_task(self._look_up(token))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all lookups; who waits is told so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _look_up(self, token: str) -> None:
        waited: Waited = Unavailable("the issuer is not in force any more")
        try:
            async with self._slots:
                # Who waited in vain for a turn is gone; its token is not worth a question.
                if any(not waiter.done() for waiter in self._waiters[token]):
                    waited = await self._ask(token)
        except Exception as error:  # noqa: BLE001 - whoever waits gets an answer, whatever happened
            _log.error("unexpected exception", extra=log.fields(issuer=self.issuer.name, stack=log.stack(error)))
            waited = Unavailable("internal error")
        finally:
            for waiter in self._waiters.pop(token):
                settle(waiter, waited)

    async def _ask(self, token: str) -> Waited:
        secret = self._secrets.read(self._introspection.secret_name, self._introspection.secret_key)
        if isinstance(secret, NoSecret):
            return self._unavailable(secret.detail)
        answer = await self._client.post_form(
            self._introspection.endpoint,
            {"token": token, "token_type_hint": "access_token"},
            authorization=_basic(self._introspection.client_id, secret),
            limit=INTROSPECTION_LENGTH,
            seconds=INTROSPECTION_TIME,
        )
        if isinstance(answer, FetchFailed):
            ours = " (our client id or secret is wrong)" if answer.status == _UNAUTHORIZED else ""
            return self._unavailable(f"{self._introspection.endpoint}: {answer.detail}{ours}")
        return self._take(token, answer)

    def _take(self, token: str, answer: Fetched) -> Waited:
        members = strict_json(answer.body)
        if isinstance(members, Malformed):
            return self._unavailable(f"{self._introspection.endpoint}: not acceptable JSON: {members.detail}")
        if self._fault:
            self._fault = ""
            _log.info("introspection works again", extra=log.fields(issuer=self.issuer.name))
        seconds = lifetime(members, self.issuer, token=token, now=self._wall())
        if seconds > 0:
            until = self._clock() + seconds
            self._answers.keep(self.issuer.hash, token, members, size=len(answer.body), until=until)
        return Introspected(members)

    def _unavailable(self, detail: str) -> Unavailable:
        """One line in the log per fault, not per request."""
        if detail != self._fault:
            self._fault = detail
            _log.warning("introspection fails", extra=log.fields(issuer=self.issuer.name, error=detail))
        return Unavailable(detail)


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749 §2.3.1: both are form-encoded before HTTP Basic puts them together."""
    return "Basic " + b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()
