"""One proof, used twice: every way by which a second use could look like a first one."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.bank import HOST, Bank
from tests.support.checks import Caller, check_request, read_response
from tests.support.clock import clock_now
from tests.support.deciding import NOW, Deciding, access_token, status_of, with_proof
from tests.support.policies import When, candidate, dpop_settings, host_rules, policy, request, rule, rule_set
from tests.support.tokens import base64url


@dataclass(frozen=True)
class Stolen:
    """Credentials that somebody saw on the wire."""

    token: str
    proof: str

    def used(self, *, path: str = "/accounts", request_id: str = "1", **others: Any) -> bytes:
        """A request that uses them."""
        headers = {"authorization": f"DPoP {self.token}", "dpop": self.proof, **others.pop("headers", {})}
        return check_request("GET", path, headers=headers, request_id=request_id, **others)


def stolen(bank: Bank, **claims: object) -> Stolen:
    token = bank.token()
    url = f"https://{HOST}/accounts"
    return Stolen(token, bank.client.proof("GET", url, now=clock_now(), token=token, claims=claims))


SECOND_USES: Mapping[str, Mapping[str, Any]] = {
    "by another request": {},
    "by a request without an id": {"request_id": ""},
    "with another query": {"path": "/accounts?x=1"},
    "with the host in capitals": {"host": HOST.upper()},
    "with the default port": {"host": f"{HOST}:443"},
    "with the path escaped": {"path": "/%61ccounts"},
    "with a dot segment": {"path": "/./accounts"},
    "with spaces around the proof": {"spaced": True},
}


@pytest.mark.parametrize("second", SECOND_USES.values(), ids=SECOND_USES.keys())
def test_a_proof_that_was_used_is_refused(bank: Bank, caller: Caller, second: Mapping[str, Any]) -> None:
    """However the second request spells what the proof is about."""
    seen = stolen(bank)
    assert caller.check(seen.used(request_id="1")).allowed
    if second.get("spaced"):
        again = Stolen(seen.token, f"  {seen.proof}\t").used(request_id="2")
    else:
        again = seen.used(**{"request_id": "2", **second})
    assert caller.check(again).metadata["reason"] == "replayed"


def test_two_requests_without_an_id_are_two_requests(bank: Bank, caller: Caller) -> None:
    """An empty id is no id."""
    seen = stolen(bank)
    assert caller.check(seen.used(request_id="")).allowed
    assert caller.check(seen.used(request_id="")).metadata["reason"] == "replayed"


def test_headers_that_claim_to_be_the_same_request_are_not_believed(bank: Bank, caller: Caller) -> None:
    """Only Envoy's own id counts, and clients cannot choose that."""
    seen, same = stolen(bank), {"x-request-id": "1", ":id": "1", "id": "1"}
    assert caller.check(seen.used(request_id="1", headers=same)).allowed
    assert not caller.check(seen.used(request_id="2", headers=same)).allowed


def test_the_signature_of_an_elliptic_curve_mirrored_is_the_same_proof(bank: Bank, caller: Caller) -> None:
    """(r, n - s) verifies where (r, s) does (P-256): the key of the claim is jti, not the proof's text."""
    seen = stolen(bank)
    signed, _, encoded = seen.proof.rpartition(".")
    raw = base64.urlsafe_b64decode(encoded + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    mirrored = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert caller.check(seen.used(request_id="1")).allowed
    again = Stolen(seen.token, f"{signed}.{base64url(mirrored)}")
    assert caller.check(again.used(request_id="2")).metadata["reason"] == "replayed"


def test_of_many_uses_at_once_one_passes(bank: Bank, caller: Caller) -> None:
    """They may well be decided in one batch."""
    seen = stolen(bank)
    calls = [caller.submit(seen.used(request_id=str(number))) for number in range(50)]
    assert [read_response(call.result()).allowed for call in calls].count(True) == 1


def test_a_short_lived_rule_does_not_free_a_proof_for_a_long_lived_one_beside_it() -> None:
    """Two policies of a host may choose by a header who judges one and the same URI, and differ in proofMaxAge."""
    short = policy("bank/short", dpop=dpop_settings(proof_max_age=5, clock_skew=0))
    long = policy("bank/long", dpop=dpop_settings(proof_max_age=300, clock_skew=0))
    by_header = When(lambda given: given.headers.get("x-short") == "1")
    rules = host_rules(candidate(rule("short", short, when=by_header)), candidate(rule("long", long)), pattern=HOST)
    service = Deciding(rule_set(rules))
    first = with_proof(access_token(), headers={"x-short": "1"}, request_id="1")
    assert status_of(service.answer(first)) == 0
    without = {name: value for name, value in first.headers.items() if name != "x-short"}
    again = request(headers=without, id="2")
    for later in (1, 6, 7, 100, 300):
        assert status_of(service.answer(again, NOW + later)) == 401
