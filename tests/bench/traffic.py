"""CheckRequests as Envoy sends them, each with a proof of its own, and the policies they are checked against."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from envoy.service.auth.v3 import external_auth_pb2

from tests.support.tokens import AUDIENCE, ISSUER, ClientKey, Signer, jwk_set

HOST = "api.example.com"
ALLOWED, CHALLENGED, REFUSED = "allowed", "challenged", "refused"

_POLICIES = """\
apiVersion: stepguard.dev/v1alpha1
kind: TokenIssuer
metadata: {{name: main}}
spec:
  issuer: {issuer}
  audiences: [{audience}]
  jwks: {{keys: {keys}}}
---
apiVersion: stepguard.dev/v1alpha1
kind: StepUpPolicy
metadata: {{name: bench}}
spec:
  hosts: [{host}]
  issuerRefs: [{{name: main}}]
  dpop: {{proofMaxAge: 300s}}
  rules:
  - name: bearer
    matches: [{{path: {{type: PathPrefix, value: /bearer}}}}]
  - name: dpop
    matches: [{{path: {{type: PathPrefix, value: /dpop}}}}]
    require: {{dpop: Required}}
  - name: step-up
    matches: [{{path: {{type: PathPrefix, value: /transfers}}, methods: [POST]}}]
    require: {{dpop: Required, acrValues: ["urn:acr:phr", "urn:acr:mfa"], maxAge: 1h, scopes: ["payments:write"]}}
  - name: closed
    matches: [{{path: {{type: PathPrefix, value: /closed}}}}]
    access: Denied
"""


@dataclass(frozen=True)
class Traffic:
    """An authorization server's key, one client, and the requests that the client makes."""

    signer: Signer
    client: ClientKey

    @classmethod
    def new(cls) -> "Traffic":
        """ES256 on both sides, as most deployments have it."""
        return cls(Signer("ES256", issuer=ISSUER), ClientKey("ES256"))

    def write_policies(self, directory: Path) -> None:
        """The policy folder that the requests are for."""
        keys = json.dumps(json.loads(jwk_set(self.signer))["keys"])
        text = _POLICIES.format(issuer=ISSUER, audience=AUDIENCE, keys=keys, host=HOST)
        (directory / "bench.yaml").write_text(text)

    def token(self, *, bound: bool) -> str:
        """An access token with a recent, strong login, good for an hour."""
        now = time.time()
        claims = {"acr": "urn:acr:mfa", "auth_time": int(now), "scope": "payments:write", "exp": int(now) + 3600}
        return self.signer.access_token(now, jkt=self.client.jkt if bound else None, claims=claims)

    def bearer(self, count: int) -> list[bytes]:
        """The same bearer token over and over."""
        token = self.token(bound=False)
        return [check_request(str(number), "GET", "/bearer/a", f"Bearer {token}") for number in range(count)]

    def dpop(self, count: int) -> list[bytes]:
        """One bound token, a new proof each time."""
        return self._proven(count, "GET", "/dpop/accounts")

    def step_up(self, count: int) -> list[bytes]:
        """The same for a rule that asks for acr, auth_time and scope too."""
        return self._proven(count, "POST", "/transfers")

    def denied(self, count: int) -> list[bytes]:
        """No credentials where some are needed."""
        return [check_request(str(number), "GET", "/dpop/accounts", "") for number in range(count)]

    def _proven(self, count: int, method: str, path: str) -> list[bytes]:
        token, now = self.token(bound=True), time.time()
        url = f"https://{HOST}{path}"
        proofs = (self.client.proof(method, url, now=now, token=token) for _ in range(count))
        return [check_request(str(n), method, path, f"DPoP {token}", proof) for n, proof in enumerate(proofs)]


def check_request(request_id: str, method: str, path: str, authorization: str, proof: str = "") -> bytes:
    """A serialised CheckRequest with the headers of an ordinary request."""
    message = external_auth_pb2.CheckRequest()
    message.attributes.source.address.socket_address.address = "127.0.0.1"
    message.attributes.source.address.socket_address.port_value = 50000
    message.attributes.destination.address.socket_address.address = "127.0.0.1"
    message.attributes.destination.address.socket_address.port_value = 8443
    http = message.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme = request_id, method, path, HOST, "https"
    http.protocol = "HTTP/2"
    headers = {
        ":authority": HOST,
        ":method": method,
        ":path": path,
        ":scheme": "https",
        "accept": "application/json",
        "user-agent": "bench/1.0",
        "x-forwarded-proto": "https",
        "x-request-id": f"6f9f2b1a-0000-4000-8000-{int(request_id):012d}",
    }
    if authorization:
        headers["authorization"] = authorization
    if proof:
        headers["dpop"] = proof
    for name, value in headers.items():
        http.headers[name] = value
    return bytes(message.SerializeToString())


def classify(response: bytes) -> str:
    """Which kind of answer these bytes of a CheckResponse are."""
    message = external_auth_pb2.CheckResponse.FromString(response)
    if message.HasField("ok_response") and message.status.code == 0:
        return ALLOWED
    status = message.denied_response.status.code
    return CHALLENGED if status == 401 else f"{REFUSED} {status}"
