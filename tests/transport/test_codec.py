"""CheckRequest in, CheckResponse out: written and read back by another implementation."""

import pytest
from envoy_data_plane.envoy.config.core.v3 import HeaderValueOptionHeaderAppendAction as AppendAction
from envoy_data_plane.envoy.service.auth.v3 import CheckRequest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.model import Allow, Answer, HeaderAction, Outcome, Refuse, Request, ResponseHeader
from stepguard_service.core.reasons import Reason
from stepguard_service.transport import codec

from tests.support.checks import check_request, read_response


def test_every_part_of_a_request_arrives() -> None:
    """Method, path with its query, host, id, headers and the peer's certificate."""
    payload = check_request(
        "POST", "/a?b=c", host="h:1", headers={"dpop": "x"}, request_id="17", certificate="-----BEGIN%20"
    )
    assert codec.decode(payload) == Request("17", "POST", "h:1", "/a?b=c", {"dpop": "x"}, "-----BEGIN%20")


HEADER_FORMS = {
    "raw lines of one name are joined by a bare comma": ([("dpop", b"a"), ("dpop", b"b")], {"dpop": "a,b"}),
    "raw names are lowered before they are joined": ([("DPoP", b"a"), ("dpop", b"b")], {"dpop": "a,b"}),
    "bytes that are no UTF-8 become exclamation marks": ([("x", b"a\xff\xc3(b")], {"x": "a!!(b"}),
    "UTF-8 stays": ([("x", "é".encode())], {"x": "é"}),
    "an empty raw value stays": ([("x", b"")], {"x": ""}),
}


@pytest.mark.parametrize(("raw", "headers"), HEADER_FORMS.values(), ids=HEADER_FORMS.keys())
def test_raw_headers_give_what_the_other_form_gives(raw: list[tuple[str, bytes]], headers: dict[str, str]) -> None:
    """`encode_raw_headers` changes nothing about what we see."""
    request = codec.decode(check_request(raw=raw))
    assert request is not None
    assert request.headers == headers


def test_names_in_several_cases_are_joined_in_the_map_form_too() -> None:
    """No spelling of a header hides another one."""
    request = codec.decode(check_request(headers={"Authorization": "a", "authorization": "b"}))
    assert request is not None
    assert sorted(request.headers["authorization"]) == sorted("a,b")


def test_a_request_without_http_attributes_has_no_target() -> None:
    """Row 1 refuses it; nothing about it is made up."""
    assert codec.decode(bytes(CheckRequest())) == Request("", "", "", "", {})


@given(st.binary())
def test_any_bytes_are_a_request_or_none(payload: bytes) -> None:
    """Any bytes give a Request with lower-case header names, or None, never an exception."""
    request = codec.decode(payload)
    assert request is None or all(name == name.lower() for name in request.headers)


STATUSES = {"401 is UNAUTHENTICATED": 401, "403": 403, "400": 400, "503 is UNAVAILABLE": 503, "a 200 document": 200}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES.keys())
def test_refusals_carry_status_headers_and_body(status: int) -> None:
    """Two challenges stay two lines; read_response checks the code inside."""
    headers = (("www-authenticate", "DPoP"), ("www-authenticate", 'Bearer realm="r"'))
    answer = Answer(Refuse(status, headers, "body"), Outcome.DENY, Reason.NO_RULE)
    verdict = read_response(codec.encode(answer))
    assert (verdict.status, verdict.headers, verdict.body) == (status, headers, "body")


def test_allowed_requests_are_changed_by_overwriting() -> None:
    """A client's own copy of a header that we set never survives; `append` stays unset (read_response checks it)."""
    answer = Answer(Allow((("x-auth-sub", "alice"),), ("dpop",)), Outcome.ALLOW, Reason.OK, metadata={"sub": "alice"})
    verdict = read_response(codec.encode(answer))
    assert (verdict.allowed, verdict.set_headers, verdict.removed) == (True, {"x-auth-sub": "alice"}, ("dpop",))
    assert verdict.metadata == {"sub": "alice"}


def test_an_allow_overwrites_in_every_version_of_envoy() -> None:
    """Envoy 1.37.0 appends where the action is missing."""
    from envoy_data_plane.envoy.service.auth.v3 import CheckResponse

    answer = Answer(Allow((("x-auth-sub", "alice"),)), Outcome.ALLOW, Reason.OK)
    ok = CheckResponse.parse(codec.encode(answer)).ok_response
    assert ok is not None
    assert [option.append_action for option in ok.headers] == [AppendAction.OVERWRITE_IF_EXISTS_OR_ADD]


ACTIONS = {
    "overwrite": (HeaderAction.OVERWRITE, AppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
    "append": (HeaderAction.APPEND, AppendAction.APPEND_IF_EXISTS_OR_ADD),
}


@pytest.mark.parametrize(("action", "expected"), ACTIONS.values(), ids=ACTIONS.keys())
def test_response_headers_keep_their_action(action: HeaderAction, expected: AppendAction) -> None:
    """A nonce replaces what the application sent; `vary` joins it."""
    answer = Answer(Allow(response_headers=(ResponseHeader("vary", "Origin", action),)), Outcome.ALLOW, Reason.OK)
    (option,) = read_response(codec.encode(answer)).response_headers
    assert option.append_action == expected


def test_the_smallest_allow_is_not_empty() -> None:
    """An empty CheckResponse would be an allow that nobody decided; ours says so itself."""
    assert codec.encode(Answer(Allow(), Outcome.ALLOW, Reason.OK)) != b""


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_claim_value_fits_into_metadata(issuer: str, subject: str) -> None:
    """Any text, lone surrogates too, gives a well-formed response."""
    answer = Answer(Allow(), Outcome.ALLOW, Reason.OK, metadata={"iss": issuer, "sub": subject})
    assert read_response(codec.encode(answer)).metadata.keys() == {"iss", "sub"}
