"""The straightforward build, to compare with: what one would write first, on public interfaces alone.

grpc.aio, messages through envoy-data-plane, `PyJWT.decode` for the token and for the proof each time, a set of used
jtis. It checks what a happy request needs and no more: it is a yardstick for time, not for safety.

    python -m tests.bench.baseline_server PORT JWKS_FILE
"""

import asyncio
import base64
import hashlib
import json
import sys
from pathlib import Path

import grpc
import jwt
from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HeaderValueOption
from envoy_data_plane.envoy.service.auth.v3 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.rpc import Status
from grpc import aio

from tests.bench.traffic import HOST
from tests.support.tokens import AUDIENCE, ISSUER, thumbprint

_ALGORITHMS = ["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"]


class Baseline:
    """One gRPC method."""

    def __init__(self, keys: jwt.PyJWKSet) -> None:
        self._keys = keys
        self._used: set[tuple[str, str]] = set()

    async def check(self, payload: bytes, _context: object) -> bytes:
        """Decode, verify, answer."""
        attributes = CheckRequest.parse(payload).attributes
        if attributes is None or attributes.request is None or (http := attributes.request.http) is None:
            return _denied("not a request")
        try:
            claims = self._verify(http.headers, http.method, http.path)
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            return _denied(str(error))
        ok = OkHttpResponse(headers=[_header("x-auth-sub", str(claims["sub"]))], headers_to_remove=["dpop"])
        return bytes(CheckResponse(status=Status(code=0), ok_response=ok))

    def _verify(self, headers: dict[str, str], method: str, path: str) -> dict[str, object]:
        scheme, token = headers["authorization"].split(" ")
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        claims: dict[str, object] = jwt.decode(token, key, _ALGORITHMS, audience=AUDIENCE, issuer=ISSUER)
        if scheme == "DPoP":
            self._verify_proof(headers["dpop"], token, claims, f"{method} https://{HOST}{path}")
        return claims

    def _verify_proof(self, proof: str, token: str, claims: dict[str, object], request: str) -> None:
        jwk = jwt.get_unverified_header(proof)["jwk"]
        said = jwt.decode(proof, jwt.PyJWK(jwk), _ALGORITHMS)
        ath = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        if f"{said['htm']} {said['htu']}" != request or said["ath"] != ath:
            raise ValueError("the proof is for another request")
        jkt = thumbprint(jwk)
        confirmation = claims["cnf"]
        if not isinstance(confirmation, dict) or confirmation["jkt"] != jkt:
            raise ValueError("the proof is of another key")
        if (jkt, said["jti"]) in self._used:
            raise ValueError("the proof was used before")
        self._used.add((jkt, said["jti"]))


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=name, value=value))


def _denied(why: str) -> bytes:
    challenge = f'DPoP error="invalid_token", error_description="{why}", algs="ES256"'
    denied = DeniedHttpResponse(
        status=HttpStatus(code=StatusCode.Unauthorized),
        headers=[_header("www-authenticate", challenge), _header("cache-control", "no-store")],
        body=json.dumps({"error": "invalid_token"}),
    )
    return bytes(CheckResponse(status=Status(code=16), denied_response=denied))


async def serve(port: int, keys: jwt.PyJWKSet) -> None:
    """Serve until killed."""
    server = aio.server(options=(("grpc.so_reuseport", 0),))
    method = grpc.unary_unary_rpc_method_handler(Baseline(keys).check)
    handler = grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), jwt.PyJWKSet.from_dict(json.loads(Path(sys.argv[2]).read_text()))))
