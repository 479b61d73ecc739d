"""The published test vectors of RFC 9449, 7638, 8037, 8705, 9110 and 3986 (tests/data/vectors.json)."""

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest
from stepguard_service.core.keys import KeySet, PublicKey
from stepguard_service.core.model import Binding, DpopSettings, Origin, Proof, Rejected, Request
from stepguard_service.core.reasons import Reason
from stepguard_service.proof.access_token import TokenVerifier
from stepguard_service.proof.certificate import CertificateSource, presented_certificate
from stepguard_service.proof.claims import parse_binding, token_hash
from stepguard_service.proof.htu import normalize_htu, request_target
from stepguard_service.proof.jose import Compact, decode_header, decode_text, parse_compact, strict_json
from stepguard_service.proof.jwk import parse_jwk, thumbprint

from tests.support import trust
from tests.support.proofs import verify_proof

VECTORS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "vectors.json").read_text())
DPOP: Final = VECTORS["rfc9449"]
URIS: Final = VECTORS["uri_normalization"]
RESOURCE: Final = DPOP["resource_request"]
SETTINGS: Final = DpopSettings(("ES256",))
PROOFS: Final = pytest.mark.parametrize("proof", DPOP["proofs"].values(), ids=DPOP["proofs"].keys())


def key(members: dict[str, Any]) -> PublicKey:
    parsed = parse_jwk(members)
    assert isinstance(parsed, PublicKey)
    return parsed


def compact(value: str) -> Compact:
    parsed = parse_compact(value)
    assert isinstance(parsed, Compact)
    return parsed


@PROOFS
def test_the_proofs_of_rfc_9449_say_what_is_published(proof: dict[str, Any]) -> None:
    parts = compact(proof["jwt"])
    assert decode_header(parts.header) == proof["header"]
    assert strict_json(parts.payload) == proof["payload"]


@PROOFS
def test_the_proofs_of_rfc_9449_verify_and_do_not_once_changed(proof: dict[str, Any]) -> None:
    parts, public = compact(proof["jwt"]), key(proof["header"]["jwk"])
    assert public.verify("ES256", parts.signature, parts.signed)
    assert not public.verify("ES256", parts.signature[:-1] + bytes([parts.signature[-1] ^ 1]), parts.signed)


def resource_request(now: int) -> Proof | Rejected:
    url = urlsplit(RESOURCE["url"])
    target = request_target(Origin(), url.netloc, url.path)
    token = RESOURCE["authorization"].removeprefix("DPoP ")
    return verify_proof(
        RESOURCE["dpop_header"],
        settings=SETTINGS,
        method=RESOURCE["method"],
        target=target or "",
        ath=token_hash(token),
        nonce=None,
        now=now,
    )


def test_the_resource_request_of_rfc_9449_is_accepted_in_its_time() -> None:
    proof = resource_request(RESOURCE["freeze_clock_at"])
    assert proof == Proof(DPOP["jkt"]["value"], "e1j3V_bKic8-LAEB", 1562262618)


def test_the_resource_request_of_rfc_9449_is_refused_today() -> None:
    refused = resource_request(1_800_000_000)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.PROOF_TOO_OLD


@pytest.mark.parametrize("name", ["figure_2_token_request", "figure_7_refresh_request"])
def test_a_proof_for_the_token_endpoint_is_none_for_a_resource(name: str) -> None:
    """It has no ath."""
    proof = DPOP["proofs"][name]
    refused = verify_proof(
        proof["jwt"],
        settings=SETTINGS,
        method="POST",
        target="https://server.example.com/token",
        ath="",
        nonce=None,
        now=proof["payload"]["iat"],
    )
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.PROOF_CLAIM_MISSING


def test_the_hash_of_the_access_token_is_the_published_one() -> None:
    token = DPOP["access_token"]["value"]
    assert token_hash(token) == DPOP["ath"]["value"]
    assert token_hash(f"DPoP {token}") != DPOP["ath"]["value"]


def test_the_thumbprint_of_rfc_9449_is_the_published_one() -> None:
    assert key(DPOP["dpop_public_jwk"]["value"]).thumbprint == DPOP["jkt"]["value"]


@pytest.mark.parametrize(
    "members", [DPOP["figure_8_jwt_access_token"]["payload"], DPOP["figure_11_introspection_response"]["value"]]
)
def test_the_binding_of_rfc_9449_is_read(members: dict[str, Any]) -> None:
    assert parse_binding(members) == Binding(jkt=DPOP["jkt"]["value"])


def test_the_access_token_of_figure_8_is_none_of_rfc_9068() -> None:
    """It has no typ."""
    token = DPOP["figure_8_jwt_access_token"]
    issuer = trust.issuer(issuer=token["payload"]["iss"])
    refused = TokenVerifier(lambda _: KeySet("1", ())).verify(token["jwt"], trust.policy(issuer), 1562262616)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOKEN_TYPE


def test_the_opaque_access_token_of_rfc_9449_is_no_jwt() -> None:
    refused = TokenVerifier(lambda _: None).verify(DPOP["access_token"]["value"], trust.policy(trust.issuer()), 0)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOKEN_MALFORMED


def test_the_thumbprint_of_rfc_7638_is_the_published_one() -> None:
    vector = VECTORS["rfc7638"]
    assert key(vector["jwk"]).thumbprint == thumbprint(vector["jwk"]) == vector["thumbprint"]
    assert list(sha256(vector["hash_input"].encode()).digest()) == vector["sha256_octets"]
    assert decode_text(vector["thumbprint"]) == bytes(vector["sha256_octets"])


def test_the_edwards_key_and_signature_of_rfc_8037_are_accepted() -> None:
    vector = VECTORS["rfc8037"]
    public, parts = key(vector["public_jwk"]), compact(vector["jws_compact"])
    assert public.thumbprint == vector["thumbprint"] == thumbprint(vector["private_jwk"])
    assert decode_text(vector["public_jwk"]["x"]) == bytes.fromhex(vector["public_hex"])
    assert parts.payload.decode() == vector["jws_payload"]
    assert public.verify("EdDSA", parts.signature, parts.signed)


def test_the_private_key_of_rfc_8037_is_refused() -> None:
    assert isinstance(parse_jwk(VECTORS["rfc8037"]["private_jwk"]), Rejected)


@pytest.mark.parametrize(
    ("source", "peer", "xfcc"),
    [
        pytest.param(CertificateSource.PEER, quote(VECTORS["rfc8705"]["certificate_pem"]), "", id="as the peer's"),
        pytest.param(
            CertificateSource.XFCC_FIRST, "", f"Hash={VECTORS['rfc8705']['sha256_hex_as_in_xfcc_Hash']}", id="as a hash"
        ),
    ],
)
def test_the_certificate_of_rfc_8705_has_the_published_hash(source: CertificateSource, peer: str, xfcc: str) -> None:
    request = Request("1", "GET", "h", "/", {"x-forwarded-client-cert": xfcc}, peer)
    assert presented_certificate(request, source) == VECTORS["rfc8705"]["x5t#S256"]


def test_the_hash_of_a_certificate_is_not_the_thumbprint_of_its_key() -> None:
    vector = VECTORS["rfc8705"]
    assert key(vector["public_jwk_of_certificate"]).thumbprint == vector["jkt_of_certificate_key"]["value"]
    assert vector["jkt_of_certificate_key"]["value"] != vector["x5t#S256"]
    der = b64decode("".join(vector["certificate_pem"].splitlines()[1:-1]))
    assert sha256(der).digest() == decode_text(vector["x5t#S256"])


def test_a_hash_that_is_not_canonical_is_still_a_binding() -> None:
    """The sample in the text of RFC 8705 has unused bits set; no certificate has this hash."""
    sample = VECTORS["rfc8705"]["body_sample"]["x5t#S256"]
    assert decode_text(sample) is None
    assert parse_binding({"cnf": {"x5t#S256": sample}}) == Binding(x5t=sample)


@pytest.mark.parametrize("uris", URIS["published_equivalent"], ids=lambda uris: uris[0])
def test_published_equivalent_uris_have_one_normal_form(uris: list[str]) -> None:
    """Those of a scheme that no resource has are compared as http, and refused as they stand."""
    assert len({normalize_htu("http" + uri[uri.index(":") :]) for uri in uris}) == 1
    assert {normalize_htu(uri) is None for uri in uris} == {not uris[0].startswith("http")}


@pytest.mark.parametrize(("one", "other"), URIS["derived_equal_ignoring_query_and_fragment"])
def test_derived_equal_uris_have_one_normal_form(one: str, other: str) -> None:
    assert normalize_htu(one) == normalize_htu(other) is not None


@pytest.mark.parametrize(("one", "other"), URIS["derived_different"])
def test_derived_different_uris_have_two_normal_forms(one: str, other: str) -> None:
    assert len({normalize_htu(one), normalize_htu(other), None}) == 3
