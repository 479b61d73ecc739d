"""The slow work of a service, driven as a transport drives it, and issuers for it."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Self

from stepguard_service.core.keys import KeySet
from stepguard_service.core.model import Discovery, InlineKeys, Introspection, Issuer, JwksUri
from stepguard_service.core.slow import KeysLooked, Need, NeedIntrospection, NeedKeys, Waited
from stepguard_service.proof.jwk import parse_jwk_set
from stepguard_service.stores.keys import IssuerKeys, KeyStore
from stepguard_service.transport.secret_files import SecretFiles
from stepguard_service.transport.slow_work import SlowWork

from tests.support.authorization_server import CLIENT, AuthorizationServer
from tests.support.processes import wait_until

WAIT_SECONDS: Final = 1.0
"""As long as a request waits at most."""


WALL: Final = 1_800_000_000
"""What the slow work takes for the time of day, in Unix seconds."""


class Slow:
    """Slow work and the store of keys that it fills. `counts`: (issuer, result) of each fetch of keys."""

    def __init__(self, secrets: Path | None = None) -> None:
        self.counts: list[tuple[str, str]] = []
        self.keys = KeyStore(parse_jwk_set)
        self.work = SlowWork(
            self.keys,
            secrets=SecretFiles(secrets),
            count=lambda *count: self.counts.append(count),
            wall=lambda: WALL,
        )

    def __enter__(self) -> Self:
        self.work.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.work.close()

    def enforce(self, *issuers: Issuer) -> None:
        """Put these issuers in force, and no others, as a new snapshot does."""
        self.work.admit(issuers, time.monotonic())
        self.work.retain(issuers)

    def start(self, need: Need, seconds: float = WAIT_SECONDS) -> Future[Waited]:
        """What a request does that needs something; it waits for `seconds` at most."""
        return self.work.start(need, time.monotonic() + seconds)

    def wait(self, need: Need, seconds: float = WAIT_SECONDS) -> Waited:
        """The same, with its outcome."""
        return self.start(need, seconds).result(timeout=20)

    def ask(self, issuer: Issuer, token: str, seconds: float = WAIT_SECONDS) -> Waited:
        """Introspect a token."""
        return self.wait(NeedIntrospection(issuer, token), seconds)

    def first_keys(self, issuer: Issuer) -> KeySet | None:
        """Put the issuer in force beside all others, wait for its first keys as a request does, and return them."""
        self.work.admit([issuer], time.monotonic())
        self.wait(NeedKeys(issuer, None))
        return self.keys.lookup(issuer)

    def kids(self, issuer: Issuer) -> set[str | None]:
        """The ids of the keys that the issuer has now."""
        keys = self.keys.lookup(issuer)
        return {key.kid for key in keys.keys} if keys else set()

    def knows(self, issuer: Issuer, kid: str) -> bool:
        """What a request with a token of this key finds: the key is there, or one wait brings it."""
        if kid in self.kids(issuer):
            return True
        return isinstance(self.wait(NeedKeys(issuer, kid)), KeysLooked) and kid in self.kids(issuer)

    def state(self, issuer: Issuer) -> IssuerKeys:
        """What reports say about the issuer."""
        return next(state for state in self.work.states(time.monotonic()) if state.name == issuer.name)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Poll until something holds."""
        wait_until(condition, what)


def issuer(
    server: AuthorizationServer,
    keys: InlineKeys | JwksUri | Discovery | None = None,
    *,
    name: str = "main",
    version: str = "1",
    ca_bundle: str = "",
    introspection: Introspection | None = None,
) -> Issuer:
    """A TokenIssuer for an authorization server; its JWK Set by URL where `keys` says nothing else."""
    return Issuer(
        name=name,
        hash=f"{name}-{version}",
        issuer=server.issuer,
        audiences=frozenset({"https://api.example.com"}),
        keys=keys or JwksUri(server.jwks_uri, 600),
        algorithms=frozenset({"ES256"}),
        token_types=frozenset({"at+jwt"}),
        clock_skew=5,
        required_claims=("exp", "sub"),
        introspection=introspection,
        ca_bundle=ca_bundle,
    )


def introspection(server: AuthorizationServer, *, cache_ttl: int = 30, client_id: str = CLIENT[0]) -> Introspection:
    """How to look tokens up at an authorization server, as the client that it knows."""
    return Introspection(
        endpoint=server.introspection_endpoint,
        client_id=client_id,
        secret_name="as-client",
        secret_key="secret",
        always=False,
        cache_ttl=cache_ttl,
        required_claims=(),
    )
