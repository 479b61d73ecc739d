"""Nonces through a real Envoy, in front of an application that has some of its own."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from stepguard_policy.nonce_keys import render_nonce_keys
from stepguard_service.proof.nonce import NonceKeys

from tests.support.bank import HOST, Bank, policy_document, rule
from tests.support.clock import clock_now
from tests.support.envoy import Listener, envoy
from tests.support.http_clients import Response, http1
from tests.support.http_server import HttpServer, Reply
from tests.support.service import service

KEYS = NonceKeys((b"k" * 32,))


@dataclass
class Front:
    """A client with a key before an Envoy."""

    bank: Bank
    port: int

    def get(self, nonce: str | None) -> Response:
        """One request with a good proof over this nonce."""
        token = self.bank.token()
        url = f"https://{HOST}/accounts"
        proof = self.bank.client.proof("GET", url, now=clock_now(), token=token, nonce=nonce)
        return http1(self.port, "/accounts", host=HOST, headers=[("Authorization", f"DPoP {token}"), ("DPoP", proof)])


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Everything; the application answers with a nonce of its own and lets its answers be stored."""
    directory = tmp_path_factory.mktemp("nonces")
    bank = Bank(directory / "policies")
    bank.write("policy.yaml", policy_document(rule("/accounts"), dpop={"nonce": "Required"}))
    keys = directory / "keys"
    keys.write_text(render_nonce_keys(KEYS.keys))
    own = {"DPoP-Nonce": "the-application's", "Cache-Control": "max-age=60"}
    with (
        HttpServer(lambda _: Reply(200, b"hello", own)) as application,
        service(bank.folder, directory, "--nonce-keys", str(keys)) as stepguard,
        envoy(directory, {"raw": Listener()}, {"stepguard": stepguard.port}, application=application.port) as started,
    ):
        yield Front(bank, started.port())


def aged(seconds: int) -> str:
    """A nonce that the service itself could have issued so long ago."""
    return KEYS.issue(HOST, clock_now() - seconds)


@pytest.mark.parametrize("nonce", [None, "made-up", aged(1000)], ids=["none", "made up", "too old"])
def test_a_client_without_a_good_nonce_gets_exactly_one_and_passes_with_it(front: Front, nonce: str | None) -> None:
    refused = front.get(nonce)
    assert refused.status == 401
    assert 'error="use_dpop_nonce"' in refused.values("www-authenticate")[0]
    assert refused.value("cache-control") == "no-store"
    assert front.get(refused.value("dpop-nonce")).status == 200


def test_a_fresh_nonce_is_not_renewed_and_the_applications_answer_is_left_alone(front: Front) -> None:
    answer = front.get(aged(100))
    assert answer.status == 200
    assert answer.value("dpop-nonce") == "the-application's"
    assert answer.value("cache-control") == "max-age=60"


def test_a_nonce_past_half_its_life_is_renewed_and_is_the_only_one_of_the_response(front: Front) -> None:
    """The application's is replaced, and the answer is not stored."""
    answer = front.get(aged(200))
    assert answer.status == 200
    assert KEYS.check(answer.value("dpop-nonce"), HOST, clock_now(), 10) is not None
    assert answer.value("cache-control") == "no-store"
    assert front.get(answer.value("dpop-nonce")).status == 200
