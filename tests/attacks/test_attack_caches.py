"""What was good in one place, carried to another: tokens, proofs and nonces across policies, hosts and issuers."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.support.bank import HOST, Bank, issuer_document, policy_document, rule
from tests.support.checks import Caller, Verdict, check_request
from tests.support.clock import clock_now
from tests.support.tokens import ABSENT, ClientKey, Signer, base64url
from tests.support.whole import whole

OTHER: Final = "other.example.com"
NARROW: Final = "narrow.example.com"
EDWARDS: Final = "edwards.example.com"
NONCES: Final = ("nonce-a.example.com", "nonce-b.example.com")
ALL: Final = rule("/")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """One issuer identifier with two TokenIssuers, and policies that differ in what they accept."""
    bank = Bank(tmp_path_factory.mktemp("confused") / "policies")
    bank.write("issuer.yaml", issuer_document(bank.signer), issuer_document(Signer(kid="key-1"), name="second"))
    hosts: Mapping[str, Mapping[str, Any]] = {
        HOST: {},
        OTHER: {"issuerRefs": [{"name": "second"}]},
        NARROW: {"audiences": ["https://narrow.example.com"]},
        EDWARDS: {"dpop": {"algorithms": ["EdDSA"]}},
        **{host: {"dpop": {"nonce": "Required"}} for host in NONCES},
    }
    documents = [policy_document(ALL, name=host.partition(".")[0], host=host, **spec) for host, spec in hosts.items()]
    bank.write("policy.yaml", *documents)
    return bank


@pytest.fixture(scope="module")
def caller(bank: Bank) -> Iterator[Caller]:
    """A client of a service with those policies."""
    with whole(bank) as running:
        yield running.caller


def ask(bank: Bank, caller: Caller, host: str, token: str, *, nonce: str | None = None) -> Verdict:
    proof = bank.client.proof("GET", f"https://{host}/x", now=clock_now(), token=token, nonce=nonce)
    headers = {"authorization": f"DPoP {token}", "dpop": proof}
    return caller.check(check_request("GET", "/x", host=host, headers=headers))


CONFUSIONS: Final = {
    "by another TokenIssuer of the same issuer identifier": (OTHER, "token_signature"),
    "by a policy that narrows the audience": (NARROW, "token_audience"),
    "by a policy that does not allow the proof's algorithm": (EDWARDS, "proof_algorithm"),
}


@pytest.mark.parametrize(("host", "reason"), CONFUSIONS.values(), ids=CONFUSIONS.keys())
def test_what_is_remembered_for_one_policy_is_judged_anew(bank: Bank, caller: Caller, host: str, reason: str) -> None:
    """The token, and the key in the proof's header, were accepted a moment ago, twice, and so are remembered."""
    token = bank.token()
    assert ask(bank, caller, HOST, token).allowed
    assert ask(bank, caller, HOST, token).allowed
    assert ask(bank, caller, host, token).metadata["reason"] == reason
    assert ask(bank, caller, HOST, token).allowed


def nonce_of(verdict: Verdict) -> str:
    return dict(verdict.headers)["dpop-nonce"]


def test_a_nonce_of_one_host_is_worth_nothing_at_another(bank: Bank, caller: Caller) -> None:
    first, second = NONCES
    nonce = nonce_of(ask(bank, caller, first, bank.token()))
    assert ask(bank, caller, second, bank.token(), nonce=nonce).metadata["reason"] == "nonce_invalid"
    assert ask(bank, caller, first, bank.token(), nonce=nonce).allowed


FORGED: Final = {
    "of zeros": "A" * 43,
    "of the right length and the present time": base64url(int(clock_now()).to_bytes(8, "big") + b"r" * 24),
    "too short": "AAAA",
    "that is no base64url": "!" * 43,
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_a_forged_nonce_is_refused(bank: Bank, caller: Caller, forged: str) -> None:
    assert ask(bank, caller, NONCES[0], bank.token(), nonce=forged).metadata["reason"] == "nonce_invalid"


def test_a_nonce_with_a_changed_bit_or_another_spelling_is_refused(bank: Bank, caller: Caller) -> None:
    """Its time, its random part, its code, its last character's unused bits, and padding."""
    nonce = nonce_of(ask(bank, caller, NONCES[0], bank.token()))
    for at in (9, 15, 30):
        changed = nonce[:at] + ("A" if nonce[at] != "A" else "B") + nonce[at + 1 :]
        assert not ask(bank, caller, NONCES[0], bank.token(), nonce=changed).allowed
    for spelled in (nonce + "=", nonce + " ", nonce[:-1] + chr(ord(nonce[-1]) + 1)):
        assert not ask(bank, caller, NONCES[0], bank.token(), nonce=spelled).allowed


def test_a_key_that_the_client_brings_verifies_no_token(bank: Bank, caller: Caller) -> None:
    """Neither `jwk` nor `jku` nor `x5c` in a token's header is looked at."""
    thief = Signer(kid="key-1")
    extra = {"jwk": thief.jwk(), "jku": "https://thief.example/jwks", "x5c": ["AAAA"], "x5u": "https://thief.example"}
    forged = thief.access_token(clock_now(), jkt=bank.client.jkt, header=extra)
    assert ask(bank, caller, HOST, forged).metadata["reason"] == "token_signature"


def test_a_proof_is_no_token_and_a_token_is_no_proof(bank: Bank, caller: Caller) -> None:
    """Whichever of the two a client signs itself."""
    token = bank.token()
    proof = bank.client.proof("GET", f"https://{HOST}/x", now=clock_now(), token=token)
    for authorization, dpop in ((f"DPoP {proof}", proof), (f"DPoP {token}", token), (f"Bearer {proof}", "")):
        headers = {"authorization": authorization, **({"dpop": dpop} if dpop else {})}
        assert caller.check(check_request("GET", "/x", headers=headers)).status == 401


@pytest.mark.parametrize(
    "cnf", [None, {}, {"jkt": ""}, {"jkt": None}, {"JKT": "x"}, [], "x", {"jwk": {}}, {"kid": "x"}]
)
def test_a_binding_that_is_not_understood_is_never_no_binding(bank: Bank, caller: Caller, cnf: object) -> None:
    """As a bearer token, and with a proof by any key."""
    token = bank.signer.access_token(clock_now(), claims={"cnf": cnf})
    bearer = check_request("GET", "/x", headers={"authorization": f"Bearer {token}"})
    assert caller.check(bearer).status == 401
    assert ask(bank, caller, HOST, token).status == 401


def test_a_token_without_expiry_or_with_an_absurd_one_is_refused(bank: Bank, caller: Caller) -> None:
    for exp in (ABSENT, None, "9999999999", True, [9999999999], -1, 0):
        token = bank.signer.access_token(clock_now(), jkt=bank.client.jkt, claims={"exp": exp})
        assert ask(bank, caller, HOST, token).status == 401


def test_the_clients_other_key_proves_nothing(bank: Bank, caller: Caller) -> None:
    """Even with the bound key's thumbprint as its `kid`."""
    token, thief = bank.token(), ClientKey()
    jwk = {**thief.key.public_jwk, "kid": bank.client.jkt}
    proof = thief.proof("GET", f"https://{HOST}/x", now=clock_now(), token=token, header={"jwk": jwk})
    headers = {"authorization": f"DPoP {token}", "dpop": proof}
    assert caller.check(check_request("GET", "/x", headers=headers)).metadata["reason"] == "proof_key_mismatch"
