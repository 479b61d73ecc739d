"""Envoy, stepguard-service, an application and a gRPC application: everything between a client and its answer."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from tests.support.clock import clock_now
from tests.support.envoy import Envoy, Listener, envoy
from tests.support.grpc_application import GrpcApplication
from tests.support.http_clients import Response, http1
from tests.support.http_server import HttpServer, echo
from tests.support.service import Service, service
from tests.support.tokens import ClientKey, Signer, jwk_set

HOST: Final = "api.example.com"
POLICIES: Final = Path(__file__).parents[1] / "envoy" / "policies.yaml"
PASSKEY: Final = "urn:acr:phr"


@dataclass(frozen=True)
class Gateway:
    """Everything between a client and the application, and a client with a key."""

    envoy: Envoy
    service: Service
    application: HttpServer
    grpc: GrpcApplication
    signer: Signer
    client: ClientKey = field(default_factory=ClientKey)

    def token(self, **claims: object) -> str:
        """A token bound to the client's key, of a user who has just used a password."""
        now = clock_now()
        return self.signer.access_token(now, jkt=self.client.jkt, claims={"auth_time": int(now), **claims})

    def credentials(
        self, method: str, path: str, *, token: str | None = None, host: str = HOST, **claims: object
    ) -> tuple[tuple[str, str], tuple[str, str]]:
        """Authorization and DPoP headers of a good request; `claims` override those of the proof."""
        token = token or self.token()
        proof = self.client.proof(method, f"https://{host}{path}", now=clock_now(), token=token, claims=claims)
        return ("Authorization", f"DPoP {token}"), ("DPoP", proof)

    def get(self, path: str, *headers: tuple[str, str], host: str = HOST, listener: str = "raw") -> Response:
        """One GET over HTTP/1.1."""
        return http1(self.envoy.port(listener), path, host=host, headers=headers)

    def good(self, path: str = "/accounts", *, listener: str = "raw") -> Response:
        """One request that every part should let through."""
        return self.get(path, *self.credentials("GET", path), listener=listener)


def seen(response: Response) -> list[tuple[str, str]]:
    """The header lines that the application got, as it told in its answer."""
    return [(name, value) for name, value in json.loads(response.body)["headers"]]


def write_policies(folder: Path, signer: Signer, source: Path = POLICIES) -> Path:
    """The policies of a file in a folder, with the signer's keys inline."""
    folder.mkdir()
    documents = list(yaml.safe_load_all(source.read_text(encoding="utf-8")))
    documents[0]["spec"]["jwks"] = {"keys": json.loads(jwk_set(signer))["keys"]}
    (folder / "policies.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
    return folder


LISTENERS: Final = {
    "raw": Listener(),
    "joined": Listener(raw_headers=False),
    "mesh": Listener(raw_headers=False, normalize_path=False),
}


@contextlib.contextmanager
def running_gateway(directory: Path, source: Path = POLICIES) -> Iterator[Gateway]:
    """All parts with the policies of this file, as long as the block runs."""
    signer = Signer()
    policies = write_policies(directory / "policies", signer, source)
    with (
        HttpServer(echo) as application,
        GrpcApplication() as grpc,
        service(policies, directory) as stepguard,
        envoy(
            directory,
            LISTENERS,
            {"stepguard": stepguard.port},
            application=application.port,
            grpc_application=grpc.port,
        ) as front,
    ):
        yield Gateway(front, stepguard, application, grpc, signer)
