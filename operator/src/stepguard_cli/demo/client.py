"""The demo's client: a key pair, HTTP requests, and the way to a token."""

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from stepguard_cli.console import CliError
from stepguard_cli.proofs import PrivateKey, make_proof, new_key

TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names are lower case, lines of one name stay apart."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def phrase(self) -> str:
        """Status and reason phrase."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def values(self, name: str) -> list[str]:
        """All values of one header."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    response: Response


def send(method: str, url: str, headers: Sequence[tuple[str, str]] = (), body: str | None = None) -> Exchange:
    """Send one request on a connection of its own. Raises CliError where nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, url[url.index(parts.netloc) + len(parts.netloc) :], body, dict(headers))
        answer = connection.getresponse()
        shown = tuple((name.lower(), value) for name, value in answer.getheaders())
        response = Response(answer.status, shown, answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        raise CliError(f"{method} {url}: no answer: {error}") from None
    finally:
        connection.close()
    return Exchange(method, url, tuple(headers), response)


@dataclass(frozen=True, slots=True)
class Client:
    """An application on somebody's device; its key never leaves it."""

    authorization_server: str
    key: PrivateKey = field(default_factory=new_key)

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        """A new proof for one request."""
        return make_proof(self.key, method, url=url, now=int(time.time()), token=token)

    def authorized(self, method: str, url: str, token: str) -> tuple[tuple[str, str], ...]:
        """The headers of a request with a DPoP-bound token (RFC 9449 §7.1)."""
        return (("authorization", f"DPoP {token}"), ("dpop", self.proof(method, url, token)))

    def login(self, **parameters: str) -> str:
        """Send the user to the authorization server and come back with an access token. Raises CliError."""
        query = urlencode({"response_type": "code", "client_id": "demo"} | parameters)
        redirect = send("GET", f"{self.authorization_server}/authorize?{query}").response
        code = parse_qs(urlsplit((redirect.values("location") or [""])[0]).query).get("code", [""])[0]
        url = f"{self.authorization_server}/token"
        headers = (("content-type", "application/x-www-form-urlencoded"), ("dpop", self.proof("POST", url)))
        form = urlencode({"grant_type": "authorization_code", "code": code})
        answer = send("POST", url, headers, form).response
        if answer.status != HTTPStatus.OK:
            raise CliError(f"the authorization server gave no token: {answer.body}")
        return str(json.loads(answer.body)["access_token"])
