"""Who may subscribe: what a TokenReview says, and what a token says about itself."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_operator.subscribers import Admitted, Certificates, NotAdmitted, expiry, judge_review, user_name

USER = "system:serviceaccount:stepguard-system:stepguard"
GOOD = {"authenticated": True, "audiences": ["stepguard"], "user": {"username": USER}}


def test_an_authenticated_and_named_account_with_our_audience_is_admitted() -> None:
    assert judge_review(GOOD, frozenset({USER}), audience="stepguard") == Admitted(USER)
    assert user_name("stepguard-system/stepguard") == USER


REFUSED: dict[str, dict[str, Any]] = {
    "an empty status": {},
    "not authenticated": {**GOOD, "authenticated": False},
    "authenticated, but not by the value true": {**GOOD, "authenticated": "true"},
    "no audiences: the API server did not check ours": {**GOOD, "audiences": None},
    "another audience": {**GOOD, "audiences": ["https://kubernetes.default.svc"]},
    "another account": {**GOOD, "user": {"username": "system:serviceaccount:stepguard-system:stranger"}},
    "an account whose name only begins like one that is named": {**GOOD, "user": {"username": f"{USER}x"}},
    "a user of the same name that is no ServiceAccount": {**GOOD, "user": {"username": "stepguard"}},
    "no user": {**GOOD, "user": None},
}


@pytest.mark.parametrize("status", REFUSED.values(), ids=REFUSED.keys())
def test_everything_else_is_refused(status: dict[str, Any]) -> None:
    assert isinstance(judge_review(status, frozenset({USER}), audience="stepguard"), NotAdmitted)


def jwt(claims: object) -> str:
    """A token with this payload."""
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.c2ln"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(jwt({"exp": 1234}), 1234.0, id="exp of a JWT"),
        pytest.param(jwt({}), None, id="a JWT that never ends"),
        pytest.param(jwt({"exp": True}), None, id="exp that is no number"),
        pytest.param(jwt([1]), None, id="a payload that is no object"),
        pytest.param("opaque", None, id="no JWT"),
        pytest.param("a.b.c", None, id="three words with dots"),
    ],
)
def test_when_a_token_ends(token: str, expected: float | None) -> None:
    assert expiry(token) == expected


@given(st.text(max_size=100))
def test_any_text_ends_sometime_or_never_and_is_no_exception(text: str) -> None:
    assert isinstance(expiry(text), float | None)


async def _admit(*names: str) -> bool:
    return isinstance(await Certificates(["spiffe://td/a", "b.svc"]).admit({}, names, 0.0), Admitted)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(("x", "b.svc"), True, id="one of the certificate's names is listed"),
        pytest.param(("x.b.svc", "B.svc", "spiffe://td"), False, id="names that only look like listed ones"),
        pytest.param((), False, id="a certificate without names"),
    ],
)
def test_a_certificate_admits_by_exact_name(names: tuple[str, ...], expected: bool) -> None:  # noqa: FBT001  (a case)
    import asyncio

    assert asyncio.run(_admit(*names)) is expected
