"""A service whose keys and introspection are at a real authorization server: what requests get while it changes."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stepguard_policy.nonce_keys import render_nonce_keys

from tests.support.authorization_server import INTROSPECTION_PATH, JWKS_PATH, AuthorizationServer, json_reply
from tests.support.bank import HOST, Bank, policy_document, rule
from tests.support.checks import Caller, Verdict, check_request, read_response
from tests.support.clock import clock_now
from tests.support.http_server import Reply
from tests.support.live_policies import bearer, introspecting, signed, token_issuer
from tests.support.processes import wait_until
from tests.support.service import service
from tests.support.tokens import AUDIENCE, ClientKey, Signer, jwk_set
from tests.support.whole import Whole, whole

FIRST, SECOND = Signer(kid="first"), Signer(kid="second")
OPAQUE = "opaque-token"


@pytest.fixture
def server() -> Iterator[AuthorizationServer]:
    """An authorization server that signs with the first key."""
    with AuthorizationServer(FIRST) as running:
        yield running


@pytest.fixture
def bank(tmp_path: Path, server: AuthorizationServer) -> Bank:
    """A folder of policies that trusts the authorization server."""
    bank = Bank(tmp_path / "policies")
    bank.write("issuer.yaml", token_issuer(server))
    return bank


@pytest.fixture
def running(bank: Bank, secrets: Path) -> Iterator[Whole]:
    """A service of that folder."""
    with whole(bank, "--secrets-dir", str(secrets)) as started:
        yield started


@pytest.fixture
def caller(running: Whole) -> Caller:
    """A client of it."""
    return running.caller


def reason(verdict: Verdict) -> str:
    return verdict.metadata["reason"]


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_token_of_a_fetched_key_passes_from_the_first_request_on(caller: Caller, server: AuthorizationServer) -> None:
    assert caller.check(signed(server, FIRST)).allowed


def test_a_rotation_loses_no_request_whatever_signs(caller: Caller, server: AuthorizationServer) -> None:
    """Four clients send tokens of the current key without pause while it changes, unannounced."""
    lost: list[Verdict] = []
    stop = threading.Event()
    current = [FIRST]

    def client() -> None:
        while not stop.is_set():
            verdict = caller.check(signed(server, current[0]))
            if not verdict.allowed:
                lost.append(verdict)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    server.signers = [FIRST, SECOND]
    current[0] = SECOND
    wait_until(lambda: server.count(JWKS_PATH) == 2, "the fetch for the new key")
    time.sleep(0.3)
    stop.set()
    for one in clients:
        one.join()
    assert lost == []
    assert server.count(JWKS_PATH) == 2


def test_an_unknown_key_is_401_and_keys_that_cannot_be_had_are_503(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    assert caller.check(signed(server, FIRST)).allowed
    assert reason(caller.check(signed(server, SECOND))) == "token_key_unknown"
    with AuthorizationServer(SECOND) as down:
        down.stop()
        bank.write("down.yaml", token_issuer(down, "down"))
        bank.write("policy.yaml", policy_document(rule("/accounts"), issuerRefs=[{"name": "main"}, {"name": "down"}]))
        wait_until(lambda: reason(caller.check(signed(down, SECOND))) == "keys_unavailable", "row 12")
        refused = caller.check(signed(down, SECOND))
        assert (refused.status, refused.challenges) == (503, ())
        assert caller.check(signed(server, FIRST)).allowed


def test_a_server_that_hangs_delays_only_its_own_tokens(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    with AuthorizationServer(SECOND) as hanging:
        hanging.faults[JWKS_PATH] = Reply(200, jwk_set(SECOND).encode(), delay=30)
        bank.write("hanging.yaml", token_issuer(hanging, "hanging"))
        issuers = [{"name": "main"}, {"name": "hanging"}]
        bank.write("policy.yaml", policy_document(rule("/accounts"), issuerRefs=issuers))
        wait_until(lambda: reason(caller.check(signed(hanging, SECOND))) == "keys_unavailable", "the issuer in force")
        stuck = [caller.submit(signed(hanging, SECOND)) for _ in range(200)]
        begun = time.monotonic()
        for _ in range(100):
            assert caller.check(signed(server, FIRST)).allowed
        assert time.monotonic() - begun < 5
        for one in stuck:
            one.result()


def test_a_removed_issuers_tokens_are_refused_at_once_and_it_is_not_asked_any_more(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    """In file mode a reference to an issuer that is gone is a warning: its tokens are row 11."""
    good = signed(server, FIRST)
    assert caller.check(good).allowed
    with AuthorizationServer(SECOND) as other:
        bank.write("other.yaml", token_issuer(other, "other"))
        bank.write("policy.yaml", policy_document(rule("/accounts"), issuerRefs=[{"name": "main"}, {"name": "other"}]))
        wait_until(lambda: caller.check(signed(other, SECOND)).allowed, "the other issuer")
        asked = server.count(JWKS_PATH)
        (bank.folder / "issuer.yaml").unlink()
        wait_until(lambda: reason(caller.check(good)) == "token_issuer", "row 11")
        assert caller.check(signed(other, SECOND)).allowed
    assert server.count(JWKS_PATH) == asked


def test_known_keys_outlive_their_server(caller: Caller, server: AuthorizationServer) -> None:
    assert caller.check(signed(server, FIRST)).allowed
    server.stop()
    for _ in range(3):
        assert caller.check(signed(server, FIRST)).allowed


# --- introspection ----------------------------------------------------------------------------------------------------


def in_force(caller: Caller, bank: Bank, issuer: dict[str, Any], probe: bytes, expected: str) -> None:
    """Put another version of the issuer in force, and wait until the probe shows it."""
    bank.write("issuer.yaml", issuer)
    wait_until(lambda: reason(caller.check(probe)) == expected, f"reason {expected}")


def test_an_opaque_token_is_what_its_issuer_says(caller: Caller, bank: Bank, server: AuthorizationServer) -> None:
    server.active[OPAQUE] = {"sub": "alice", "aud": AUDIENCE}
    in_force(caller, bank, introspecting(server), bearer(OPAQUE), "ok")
    assert caller.check(bearer(OPAQUE)).metadata["sub"] == "alice"
    assert reason(caller.check(bearer("unknown"))) == "token_inactive"


def test_step_up_and_scope_are_judged_by_what_introspection_says(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    now = int(clock_now())
    server.active["weak"] = {"sub": "alice", "acr": "pwd", "auth_time": now, "scope": "a"}
    server.active["stale"] = {"sub": "alice", "acr": "phr", "auth_time": now - 301, "scope": "a"}
    server.active["narrow"] = {"sub": "alice", "acr": "phr", "auth_time": now}
    server.active["good"] = {"sub": "alice", "acr": "phr", "auth_time": now, "scope": "b a"}
    require = {"acrValues": ["phr"], "maxAge": "5m", "scopes": ["a"]}
    bank.write("policy.yaml", policy_document(rule("/accounts", require=require)))
    in_force(caller, bank, introspecting(server), bearer("good"), "ok")
    reasons = {token: reason(caller.check(bearer(token))) for token in ("weak", "stale", "narrow")}
    assert reasons == {"weak": "insufficient_acr", "stale": "stale_authentication", "narrow": "insufficient_scope"}


def test_a_remembered_answer_frees_nobody_from_its_binding(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    """The proof is checked for each request, by whatever key, also where the answer was known already."""
    owner, thief = ClientKey(), ClientKey()
    server.active[OPAQUE] = {"sub": "alice", "cnf": {"jkt": owner.jkt}}

    def with_proof(key: ClientKey) -> bytes:
        proof = key.proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=OPAQUE)
        return check_request("GET", "/accounts", headers={"authorization": f"DPoP {OPAQUE}", "dpop": proof})

    in_force(caller, bank, introspecting(server), bearer(OPAQUE), "bound_token_as_bearer")
    for _ in range(2):
        assert caller.check(with_proof(owner)).allowed
        assert reason(caller.check(with_proof(thief))) == "proof_key_mismatch"
        assert reason(caller.check(bearer(OPAQUE))) == "bound_token_as_bearer"
    assert server.count(INTROSPECTION_PATH) == 1


def test_a_remembered_answer_is_judged_by_each_policy_and_at_each_time(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    server.active[OPAQUE] = {"sub": "alice", "aud": AUDIENCE}
    narrow = policy_document(
        rule("/accounts"), name="narrow", host="narrow.example", audiences=["https://narrow.example"]
    )
    bank.write("policy.yaml", policy_document(rule("/accounts")), narrow)
    in_force(caller, bank, introspecting(server), bearer(OPAQUE), "ok")
    elsewhere = check_request("GET", "/accounts", host="narrow.example", headers={"authorization": f"Bearer {OPAQUE}"})
    assert reason(caller.check(elsewhere)) == "token_audience"
    assert server.count(INTROSPECTION_PATH) == 1


def test_with_use_always_a_revoked_jwt_is_refused_and_a_contradicting_cnf_too(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    token = FIRST.access_token(clock_now(), claims={"iss": server.issuer})
    server.active[token] = {"sub": "alice"}
    revoked = signed(server, FIRST)
    in_force(caller, bank, introspecting(server, use="Always", cacheTTL="0s"), revoked, "token_inactive")
    assert caller.check(bearer(token)).allowed
    server.active[token] = {"sub": "alice", "cnf": {"jkt": "another"}}
    assert reason(caller.check(bearer(token))) == "token_binding_contradiction"


def test_a_401_of_the_endpoint_is_our_fault(
    caller: Caller, bank: Bank, server: AuthorizationServer, secrets: Path
) -> None:
    (secrets / "as-client" / "secret").write_text("wrong")
    in_force(caller, bank, introspecting(server), bearer(OPAQUE), "introspection_unavailable")
    refused = caller.check(bearer(OPAQUE))
    assert (refused.status, refused.challenges) == (503, ())


def test_a_flood_of_random_tokens_leaves_jwts_alone(
    running: Whole, caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    """From two Envoys, more than may wait: what is one too many is refused at once, JWTs pass all the while."""
    in_force(caller, bank, introspecting(server), bearer(OPAQUE), "token_inactive")
    server.faults[INTROSPECTION_PATH] = json_reply({"active": False}, delay=30)
    envoys = [Caller(running.port), Caller(running.port)]
    flood = [envoy.submit(bearer(f"random-{number}"), 30) for number in range(600) for envoy in envoys]
    begun = time.monotonic()
    for _ in range(100):
        assert caller.check(signed(server, FIRST)).allowed
    assert time.monotonic() - begun < 10
    assert {reason(read_response(one.result())) for one in flood} == {"introspection_unavailable"}
    assert server.count(INTROSPECTION_PATH) <= 1 + 32
    for envoy in envoys:
        envoy.close()


def test_a_stop_while_abandoned_requests_still_wait_ends_well(
    bank: Bank, server: AuthorizationServer, secrets: Path, tmp_path: Path
) -> None:
    """Their clients are gone and their calls with them, but what they waited for still ends."""
    server.faults[INTROSPECTION_PATH] = json_reply({"active": False}, delay=30)
    bank.write("issuer.yaml", introspecting(server))
    with service(bank.folder, tmp_path, "--secrets-dir", str(secrets)) as started:
        caller = Caller(started.port)
        calls = [caller.submit(bearer(f"random-{number}")) for number in range(50)]
        wait_until(lambda: server.count(INTROSPECTION_PATH), "the first lookup")
        for call in calls:
            call.cancel()
        assert started.process.stop() == 0
        caller.close()


# --- nonces -----------------------------------------------------------------------------------------------------------


def demanding_nonces(bank: Bank) -> None:
    bank.write("policy.yaml", policy_document(rule("/accounts"), dpop={"nonce": "Required"}))


def proven(server: AuthorizationServer, key: ClientKey, nonce: str | None) -> bytes:
    token = FIRST.access_token(clock_now(), jkt=key.jkt, claims={"iss": server.issuer})
    proof = key.proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=token, nonce=nonce)
    return check_request("GET", "/accounts", headers={"authorization": f"DPoP {token}", "dpop": proof})


def nonces_of(verdict: Verdict) -> list[str]:
    return [value for name, value in verdict.headers if name.lower() == "dpop-nonce"]


def test_a_client_gets_one_nonce_and_passes_with_it_at_every_replica_that_has_the_keys(
    bank: Bank, server: AuthorizationServer, tmp_path: Path
) -> None:
    demanding_nonces(bank)
    keys = tmp_path / "keys"
    keys.write_text(render_nonce_keys([b"k" * 32]))
    client = ClientKey()
    flags = ("--nonce-keys", str(keys))
    with whole(bank, *flags) as one, whole(bank, *flags) as other:
        refused = one.caller.check(proven(server, client, None))
        assert 'error="use_dpop_nonce"' in refused.challenges[0]
        (nonce,) = nonces_of(refused)
        assert other.caller.check(proven(server, client, nonce)).allowed


def test_a_rotation_of_nonce_keys_loses_no_client_that_retries_once(
    bank: Bank, server: AuthorizationServer, tmp_path: Path
) -> None:
    """Even one that skips the steps: the old nonce is refused with a new one, which then passes."""
    demanding_nonces(bank)
    keys = tmp_path / "keys"
    keys.write_text(render_nonce_keys([b"k" * 32]))
    client = ClientKey()
    with service(bank.folder, tmp_path, "--nonce-keys", str(keys)) as started:
        caller = Caller(started.port)
        (nonce,) = nonces_of(caller.check(proven(server, client, None)))
        assert caller.check(proven(server, client, nonce)).allowed
        keys.write_text(render_nonce_keys([b"n" * 32]))
        wait_until(lambda: nonces_of(caller.check(proven(server, client, nonce))), "the new keys")
        (renewed,) = nonces_of(caller.check(proven(server, client, nonce)))
        assert caller.check(proven(server, client, renewed)).allowed
        caller.close()


def test_bad_nonce_keys_are_refused_at_the_start(bank: Bank, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("short\n")
    with service(bank.folder, tmp_path, "--nonce-keys", str(keys), wait=False) as started:
        assert started.process.wait() == 2
    assert f"stepguard-service: --nonce-keys {keys}: line 1: " in started.process.stderr


def test_without_a_file_a_single_service_makes_its_own_keys(
    caller: Caller, bank: Bank, server: AuthorizationServer
) -> None:
    demanding_nonces(bank)
    client = ClientKey()
    wait_until(lambda: nonces_of(caller.check(proven(server, client, None))), "the policy")
    (nonce,) = nonces_of(caller.check(proven(server, client, None)))
    assert caller.check(proven(server, client, nonce)).allowed
