"""Protected resource metadata (RFC 9728): the document, its path, and what challenges point at."""

import json
from typing import Any

import pytest
from stepguard.policy.v1 import policy_pb2 as pb

from tests.support.resources import (
    HOST,
    accepted,
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


def metadata(resource: str, **fields: Any) -> dict[str, Any]:
    """The field of a policy."""
    return {"protectedResourceMetadata": {"resource": resource, **fields}}


def rendered(*rules: dict[str, Any], resource: str = f"https://{HOST}", **fields: Any) -> pb.ResourceMetadata:
    """What is compiled for a policy with this resource."""
    result = compiled(policy("a/p", policy_spec(*rules, **metadata(resource), **fields)))
    assert verdict_on(result, "a/p").accepted, verdict_on(result, "a/p").message
    (table,) = tables(result).values()
    return table.policies[0].resource_metadata


PLACES = {
    "no path": (f"https://{HOST}", "/.well-known/oauth-protected-resource"),
    "only a slash": (f"https://{HOST}/", "/.well-known/oauth-protected-resource"),
    "a path": (f"https://{HOST}/v1/pay", "/.well-known/oauth-protected-resource/v1/pay"),
    "a path that ends in a slash": (f"https://{HOST}/v1/", "/.well-known/oauth-protected-resource/v1/"),
}


@pytest.mark.parametrize(("resource", "path"), PLACES.values(), ids=PLACES.keys())
def test_where_the_document_of_a_resource_is(resource: str, path: str) -> None:
    """The well-known part stands between host and path (RFC 9728 §3.1); the URL in challenges says the same."""
    compiled_metadata = rendered(resource=resource)
    assert (compiled_metadata.path, compiled_metadata.url) == (path, f"https://{HOST}{path}")


def test_the_path_of_the_document_is_in_the_normal_form_of_the_host() -> None:
    """Requests are compared in it; the URL stays as it was written."""
    folded = rendered(resource=f"https://{HOST}/API", pathMatching={"ignoreCase": True})
    assert folded.path == "/.well-known/oauth-protected-resource/api"
    assert folded.url.endswith("/API")


def test_what_the_document_says() -> None:
    """Members without a value are left out (RFC 9728 §3.2)."""
    spec = policy_spec(
        issuers=["main", "other"],
        dpop={"algorithms": ["ES256", "EdDSA"]},
        **metadata(f"https://{HOST}/v1", scopesSupported=["pay"]),
    )
    result = compiled(policy("a/p", spec), issuer(), issuer("other", issuer_spec("https://other.example")))
    document = json.loads(tables(result)[HOST].policies[0].resource_metadata.document)
    assert document == {
        "resource": f"https://{HOST}/v1",
        "authorization_servers": ["https://as.example", "https://other.example"],
        "scopes_supported": ["pay"],
        "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
        "bearer_methods_supported": ["header"],
    }


def test_where_every_rule_requires_dpop_no_bearer_is_invited() -> None:
    """An empty list of bearer methods is RFC 9728's way to say so."""
    document = json.loads(rendered(rule(require={"dpop": "Required"})).document)
    assert document["bearer_methods_supported"] == []
    assert document["dpop_bound_access_tokens_required"] is True


def test_one_rule_that_takes_bearer_tokens_is_enough_to_offer_them() -> None:
    """Public rules do not count."""
    rules = [rule(require={"dpop": "Required"}), rule("health", match("/health"), access="Anonymous")]
    assert json.loads(rendered(*rules).document)["bearer_methods_supported"] == []
    rules.append(rule("b", match("/b")))
    assert json.loads(rendered(*rules).document)["bearer_methods_supported"] == ["header"]


def test_an_issuer_that_was_taken_away_leaves_the_document() -> None:
    """Clients would get tokens there in vain."""
    spec = policy_spec(issuers=["main", "gone"], **metadata(f"https://{HOST}"))
    result = compiled(accepted(policy("a/p", spec)))
    document = json.loads(tables(result)[HOST].policies[0].resource_metadata.document)
    assert document["authorization_servers"] == ["https://as.example"]


FITTING: dict[str, tuple[str, dict[str, Any]]] = {
    "a host that a wildcard matches": ("https://pay.example.com", {"hosts": ["*.example.com"]}),
    "the origin's host": ("https://pay.example", {"origin": {"host": "PAY.example"}}),
    "the origin's port": (f"https://{HOST}:8443", {"origin": {"port": 8443}}),
    "the origin's port, being the default": (f"https://{HOST}", {"origin": {"port": 443}}),
    "another port where the origin names none": (f"https://{HOST}:9443", {}),
    "plain http on loopback": ("http://127.0.0.1:8080", {"hosts": ["127.0.0.1"], "origin": {"scheme": "http"}}),
}


@pytest.mark.parametrize(("resource", "fields"), FITTING.values(), ids=FITTING.keys())
def test_a_resource_on_a_host_of_the_policy(resource: str, fields: dict[str, Any]) -> None:
    """A client that takes the identifier as a URL gets here."""
    assert rendered(resource=resource, **fields).url.startswith(resource)


MISFITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a port where the origin's host has the default": (
        "https://pay.example:8443",
        {"origin": {"host": "pay.example"}},
        "must have the port of spec.origin (443)",
    ),
    "a port that does not exist": (f"https://{HOST}:99999", {}, "the port is above 65535"),
    "another scheme than the origin's": (
        "http://127.0.0.1",
        {"hosts": ["127.0.0.1"]},
        "must have the scheme of spec.origin (https)",
    ),
    "a path that no request has": (
        f"https://{HOST}/a%2Fb",
        {},
        "no request ever has the document's path: the path has an encoded slash",
    ),
}


@pytest.mark.parametrize(("resource", "fields", "message"), MISFITS.values(), ids=MISFITS.keys())
def test_a_resource_where_no_client_finds_us_is_an_error(resource: str, fields: dict[str, Any], message: str) -> None:
    """The message says what it has to agree with."""
    verdict = verdict_on(compiled(policy("a/p", policy_spec(**metadata(resource), **fields))), "a/p")
    assert verdict.message == f"spec.protectedResourceMetadata.resource: {message}"
