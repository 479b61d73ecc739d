"""What the application sees of an allowed request: identity headers, credentials, and nothing that a client forged."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.authorize import Options
from stepguard_service.core.allowance import identity_of
from stepguard_service.core.model import Access, Allow, Answer, ClaimHeader, Outcome, Request, UpstreamAuthorization
from stepguard_service.core.reasons import Reason

from tests.support.deciding import Deciding, access_token, with_bearer, with_proof
from tests.support.policies import candidate, exact, host_rules, policy, request, rule, rule_set

SUB = ClaimHeader("sub", "x-auth-sub")
IDENTITY = frozenset({"x-auth-sub", "x-auth-roles"})


def _deciding(access: Access = Access.AUTHENTICATED, **fields: Any) -> Deciding:
    one = rule(of=policy(**fields), access=access)
    return Deciding(rule_set(host_rules(candidate(one), identity_headers=IDENTITY)))


def _allowed(answer: Answer) -> Allow:
    assert isinstance(answer.response, Allow), answer.reason
    return answer.response


def _removed(answer: Answer) -> set[str]:
    return set(_allowed(answer).remove_headers)


def test_identity_headers_are_set_from_verified_claims() -> None:
    """And are not removed, since Envoy removes after it sets."""
    allow = _allowed(_deciding(claim_headers=(SUB,)).answer(with_proof(access_token(sub="alice"))))
    assert allow.set_headers == (("x-auth-sub", "alice"),)
    assert "x-auth-sub" not in allow.remove_headers
    assert "x-auth-roles" in allow.remove_headers


def test_every_spelling_of_an_identity_header_is_removed() -> None:
    """Underscores are hyphens to WSGI and CGI; the name we set ourselves arrives."""
    forged = {"x_auth_sub": "root", "x-auth_sub": "root", "x_auth_roles": "admin", "x_other": "kept"}
    answer = _deciding(claim_headers=(SUB,)).answer(with_proof(access_token(), headers=forged))
    assert _removed(answer) == {"x_auth_sub", "x-auth_sub", "x_auth_roles", "x-auth-roles"}


EVERYWHERE = {
    "Anonymous": (_deciding(Access.ANONYMOUS), request()),
    "Authenticated": (_deciding(), with_bearer(access_token(bound=False))),
    "unmatched hosts": (
        Deciding(rule_set(identity_headers=IDENTITY), options=Options(allow_unmatched_hosts=True)),
        request(authority="other.example"),
    ),
}


@pytest.mark.parametrize(("service", "asked"), EVERYWHERE.values(), ids=EVERYWHERE.keys())
def test_forged_identity_headers_are_removed_wherever_a_request_goes_on(service: Deciding, asked: Request) -> None:
    """Whether or not this answer sets any, and whether or not the request seems to have them."""
    assert _removed(service.answer(asked)) >= IDENTITY


def test_method_overrides_are_removed_on_hosts_with_rules_by_method() -> None:
    """Whichever rule the request itself meets."""
    rules = host_rules(exact(rule(), "/a", "POST"), candidate(rule(access=Access.ANONYMOUS)))
    answer = Deciding(rule_set(rules)).answer(request(headers={"x_http_method": "POST"}))
    assert _removed(answer) == {"x-http-method-override", "x-http-method", "x-method-override", "x_http_method"}


def test_nothing_is_removed_where_there_is_nothing_to_hide() -> None:
    """A host without identity headers and rules by method."""
    answer = Deciding(rule_set(host_rules(candidate(rule())))).answer(with_proof(access_token(), headers={"x_a": "1"}))
    assert _allowed(answer) == Allow()


KEEP, BEARER, REMOVE = UpstreamAuthorization
AUTHORIZATION = {
    "Keep leaves both headers": (KEEP, False, set()),
    "Bearer makes a bearer token of it": (BEARER, True, {"dpop"}),
    "Remove hides both": (REMOVE, False, {"authorization", "dpop"}),
}


@pytest.mark.parametrize(("upstream", "rewritten", "removed"), AUTHORIZATION.values(), ids=AUTHORIZATION.keys())
def test_what_the_application_sees_of_dpop_credentials(
    upstream: UpstreamAuthorization, removed: set[str], *, rewritten: bool
) -> None:
    """`upstream.authorization` decides."""
    token = access_token()
    one = rule(of=policy(authorization=upstream))
    allow = _allowed(Deciding(rule_set(host_rules(candidate(one)))).answer(with_proof(token)))
    assert allow.set_headers == ((("authorization", f"Bearer {token}"),) if rewritten else ())
    assert set(allow.remove_headers) == removed


def test_a_bearer_token_stays_one() -> None:
    """`authorization: Bearer` has nothing to do under Bearer."""
    one = rule(of=policy(authorization=BEARER))
    allow = _allowed(Deciding(rule_set(host_rules(candidate(one)))).answer(with_bearer(access_token(bound=False))))
    assert allow == Allow(remove_headers=("dpop",))


@pytest.mark.parametrize("upstream", [BEARER, REMOVE])
def test_anonymous_rules_pass_no_unchecked_credentials_on(upstream: UpstreamAuthorization) -> None:
    """Nobody looked at them: an application that takes them for checked must not get them."""
    one = rule(of=policy(authorization=upstream), access=Access.ANONYMOUS)
    answer = Deciding(rule_set(host_rules(candidate(one)))).answer(request(headers={"authorization": "DPoP forged"}))
    assert _removed(answer) == {"authorization", "dpop"}
    assert (answer.outcome, answer.reason) == (Outcome.ALLOW, Reason.ANONYMOUS)


VALUES: dict[str, tuple[object, str | None]] = {
    "a string": ("alice", "alice"),
    "spaces inside": ("Alice B.", "Alice B."),
    "a comma in a string": ("a,b", "a,b"),
    "an integer": (42, "42"),
    "a fraction": (1.5, "1.5"),
    "a boolean": (True, "true"),
    "a list of strings": (["a", "b"], "a,b"),
    "a list of several kinds": (["a", 1, False], "a,1,false"),
    "1 KiB": ("a" * 1024, "a" * 1024),
    "over 1 KiB": ("a" * 1025, None),
    "a list over 1 KiB": (["a" * 600, "b" * 600], None),
    "beyond ASCII": ("zoë", None),
    "a line break": ("a\r\nx-admin: 1", None),
    "a leading space": (" a", None),
    "a trailing space": ("a ", None),
    "empty": ("", None),
    "an empty list": ([], None),
    "a list element with a comma": (["a,b"], None),
    "a list element that is an object": (["a", {}], None),
    "an object": ({"a": 1}, None),
}


@pytest.mark.parametrize(("claim", "header"), VALUES.values(), ids=VALUES.keys())
def test_a_claim_is_a_header_as_it_is_or_not_at_all(claim: object, header: str | None) -> None:
    """Values are never altered; what cannot be a header is left out and counted."""
    identity = identity_of(policy(claim_headers=(ClaimHeader("it", "x-it"),)), {"it": claim})
    assert identity.headers == ((("x-it", header),) if header is not None else ())
    assert identity.dropped == (0 if header is not None else 1)


@pytest.mark.parametrize("claims", [{}, {"it": None}])
def test_a_claim_that_is_not_there_is_not_counted(claims: dict[str, object]) -> None:
    """The token simply does not say."""
    identity = identity_of(policy(claim_headers=(ClaimHeader("it", "x-it"),)), claims)
    assert (identity.headers, identity.dropped) == ((), 0)


def test_a_header_that_cannot_be_set_is_still_removed() -> None:
    """The client's own copy must not stand in for it; the answer counts it."""
    answer = _deciding(claim_headers=(SUB,)).answer(with_proof(access_token(sub="zoë"), headers={"x-auth-sub": "root"}))
    assert _allowed(answer).set_headers == ()
    assert "x-auth-sub" in _removed(answer)
    assert answer.dropped_claim_headers == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(_JSON)
def test_any_claim_gives_a_legal_header_value_or_none(claim: object) -> None:
    """Any JSON value gives visible ASCII without outer spaces, at most 1 KiB, or no header."""
    for _, value in identity_of(policy(claim_headers=(ClaimHeader("it", "x-it"),)), {"it": claim}).headers:
        assert value
        assert value == value.strip(" ")
        assert len(value) <= 1024
        assert all(" " <= character <= "~" for character in value)
