"""The whole service over its port: requests encoded by another implementation, answers decoded with it."""

from collections.abc import Iterator

import grpc
import pytest
from envoy_data_plane.envoy.service.auth.v3 import CheckRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bank import HOST, Bank
from tests.support.checks import Verdict, check_request, read_response
from tests.support.clock import clock_now
from tests.support.tokens import ClientKey
from tests.support.whole import Whole, whole

PATHS = (
    "/",
    "/accounts",
    "/accounts/1",
    "/transfers",
    "/public",
    "/public/../accounts",
    "/%2e%2e/x",
    "//public",
    "x",
    "",
)


@pytest.fixture(scope="module", params=["aio", "fast"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bank, Whole]]:
    """A bank and the service in front of it."""
    bank = Bank(tmp_path_factory.mktemp("bank") / "policies")
    with whole(bank, "--transport", request.param) as service:
        yield bank, service


Running = tuple[Bank, Whole]


def test_a_bearer_token_passes_where_it_may(running: Running) -> None:
    """Envoy's map form of headers."""
    bank, service = running
    assert service.caller.check(bank.bearer()).allowed


def test_a_good_proof_passes_once(running: Running) -> None:
    """The same proof by the same request again is Envoy's retry; by another it is a replay."""
    bank, service = running
    proven = bank.proven(request_id="a")
    assert [service.caller.check(proven).allowed for _ in range(2)] == [True, True]
    request = CheckRequest.parse(proven)
    request.attributes.request.http.id = "b"  # type: ignore[union-attr]  # it is there
    replayed = service.caller.check(bytes(request))
    assert (replayed.status, replayed.metadata["reason"]) == (401, "replayed")


def test_raw_header_lines_are_judged_alike(running: Running) -> None:
    """`encode_raw_headers: true`: two DPoP lines are two proofs."""
    bank, service = running
    token = bank.token()
    proof = bank.client.proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=token)
    lines = [("authorization", f"DPoP {token}".encode()), ("dpop", proof.encode())]
    twice = service.caller.check(check_request(path="/accounts", raw=[*lines, lines[1]]))
    once = service.caller.check(check_request(path="/accounts", raw=lines))
    assert (twice.metadata["reason"], once.allowed) == ("proof_repeated", True)


def test_a_step_up_is_asked_for_and_then_passes(running: Running) -> None:
    """RFC 9470: 401 with what is needed, as dynamic metadata too."""
    bank, service = running
    challenge = service.caller.check(bank.proven("/transfers"))
    assert challenge.status == 401
    assert 'error="insufficient_user_authentication"' in challenge.challenges[0]
    assert 'acr_values="urn:acr:phr"' in challenge.challenges[0]
    assert challenge.metadata["decision"] == "challenge"
    assert service.caller.check(bank.stepped_up()).allowed


REFUSALS: dict[str, tuple[bytes, int, str]] = {
    "no credentials": (check_request(path="/accounts"), 401, "no_credentials"),
    "no host": (check_request(host=""), 400, "bad_authority"),
    "another host": (check_request(host="other.example.com"), 403, "unknown_host"),
    "no rule": (check_request(path="/nothing"), 403, "no_rule"),
    "no HTTP attributes": (bytes(CheckRequest()), 400, "malformed_request"),
    "nothing at all": (b"", 400, "malformed_request"),
    "a lower-case method": (check_request("get"), 400, "bad_method"),
    "invalid UTF-8 in a header": (
        check_request(path="/accounts", raw=[("authorization", b"Bearer \xff")]),
        400,
        "malformed_authorization",
    ),
    "a token of 1 MB": (
        check_request(path="/accounts", headers={"authorization": "Bearer " + "a" * 2**20}),
        400,
        "token_too_long",
    ),
    "a token nested 10 000 deep": (
        check_request(path="/accounts", headers={"authorization": "Bearer " + "W1tb" * 2000 + ".e30.x"}),
        401,
        "token_malformed",
    ),
}


@pytest.mark.parametrize(("payload", "status", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_are_well_formed(running: Running, payload: bytes, status: int, reason: str) -> None:
    """Status, reason, and the right code inside (read_response checks it)."""
    verdict = running[1].caller.check(payload)
    assert (verdict.status, verdict.metadata["reason"]) == (status, reason)


def test_invalid_utf8_where_protobuf_allows_none_is_no_request(running: Running) -> None:
    """A gRPC error, which Envoy turns into its status_on_error; nothing is let through."""
    payload = check_request(path="/public").replace(b"/public", b"/publi\xff")
    assert running[1].caller.error(payload) is grpc.StatusCode.INVALID_ARGUMENT


def judged(service: Whole, payload: bytes) -> Verdict | None:
    """The answer; None for the gRPC error that says that these bytes are no request."""
    call = service.caller.submit(payload)
    if call.code() is grpc.StatusCode.OK:
        return read_response(call.result())
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(payload=st.binary(max_size=200))
def test_any_bytes_are_refused(running: Running, payload: bytes) -> None:
    """Any bytes that are not a request for a public path give a well-formed denial or INVALID_ARGUMENT."""
    verdict = judged(running[1], payload)
    assert verdict is None or not verdict.allowed


headers = st.dictionaries(
    st.sampled_from(["authorization", "dpop", "content-type", "origin", "host", "x-auth-sub", "cookie"])
    | st.text(max_size=8),
    st.text(max_size=40) | st.sampled_from(["Bearer a.b.c", "DPoP a.b.c", "application/grpc", "Basic QQ=="]),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "OPTIONS", "get", ""]) | st.text(max_size=5),
    path=st.sampled_from(PATHS) | st.text(max_size=20).map("/{}".format),
    host=st.sampled_from([HOST, HOST.upper(), HOST + ":443", HOST + "."]) | st.text(max_size=10),
    headers=headers,
)
def test_any_request_without_good_credentials_reaches_only_what_is_public(
    running: Running, method: str, path: str, host: str, headers: dict[str, str]
) -> None:
    """Any request gives a well-formed answer; an allow is one of the Anonymous rule, and says so."""
    verdict = judged(running[1], check_request(method, path, host=host, headers=headers))
    assert verdict is not None
    if verdict.allowed:
        assert (verdict.metadata["rule"], verdict.metadata["reason"]) == ("public", "anonymous")
    else:
        assert verdict.status in {400, 401, 403}


def test_a_stolen_token_is_worth_nothing(running: Running) -> None:
    """Bound to one key, sent with another one's proof, or as a bearer token."""
    bank, service = running
    token, thief = bank.token(), ClientKey(name="thief")
    proof = thief.proof("GET", f"https://{HOST}/accounts", now=clock_now(), token=token)
    stolen = check_request(path="/accounts", headers={"authorization": f"DPoP {token}", "dpop": proof})
    as_bearer = check_request(path="/accounts", headers={"authorization": f"Bearer {token}"})
    reasons = [service.caller.check(payload).metadata["reason"] for payload in (stolen, as_bearer)]
    assert reasons == ["proof_key_mismatch", "bound_token_as_bearer"]
