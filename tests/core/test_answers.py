"""Answers beside plain refusals: documents, preflights, pages of other origins, gRPC, metadata."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.authorize import Options
from stepguard_service.core.model import (
    Access,
    Allow,
    Mode,
    Outcome,
    Refuse,
    Request,
    ResourceMetadata,
)
from stepguard_service.core.reasons import Reason

from tests.support.deciding import (
    Deciding,
    access_token,
    challenges_of,
    client,
    headers_of,
    signer,
    status_of,
    with_bearer,
    with_proof,
)
from tests.support.policies import candidate, dpop_settings, host_rules, policy, request, rule, rule_set
from tests.support.tokens import ISSUER

ORIGIN = "https://app.example"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
DOCUMENT = ResourceMetadata(
    WELL_KNOWN, f"https://api.example.com{WELL_KNOWN}", '{"resource":"https://api.example.com"}'
)
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}
GRPC = {"content-type": "application/grpc+proto"}


def _deciding(
    access: Access = Access.AUTHENTICATED, *, require: dict[str, Any] | None = None, **fields: Any
) -> Deciding:
    one = rule(of=policy(**fields), access=access, **(require or {}))
    return Deciding(rule_set(host_rules(candidate(one), allow_origins=frozenset({ORIGIN}))))


def _audited(one: Any = None, **fields: Any) -> Deciding:
    of = policy(mode=Mode.AUDIT, **fields)
    return Deciding(rule_set(host_rules(candidate(one or rule(of=of)), allow_origins=frozenset({ORIGIN}))))


# --- row 1a ---------------------------------------------------------------------------------------------------------

AUTHORITIES = {
    "a name": ("api.example.com", True),
    "another case, a port, a trailing dot": ("API.Example.COM.:443", True),
    "empty": ("", False),
    "userinfo": ("user@api.example.com", False),
    "two hosts": ("api.example.com,other.example", False),
    "a semicolon": ("api.example.com;x", False),
    "a path": ("api.example.com/x", False),
    "a space": ("api.example.com ", False),
    "no host": (":443", False),
    "no port after the colon": ("api.example.com:", False),
    "a port that is none": ("api.example.com:99999", False),
    "an empty label": ("api..example.com", False),
    "beyond ASCII": ("äpi.example.com", False),
    "an IPv6 address without brackets": ("::1", False),
    "very long": ("a" * 60_000, False),
}


@pytest.mark.parametrize(("authority", "known"), AUTHORITIES.values(), ids=AUTHORITIES.keys())
def test_an_authority_is_a_host_with_an_optional_port(authority: str, *, known: bool) -> None:
    """Row 1a: a real Envoy lets many others through."""
    answer = _deciding().answer(request(authority=authority))
    assert answer.reason is (Reason.NO_CREDENTIALS if known else Reason.BAD_AUTHORITY)


# --- row 3b -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_resource_metadata_document_is_served_to_anybody(method: str) -> None:
    """Row 3b (RFC 9728 §3): status 200 through a denial, cacheable, readable for every page."""
    answer = _deciding(resource_metadata=DOCUMENT).answer(request(method, f"{WELL_KNOWN}?x"))
    assert answer.response == Refuse(
        200,
        (
            ("content-type", "application/json"),
            ("cache-control", "max-age=3600"),
            ("access-control-allow-origin", "*"),
        ),
        DOCUMENT.document,
    )
    assert (answer.outcome, answer.reason) == (Outcome.METADATA, Reason.METADATA_DOCUMENT)
    assert answer.policy == "bank/payments"


OTHERWISE = {
    "another method": request("POST", WELL_KNOWN),
    "another path": request("GET", f"{WELL_KNOWN}/x"),
    "a gRPC client": request("GET", WELL_KNOWN, GRPC),
}


@pytest.mark.parametrize("asked", OTHERWISE.values(), ids=OTHERWISE.keys())
def test_the_document_is_not_served_otherwise(asked: Request) -> None:
    """The rules apply."""
    assert _deciding(resource_metadata=DOCUMENT).answer(asked).reason is Reason.NO_CREDENTIALS


def test_of_two_documents_at_one_path_the_older_policy_s_counts() -> None:
    """The younger is refused at compile time; should both be there, age decides."""
    older = policy("bank/old", resource_metadata=DOCUMENT)
    younger = policy("bank/new", resource_metadata=replace(DOCUMENT, document="{}"))
    service = Deciding(rule_set(host_rules(policies=(older, younger))))
    assert service.answer(request(target=WELL_KNOWN)).policy == "bank/old"


def test_a_document_whose_path_no_request_can_have_is_not_served() -> None:
    """Its path has no normal form at this host."""
    odd = policy(resource_metadata=replace(DOCUMENT, path=f"{WELL_KNOWN}/a;b"))
    assert dict(host_rules(policies=(odd,)).documents) == {}


def test_challenges_point_at_the_document_of_their_policy() -> None:
    """RFC 9728 §5.1, in each challenge."""
    challenges = challenges_of(_deciding(resource_metadata=DOCUMENT).answer(request()))
    assert {one.resource_metadata for one in challenges.values()} == {DOCUMENT.url}


# --- row 3c and pages of other origins --------------------------------------------------------------------------------


def test_a_preflight_of_a_listed_origin_passes() -> None:
    """Row 3c: it has no credentials; who answers it is behind us, and takes it for no other method."""
    answer = _deciding().answer(request("OPTIONS", headers=PREFLIGHT))
    allow = Allow(remove_headers=("x-http-method", "x-http-method-override", "x-method-override"))
    assert (answer.response, answer.outcome, answer.reason) == (allow, Outcome.PREFLIGHT, Reason.PREFLIGHT)


NO_PREFLIGHT = {
    "another origin": {**PREFLIGHT, "origin": "https://evil.example"},
    "no origin": {"access-control-request-method": "POST"},
    "no requested method": {"origin": ORIGIN},
    "with credentials": {**PREFLIGHT, "authorization": "Bearer a"},
    "a gRPC client": {**PREFLIGHT, **GRPC},
}


@pytest.mark.parametrize("headers", NO_PREFLIGHT.values(), ids=NO_PREFLIGHT.keys())
def test_what_is_no_preflight_is_judged(headers: dict[str, str]) -> None:
    """Else OPTIONS would be a way around."""
    assert _deciding().answer(request("OPTIONS", headers=headers)).outcome is not Outcome.PREFLIGHT


def test_other_methods_are_no_preflight() -> None:
    """Only OPTIONS is."""
    assert _deciding().answer(request("POST", headers=PREFLIGHT)).reason is Reason.NO_CREDENTIALS


def test_without_cors_nothing_is_a_preflight() -> None:
    """And no CORS header is set."""
    answer = Deciding(rule_set(host_rules(candidate(rule())))).answer(request("OPTIONS", headers=PREFLIGHT))
    assert answer.reason is Reason.NO_CREDENTIALS
    assert headers_of(answer, "access-control-allow-origin") == headers_of(answer, "vary") == []


REFUSED = {
    "a challenge": (request(headers={"origin": ORIGIN}), 401),
    "a denial without rule": (request("post", headers={"origin": ORIGIN}), 400),
}


@pytest.mark.parametrize(("asked", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_a_page_of_a_listed_origin_can_read_refusals(asked: Request, status: int) -> None:
    """RFC 9449 §8: scripts see WWW-Authenticate and DPoP-Nonce only where they are exposed."""
    answer = _deciding().answer(asked)
    assert status_of(answer) == status
    assert headers_of(answer, "access-control-allow-origin") == [ORIGIN]
    assert headers_of(answer, "vary") == ["Origin"]
    assert headers_of(answer, "access-control-expose-headers") == ["WWW-Authenticate, DPoP-Nonce"]


def test_a_page_of_another_origin_cannot() -> None:
    """Its origin is not repeated."""
    answer = _deciding().answer(request(headers={"origin": "https://evil.example"}))
    assert headers_of(answer, "access-control-allow-origin") == []


# --- gRPC -------------------------------------------------------------------------------------------------------------


def test_a_grpc_client_gets_401_and_no_body_for_bad_credentials() -> None:
    """Rows 7, 8, 9 and 17: Envoy makes UNAUTHENTICATED of it."""
    answer = _deciding().answer(request("POST", headers={**GRPC, "authorization": "Bearer a,Bearer b"}))
    assert (answer.reason, status_of(answer)) == (Reason.AMBIGUOUS_CREDENTIALS, 401)
    assert isinstance(answer.response, Refuse)
    assert answer.response.body == ""


def test_a_grpc_client_gets_no_body_where_no_policy_stands_either() -> None:
    """Row 2, and rows without a snapshot."""
    answers = [Deciding(rules).answer(request(headers=GRPC)) for rules in (rule_set(), None)]
    assert [(status_of(one), one.response.body) for one in answers if isinstance(one.response, Refuse)] == [
        (403, ""),
        (503, ""),
    ]


# --- what may be let through ------------------------------------------------------------------------------------------


def test_unmatched_hosts_may_be_allowed() -> None:
    """`--unmatched-hosts unsafe-allow`: counted as allowed, for the reason that no policy names the host."""
    service = Deciding(rule_set(), options=Options(allow_unmatched_hosts=True))
    answer = service.answer(request(authority="other.example"))
    assert (answer.outcome, answer.reason, answer.policy) == (Outcome.ALLOW, Reason.UNKNOWN_HOST, "")


@pytest.mark.parametrize("asked", [request(authority=""), request(target="x")])
def test_the_switch_lets_nothing_malformed_through(asked: Request) -> None:
    """Rows 1 and 1a answer as ever."""
    assert status_of(Deciding(rule_set(), options=Options(allow_unmatched_hosts=True)).answer(asked)) == 400


# --- metadata ---------------------------------------------------------------------------------------------------------


def test_metadata_says_who_was_allowed_what() -> None:
    """All of it verified."""
    answer = _deciding(require={"acr_values": ("urn:phr",)}).answer(with_proof(access_token(acr="urn:phr")))
    assert answer.metadata == {
        "decision": "allow",
        "reason": "ok",
        "policy": "bank/payments",
        "rule": "everything",
        "iss": ISSUER,
        "sub": "alice",
        "client_id": "client-1",
        "jkt": client().jkt,
        "acr": "urn:phr",
    }


def test_metadata_of_a_bearer_names_no_key() -> None:
    """Nor what the token does not say."""
    answer = _deciding().answer(with_bearer(access_token(bound=False, client_id=None)))
    assert answer.reason is Reason.TOKEN_CLAIM_INVALID
    answer = _deciding().answer(with_bearer(access_token(bound=False)))
    assert set(answer.metadata) == {"decision", "reason", "policy", "rule", "iss", "sub", "client_id"}


def test_metadata_of_unproven_credentials_names_nobody() -> None:
    """A later filter must not take a thief for the owner."""
    answer = _deciding().answer(with_proof(access_token(), proof={"signed_by": signer().key}))
    assert set(answer.metadata) == {"decision", "reason", "policy", "rule"}


def test_metadata_without_rule_names_the_oldest_policy_of_the_host() -> None:
    """And nothing where no policy stands."""
    assert _deciding().answer(request("get")).metadata == {
        "decision": "deny", "reason": "bad_method", "policy": "bank/payments",
    }  # fmt: skip
    assert Deciding(None).answer(request()).metadata == {"decision": "unavailable", "reason": "no_snapshot"}


@given(st.text("QXZ", min_size=8, max_size=12))
def test_nothing_that_a_client_sent_is_ever_echoed(mark: str) -> None:
    """Any text, wherever a client may put it, stands in no header and no body of a refusal."""
    asked = [
        request(mark, f"/{mark}", {"authorization": f"Bearer {mark}"}),
        request("GET", f"/{mark}?{mark}", {"authorization": f"DPoP {mark}", "dpop": mark, "origin": mark}),
        request("GET", f"/{mark}\\", authority=f"{mark}.example"),
        with_proof(access_token(sub=mark, iss=mark)),
        with_proof(access_token(sub=mark, scope=mark, acr=mark)),
        with_proof(access_token(sub=mark), proof={"claims": {"jti": mark, "nonce": mark, "htu": mark}}),
    ]
    service = _deciding(require={"acr_values": ("urn:phr",)}, dpop=dpop_settings(nonce_required=True))
    for one in asked:
        response = service.answer(one).response
        assert isinstance(response, Refuse)
        assert mark not in f"{response.headers}{response.body}"


_NAMES = st.sampled_from(
    ["authorization", "dpop", "origin", "content-type", "x_auth_sub", "access-control-request-method"]
)
_REQUESTS = st.builds(
    Request,
    id=st.text(),
    method=st.sampled_from(["GET", "OPTIONS"]) | st.text(),
    authority=st.sampled_from(["api.example.com"]) | st.text(),
    target=st.text() | st.text().map(lambda text: f"/{text}"),
    headers=st.dictionaries(_NAMES, st.sampled_from(["DPoP a.b.c", "Bearer a.b.c", "application/grpc"]) | st.text()),
    certificate=st.text(),
)


@given(_REQUESTS)
def test_any_request_is_refused_in_form_or_is_a_preflight(asked: Request) -> None:
    """Any request without good credentials gets a 4xx answer of visible ASCII headers, or is a preflight."""
    answer = _deciding(require={"dpop_required": True}).answer(asked)
    if isinstance(answer.response, Allow):
        assert answer.outcome is Outcome.PREFLIGHT
        return
    assert answer.response.status in {400, 401, 403}
    assert all(" " <= character <= "~" for _, value in answer.response.headers for character in value)
