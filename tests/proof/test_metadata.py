"""Finding an issuer's keys through its metadata (RFC 8414, OpenID Connect Discovery)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_service.core.model import Rejected
from stepguard_service.proof.metadata import jwks_uri_of, may_be_fetched, metadata_urls

ISSUER = "https://as.example/realms/a"


def document(**members: object) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": "https://as.example/jwks", **members}).encode()


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        pytest.param(
            "https://as.example",
            "https://as.example/.well-known/oauth-authorization-server",
            "https://as.example/.well-known/openid-configuration",
            id="an issuer without path",
        ),
        pytest.param(
            "https://as.example/",
            "https://as.example/.well-known/oauth-authorization-server",
            "https://as.example/.well-known/openid-configuration",
            id="an issuer that is a host and a slash",
        ),
        pytest.param(
            "https://as.example:8443/realms/a",
            "https://as.example:8443/.well-known/oauth-authorization-server/realms/a",
            "https://as.example:8443/realms/a/.well-known/openid-configuration",
            id="an issuer with port and path",
        ),
        pytest.param(
            "https://as.example/a/",
            "https://as.example/.well-known/oauth-authorization-server/a",
            "https://as.example/a/.well-known/openid-configuration",
            id="an issuer whose path ends in a slash",
        ),
    ],
)
def test_rfc_8414_inserts_its_path_and_openid_appends_its_own(issuer: str, oauth: str, openid: str) -> None:
    assert metadata_urls(issuer) == (oauth, openid)


def test_the_metadata_of_the_issuer_itself_names_its_keys() -> None:
    assert jwks_uri_of(document(), ISSUER) == "https://as.example/jwks"


def test_a_local_issuer_may_have_local_keys() -> None:
    local = document(issuer="http://127.0.0.1:1", jwks_uri="http://127.0.0.1:1/jwks")
    assert jwks_uri_of(local, "http://127.0.0.1:1") == "http://127.0.0.1:1/jwks"


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(document(issuer="https://other.example"), id="another issuer"),
        pytest.param(document(issuer=ISSUER + "/"), id="the issuer with one more slash"),
        pytest.param(document(issuer=ISSUER.upper()), id="the issuer in another case"),
        pytest.param(document(issuer=[ISSUER]), id="an issuer that is no string"),
        pytest.param(b'{"jwks_uri": "https://as.example/jwks"}', id="no issuer"),
        pytest.param(document(jwks_uri=None), id="no jwks_uri"),
        pytest.param(document(jwks_uri="http://as.example/jwks"), id="plain http"),
        pytest.param(document(jwks_uri="http://127.0.0.1/jwks"), id="a local address for a public issuer"),
        pytest.param(document(jwks_uri="file:///etc/passwd"), id="a file"),
        pytest.param(document(jwks_uri="https://user@as.example/jwks"), id="user information"),
        pytest.param(b"<html>", id="no JSON"),
        pytest.param(b'{"issuer": "' + ISSUER.encode() + b'", "issuer": "x"}', id="a member twice"),
    ],
)
def test_metadata_that_is_not_exactly_the_issuers_is_not_used(metadata: bytes) -> None:
    assert isinstance(jwks_uri_of(metadata, ISSUER), Rejected)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://as.example/jwks?x=1", True),
        ("https://[2001:db8::1]/jwks", True),
        ("http://localhost:8080/jwks", True),
        ("http://127.8.9.1/jwks", True),
        ("http://[::1]/jwks", True),
        ("http://as.example/jwks", False),
        ("http://127.0.0.1.example/jwks", False),
        ("http://10.0.0.1/jwks", False),
        ("http://localhost.example/jwks", False),
        ("https://", False),
        ("https://as.example:port/", False),
        ("https://as.example/#fragment", False),
        ("https://user:pw@as.example/", False),
        ("https://as.example\\@evil.example/", False),
        ("https://as.example/a b", False),
        ("https://as.example/\n", False),
        ("https://ás.example/", False),
        ("ftp://as.example/", False),
        ("//as.example/", False),
    ],
)
def test_only_https_and_loopback_http_is_fetched(url: str, allowed: bool) -> None:  # noqa: FBT001 - a case
    assert may_be_fetched(url) is allowed


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(["issuer", "jwks_uri"]), st.text()).map(lambda d: json.dumps(d).encode())
)
def test_fuzz_any_metadata_gives_a_url_that_may_be_fetched_or_a_refusal(metadata: bytes) -> None:
    """Any bytes give a URL that passes `may_be_fetched`, or a Rejected, never an exception."""
    found = jwks_uri_of(metadata, ISSUER)
    assert isinstance(found, Rejected) or may_be_fetched(found)


@given(st.text())
def test_fuzz_any_text_is_a_url_to_fetch_or_not(url: str) -> None:
    """Any text gives yes or no, never an exception."""
    assert may_be_fetched(url) in {True, False}
