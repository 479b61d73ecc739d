"""A folder of policies of one bank, its authorization server's key and a client: for services that need no Envoy."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.checks import check_request
from tests.support.clock import clock_now
from tests.support.tokens import ClientKey, Signer, jwk_set

HOST: Final = "api.example.com"

Document = dict[str, Any]


def issuer_document(*keys: Signer | Document, name: str = "main") -> Document:
    """A TokenIssuer with these keys."""
    return {
        "apiVersion": "stepguard.dev/v1alpha1",
        "kind": "TokenIssuer",
        "metadata": {"name": name},
        "spec": {
            "issuer": "https://as.example",
            "audiences": ["https://api.example.com"],
            "jwks": json.loads(jwk_set(*keys)),
        },
    }


def policy_document(*rules: Document, name: str = "payments", host: str = HOST, **spec: Any) -> Document:
    """A StepUpPolicy; without rules it has one for /accounts, one for /transfers and one public."""
    return {
        "apiVersion": "stepguard.dev/v1alpha1",
        "kind": "StepUpPolicy",
        "metadata": {"name": name, "namespace": "bank"},
        "spec": {
            "hosts": [host],
            "issuerRefs": [{"name": "main"}],
            "rules": list(rules) or [rule("/accounts"), TRANSFERS, rule("/public", access="Anonymous")],
            **spec,
        },
    }


def rule(path: str, *, kind: str = "PathPrefix", **fields: Any) -> Document:
    """A rule for one path, named like it."""
    return {"name": path.strip("/") or "all", "matches": [{"path": {"type": kind, "value": path}}], **fields}


TRANSFERS: Final = rule("/transfers", require={"dpop": "Required", "acrValues": ["urn:acr:phr"], "maxAge": "5m"})


@dataclass
class Bank:
    """Writes policies into `folder` and makes requests that they judge."""

    folder: Path
    signer: Signer = field(default_factory=Signer)
    client: ClientKey = field(default_factory=ClientKey)

    def __post_init__(self) -> None:
        """Write a TokenIssuer and a policy."""
        self.folder.mkdir(exist_ok=True)
        self.write("issuer.yaml", issuer_document(self.signer))
        self.write("policy.yaml", policy_document())

    def write(self, name: str, *documents: Document | str) -> None:
        """Replace a file as a careful editor does: another file moved over it."""
        text = "---\n".join(one if isinstance(one, str) else yaml.safe_dump(one) for one in documents)
        draft = self.folder / f".{name}.draft"
        draft.write_text(text)
        draft.rename(self.folder / name)

    def token(self, **claims: object) -> str:
        """An access token bound to the client's key; a claim of None is left out."""
        return self.signer.access_token(clock_now(), jkt=self.client.jkt, claims=claims)

    def bearer(self, path: str = "/accounts") -> bytes:
        """A request with a good token that is bound to nobody."""
        token = self.signer.access_token(clock_now())
        return check_request("GET", path, headers={"authorization": f"Bearer {token}"})

    def proven(self, path: str = "/accounts", *, request_id: str = "1", **claims: object) -> bytes:
        """A request with a good proof; `claims` are the token's."""
        token = self.token(**claims)
        proof = self.client.proof("GET", f"https://{HOST}{path}", now=clock_now(), token=token)
        headers = {"authorization": f"DPoP {token}", "dpop": proof}
        return check_request("GET", path, headers=headers, request_id=request_id)

    def stepped_up(self, path: str = "/transfers") -> bytes:
        """A request with a good proof by a user who has just shown a passkey."""
        return self.proven(path, acr="urn:acr:phr", auth_time=int(clock_now()))
