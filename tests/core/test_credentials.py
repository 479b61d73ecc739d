"""What the Authorization and DPoP headers present."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.credentials import read_credentials
from stepguard_service.core.model import Scheme

GOOD = {
    "DPoP": ("DPoP abc.def.ghi", Scheme.DPOP, "abc.def.ghi"),
    "Bearer": ("Bearer abc", Scheme.BEARER, "abc"),
    "the scheme in any case": ("dPoP abc", Scheme.DPOP, "abc"),
    "several spaces": ("BEARER    abc", Scheme.BEARER, "abc"),
    "every character of token68": ("Bearer aZ0-._~+/==", Scheme.BEARER, "aZ0-._~+/=="),
    "surrounding white space": (" \tBearer abc ", Scheme.BEARER, "abc"),
}


@pytest.mark.parametrize(("value", "scheme", "token"), GOOD.values(), ids=GOOD.keys())
def test_one_good_credential(value: str, scheme: Scheme, token: str) -> None:
    """A scheme, spaces, one token68."""
    presented = read_credentials({"authorization": value})
    assert presented.scheme is scheme
    assert (presented.authorization.token, presented.authorization.several) == (token, False)


MALFORMED = {
    "no token": "Bearer",
    "no token after a space": "Bearer ",
    "a tab instead of a space": "Bearer\tabc",
    "two tokens": "Bearer abc def",
    "a character outside token68": "Bearer a:b",
    "padding in the middle": "Bearer a=b",
    "something at once after the scheme": "DPoP@abc",
    "a parameter": 'Bearer realm="a"',
    "beyond ASCII": "Bearer äbc",
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_known_scheme_without_one_token68(value: str) -> None:
    """The scheme is known, so that the answer can go into its challenge; there is no token."""
    presented = read_credentials({"authorization": value})
    assert presented.scheme is not None
    assert (presented.authorization.token, presented.authorization.several) == ("", False)


UNKNOWN = {
    "nothing": "",
    "another scheme": "Basic dTpw",
    "another scheme with a comma": 'Digest username="u", realm="r"',
    "a bare JWT": "eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    "a longer word": "Bearers abc",
    "a longer word with a dot": "DPoP.x abc",
    "a known word that is no scheme here": "Basic Bearer",
}


@pytest.mark.parametrize("value", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_no_scheme_that_we_know(value: str) -> None:
    """That is as good as no Authorization."""
    assert read_credentials({"authorization": value}).scheme is None


SEVERAL = {
    "the same scheme twice": ("Bearer a,Bearer b", Scheme.BEARER),
    "both schemes": ("DPoP a,Bearer b", Scheme.DPOP),
    "an unknown one first": ("Basic a, DPoP b", Scheme.DPOP),
    "an unknown one second": ("DPoP a,Basic b", Scheme.DPOP),
    "an empty one second": ("DPoP a,", Scheme.DPOP),
}


@pytest.mark.parametrize(("value", "scheme"), SEVERAL.values(), ids=SEVERAL.keys())
def test_several_values(value: str, scheme: Scheme) -> None:
    """Envoy joins lines by commas, which no token68 has."""
    presented = read_credentials({"authorization": value})
    assert presented.scheme is scheme
    assert (presented.authorization.several, presented.authorization.token) == (True, "")


def test_the_proof_is_the_dpop_header() -> None:
    """Without white space around it; empty where there is none."""
    assert read_credentials({"dpop": " a.b.c "}).proof == "a.b.c"
    assert read_credentials({}).proof == ""


@given(st.dictionaries(st.sampled_from(["authorization", "dpop"]), st.text() | st.text("DPoPBearer ,.=\tab")))
def test_any_headers_can_be_read(headers: dict[str, str]) -> None:
    """Any values give one scheme or none, and a token only where there is exactly one credential of token68."""
    presented = read_credentials(headers)
    token = presented.authorization.token
    assert not token or (presented.scheme is not None and not presented.authorization.several)
    assert token in headers.get("authorization", "")
    assert token.isascii()
