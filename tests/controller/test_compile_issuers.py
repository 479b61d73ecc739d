"""What TokenIssuers and the fields of policies compile to."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.compile import AcceptedReason
from stepguard_policy.compile.inline_keys import check_key
from stepguard_policy.resources import InlineKey, KeyCurve, KeyType

from tests.support.certificates import Authority
from tests.support.resources import (
    HOST,
    INTROSPECTION,
    compiled,
    issuer,
    issuer_spec,
    match,
    policy,
    policy_spec,
    rule,
    tables,
    verdict_on,
)
from tests.support.tokens import Signer


def message(**fields: Any) -> pb.Issuer:
    """What an issuer with these fields compiles to."""
    (one,) = compiled(issuer("main", issuer_spec(**fields))).snapshot.issuers
    return one


def test_the_defaults_of_an_issuer() -> None:
    """Discovery every ten minutes, strict token type, exp and sub, five seconds of skew."""
    one = message()
    assert (one.name, one.issuer, list(one.audiences)) == ("main", "https://as.example", ["https://api.example.com"])
    assert (one.keys.discovery, one.keys.refresh_interval_seconds) == (True, 600)
    assert (list(one.token_types), list(one.required_claims), one.clock_skew_seconds) == (["at+jwt"], ["exp", "sub"], 5)
    assert not one.HasField("introspection")


def test_exp_is_required_even_where_it_is_not_listed() -> None:
    """A token without an end is none."""
    assert list(message(requiredClaims=["jti"]).required_claims) == ["exp", "jti"]


def test_token_types_are_compared_in_lower_case() -> None:
    """JWT and jwt are one."""
    assert list(message(tokenTypes=["JWT", "at+jwt", "AT+JWT"]).token_types) == ["at+jwt", "jwt"]


def test_where_keys_come_from() -> None:
    """A URL, with its interval; else inline; else discovery."""
    fetched = message(jwks={"uri": "https://as.example/jwks", "refreshInterval": "1h"}).keys
    assert (fetched.jwks_uri, fetched.refresh_interval_seconds) == ("https://as.example/jwks", 3600)
    inline = message(jwks={"keys": [_key("ES256")]}).keys
    assert inline.WhichOneof("kind") == "inline_jwks"
    assert '"kty":"EC"' in inline.inline_jwks


def test_introspection_names_the_secret_and_never_holds_it() -> None:
    """The service reads it from a mounted file."""
    lookup = message(introspection=INTROSPECTION | {"use": "Always", "cacheTTL": "1m"}).introspection
    assert (lookup.endpoint, lookup.secret_name, lookup.secret_key) == (
        "https://as.example/introspect",
        "as-client",
        "secret",
    )
    assert (lookup.always, lookup.cache_ttl_seconds) == (True, 60)


def test_the_hash_of_an_issuer_covers_its_name_and_every_field_but_who_may_refer_to_it() -> None:
    """Caches are keyed by it."""
    variants: list[dict[str, Any]] = [
        {},
        {"audiences": ["x"]},
        {"clockSkew": "6s"},
        {"algorithms": ["ES256"]},
        {"jwks": {"uri": "https://as.example/jwks"}},
        {"introspection": INTROSPECTION},
    ]
    hashes = [message(**fields).hash for fields in variants]
    hashes.append(compiled(issuer("other")).snapshot.issuers[0].hash)
    assert len(set(hashes)) == len(hashes)
    assert message(namespaces=["bank"]).hash == message().hash


def _key(algorithm: str, **overrides: object) -> dict[str, object]:
    return Signer(algorithm).jwk(**overrides)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "PS512", "EdDSA"])
def test_good_inline_keys_are_accepted(algorithm: str) -> None:
    """Of every type and curve, with the algorithm they are for."""
    assert verdict_on(compiled(issuer("main", issuer_spec(jwks={"keys": [_key(algorithm)]}))), "main").accepted


_P256, _P384 = _key("ES256"), _key("ES384")
SHORT = "AAAA"

BAD_KEYS = {
    "a coordinate that is too short": (_P256 | {"x": SHORT}, "x and y must have 32 octets each (RFC 7518 §6.2.1.2)"),
    "a point beside the curve": (_P256 | {"x": _P256["y"], "y": _P256["x"]}, "x and y are no point on the curve"),
    "a key of another curve": (
        _P384 | {"crv": "P-256", "alg": "ES256"}, "x and y must have 32 octets each (RFC 7518 §6.2.1.2)"
    ),
    "a small RSA key": (Signer("RS256", bits=1024).jwk(), "the modulus must have 2048 to 8192 bits"),
    "a leading zero in the exponent": (
        _key("RS256") | {"e": "AAEAAQ"}, "n and e must have no leading zero octets (RFC 7518 §6.3.1)"
    ),
    "an even exponent": (_key("RS256") | {"e": "BA"}, "n and e are no RSA public key"),
    "an Ed25519 key that is too short": (_key("EdDSA") | {"x": SHORT}, "x must have 32 octets (RFC 8032 §5.1.5)"),
    "base64url of an impossible length": (_P256 | {"x": "AAAAA"}, "a member is not base64url without padding"),
    "spare bits that are set": (_P256 | {"x": "AB"}, "a member is not base64url in its only canonical spelling"),
    "an algorithm of another curve": (_P256 | {"alg": "ES384"}, "alg ES384 does not fit the key"),
    "an algorithm of another type": (_key("RS256") | {"alg": "EdDSA"}, "alg EdDSA does not fit the key"),
}  # fmt: skip


@pytest.mark.parametrize(("key", "message"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_an_inline_key_that_could_never_verify_is_an_error(key: dict[str, object], message: str) -> None:
    """Said when it is applied, and not when the first token comes."""
    verdict = verdict_on(compiled(issuer("main", issuer_spec(jwks={"keys": [_P256, key]}))), "main")
    assert (verdict.accepted, verdict.reason) == (False, AcceptedReason.INVALID)
    assert verdict.message == f"spec.jwks.keys[1]: {message}"


TEXTS = st.none() | st.text("AQw-_", min_size=1, max_size=90) | st.sampled_from([str(_P256["x"]), str(_P256["y"])])


@given(
    crv=st.none() | st.sampled_from(KeyCurve),
    members=st.fixed_dictionaries(dict.fromkeys(("x", "y", "n", "e"), TEXTS)),
    kty=st.sampled_from(KeyType),
)
def test_any_inline_key_is_good_or_gets_a_sentence(kty: KeyType, crv: KeyCurve | None, members: dict[str, Any]) -> None:
    """Judging a key never raises, whatever its members are."""
    problem = check_key(InlineKey.model_construct(kty=kty, crv=crv, **members))
    assert problem is None or problem.isprintable()


def test_certificates_are_read_before_a_fetch_needs_them(tmp_path: Path) -> None:
    """A bundle with something else in it is an error."""
    bundle = Authority(tmp_path).ca.read_text()
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert verdict_on(compiled(issuer("main", issuer_spec(caBundle=bundle * 2))), "main").accepted
    verdict = verdict_on(compiled(issuer("main", issuer_spec(caBundle=bundle + broken))), "main")
    assert verdict.message == "spec.caBundle: holds something that is not a certificate in PEM"


def test_all_faults_of_an_issuer_are_said_at_once() -> None:
    """Nobody likes to fix one to meet the next."""
    broken = issuer_spec(jwks={"keys": [_P256 | {"x": SHORT}, _P384 | {"x": SHORT}]})
    assert len(verdict_on(compiled(issuer("main", broken)), "main").findings) == 2


def test_what_a_policy_compiles_to() -> None:
    """Every field of a policy that is not about its rules."""
    spec = policy_spec(
        mode="Audit",
        audiences=["https://b.example", "https://a.example"],
        dpop={"algorithms": ["EdDSA"], "proofMaxAge": "30s", "clockSkew": "5s", "nonce": "Required", "replay": "Skip"},
        upstream={"authorization": "Bearer", "claims": [{"claim": "sub", "header": "x-auth-sub"}]},
        origin={"scheme": "https", "port": 8443, "host": "PAY.example"},
        pathMatching={"ignoreCase": True, "encodedSlashes": "Keep", "parameters": "Drop"},
        cors={"allowOrigins": ["https://app.example"]},
    )
    table = tables(compiled(policy("bank/p", spec)))[HOST]
    (one,) = table.policies
    assert (one.name, one.mode, list(one.audiences)) == (
        "bank/p",
        pb.MODE_AUDIT,
        ["https://a.example", "https://b.example"],
    )
    assert one.dpop == pb.DpopSettings(
        algorithms=["EdDSA"], proof_max_age_seconds=30, clock_skew_seconds=5, nonce_required=True, skip_replay=True
    )
    assert one.upstream.authorization == pb.UPSTREAM_AUTHORIZATION_BEARER
    assert table.origin == pb.Origin(scheme="https", port=8443, host="pay.example")
    assert table.path_matching == pb.PathMatching(ignore_case=True, keep_encoded_slashes=True, drop_parameters=True)
    assert list(table.cors.allow_origins) == ["https://app.example"]
    assert list(table.identity_headers) == ["x-auth-sub"]


def test_identity_headers_are_gathered_by_host_and_over_all() -> None:
    """A request to one host may not bring another policy's header of that host, nor one to no host any at all."""

    def setting(header: str) -> dict[str, Any]:
        return {"upstream": {"claims": [{"claim": "sub", "header": header}]}}

    result = compiled(
        policy("a/x", policy_spec(rule("x", match("/x")), **setting("x-one"))),
        policy("a/y", policy_spec(rule("y", match("/y")), **setting("x-two"))),
        policy("a/z", policy_spec(hosts=["z.example"], **setting("x-three"))),
    )
    assert list(tables(result)[HOST].identity_headers) == ["x-one", "x-two"]
    assert list(tables(result)["z.example"].identity_headers) == ["x-three"]
    assert list(result.snapshot.identity_headers) == ["x-one", "x-three", "x-two"]


def test_a_condition_says_whether_it_needs_claims() -> None:
    """So that credentials are judged only where they matter."""
    spec = policy_spec(
        rule("a", when="claims.sub == 'me'"),
        rule("b", when="request.method == 'GET'"),
        rule("c", when="params.claims == ''"),
    )
    rules = tables(compiled(policy("a/p", spec)))[HOST].policies[0].rules
    assert [one.when_mentions_claims for one in rules] == [True, False, False]


def test_a_condition_on_claims_needs_an_authenticated_rule() -> None:
    """Nobody is authenticated where everybody or nobody may pass."""
    for access in ("Anonymous", "Denied"):
        verdict = verdict_on(
            compiled(policy("a/p", policy_spec(rule(access=access, when="claims.sub == 'me'")))), "a/p"
        )
        assert verdict.message == f"spec.rules[0].when: claims are not known in a rule with access {access}"
