"""Good and bad requests side by side, many at once: every one is answered, none wrongly."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.support.clock import clock_now
from tests.support.gateway import HOST, PASSKEY, Gateway
from tests.support.http_clients import http1
from tests.support.tokens import ClientKey

ROUNDS: Final = 60
CLIENTS: Final = 8


def good_and_again(gateway: Gateway) -> tuple[int, ...]:
    """A good request, and the same one twice more."""
    credentials = gateway.credentials("GET", "/accounts")
    return tuple(gateway.get("/accounts", *credentials).status for _ in range(3))


def stolen(gateway: Gateway) -> tuple[int, ...]:
    """Somebody else's token: as it is, and with a proof by another key."""
    token = gateway.token()
    proof = ClientKey().proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=token)
    bare = gateway.get("/accounts", ("Authorization", f"Bearer {token}"))
    return bare.status, gateway.get("/accounts", ("Authorization", f"DPoP {token}"), ("DPoP", proof)).status


def stepping_up(gateway: Gateway) -> tuple[int, ...]:
    """A risky operation before and after step-up."""
    weak, strong = gateway.token(), gateway.token(acr=PASSKEY, scope="payments")
    sent = (gateway.credentials("POST", "/transfers", token=token) for token in (weak, strong))
    port = gateway.envoy.port()
    return tuple(http1(port, "/transfers", host=HOST, method="POST", headers=headers).status for headers in sent)


def without(gateway: Gateway) -> tuple[int, ...]:
    """No credentials, where they are needed, where they are not, and where nothing helps."""
    return tuple(gateway.get(path).status for path in ("/accounts", "/public", "/admin", "/public;x"))


SESSIONS: Final[dict[Callable[[Gateway], tuple[int, ...]], tuple[int, ...]]] = {
    good_and_again: (200, 401, 401),
    stolen: (401, 401),
    stepping_up: (401, 200),
    without: (401, 200, 403, 400),
}


def test_every_request_of_mixed_traffic_is_answered_as_if_it_were_alone(gateway: Gateway) -> None:
    """Eight clients at once, each session with what it has to get."""
    sessions = [session for _ in range(ROUNDS) for session in SESSIONS]
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = Counter(zip(sessions, clients.map(lambda session: session(gateway), sessions), strict=True))
    assert answers == dict.fromkeys(SESSIONS.items(), ROUNDS)
