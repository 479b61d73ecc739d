"""`--self-managed`: the objects in our own namespace that hold the stream's certificate, its CA and the nonce keys.

The active operator writes them, every operator reads the certificate. Only `data` is touched, so objects that a chart
or a GitOps tool renders without it stay theirs in everything else.
"""

import asyncio
import logging
import secrets
import time
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from stepguard_operator.api import Api, ApiError
from stepguard_operator.certificate_plan import CA, CERT, KEY, next_certificates
from stepguard_operator.complaints import Complaints
from stepguard_operator.leadership import Leader
from stepguard_operator.nonce_plan import KEY_LENGTH, next_nonce_keys
from stepguard_operator.replicas import Replicas
from stepguard_operator.server_tls import BadCertificateError, Identity, check

TLS_SECRET: Final = "stepguard-operator-tls"  # noqa: S105  (a name)
NONCE_SECRET: Final = "stepguard-nonce-keys"  # noqa: S105  (a name)
CA_CONFIG_MAP: Final = "stepguard-operator-ca"
LOOK_SECONDS: Final = 15.0
SERVICE_NAME: Final = "stepguard-operator"

Show: TypeAlias = Callable[[Identity], Awaitable[None]]

_log = logging.getLogger(__name__)


class SelfManaged:
    """Looks every LOOK_SECONDS. `show` gets the certificate when it is new."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        leader: Leader,
        replicas: Replicas,
        *,
        show: Show,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._leader = leader
        self._replicas = replicas
        self._show = show
        self._shown: Identity | None = None
        self._wake = asyncio.Event()
        self._complaints = Complaints(_log)

    def look_soon(self) -> None:
        """Who is active has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Keep them, for ever."""
        while True:
            self._wake.clear()
            for subject, look in (("the certificate", self._certificate), ("the nonce keys", self._nonce_keys)):
                try:
                    await look()
                    self._complaints.over(subject)
                except (ApiError, BadCertificateError) as error:
                    self._complaints.say(subject, str(error))
            try:
                async with asyncio.timeout(LOOK_SECONDS if self._shown else LOOK_SECONDS / 10):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _certificate(self) -> None:
        secret = await self._read("secrets", TLS_SECRET)
        data = _data(secret)
        if self._leader.certain:
            wanted = next_certificates(data, server_names(self._namespace), int(time.time()))
            if wanted != data:
                _log.info("writing Secret %s", TLS_SECRET)
                await self._write("secrets", _with_data(secret, wanted))
            await self._publish_ca(wanted[CA])
            data = wanted
        if CERT in data and KEY in data:
            identity = check(Identity(data[CERT], data[KEY]), source=f"Secret {TLS_SECRET}")
            if identity != self._shown:
                await self._show(identity)
                self._shown = identity

    async def _publish_ca(self, bundle: bytes) -> None:
        config_map = await self._read("configmaps", CA_CONFIG_MAP)
        wanted = {**(config_map.get("data") or {}), CA: bundle.decode()}
        if wanted != config_map.get("data"):
            _log.info("writing ConfigMap %s", CA_CONFIG_MAP)
            await self._write("configmaps", {**config_map, "data": wanted})

    async def _nonce_keys(self) -> None:
        if not self._leader.certain:
            return
        secret = await self._read("secrets", NONCE_SECRET)
        data = _data(secret)
        fleet = self._replicas.fleet(time.monotonic())
        wanted = next_nonce_keys(data, fleet, int(time.time()), lambda: secrets.token_bytes(KEY_LENGTH))
        if wanted != data:
            _log.info("writing Secret %s", NONCE_SECRET)
            await self._write("secrets", _with_data(secret, wanted))

    async def _read(self, plural: str, name: str) -> dict[str, Any]:
        """The object, or what it begins as."""
        found = await self._api.get(f"/api/v1/namespaces/{self._namespace}/{plural}/{name}")
        if found is not None:
            return found
        kind = "Secret" if plural == "secrets" else "ConfigMap"
        return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": self._namespace, "name": name}}

    async def _write(self, plural: str, body: Mapping[str, Any]) -> None:
        """Create it, or replace what was read; 409 where somebody wrote meanwhile, which the next look sees."""
        collection = f"/api/v1/namespaces/{self._namespace}/{plural}"
        if "resourceVersion" in body["metadata"]:
            await self._api.replace(f"{collection}/{body['metadata']['name']}", body)
        else:
            await self._api.create(collection, body)


def server_names(namespace: str) -> tuple[str, ...]:
    """The names under which services in the cluster reach us."""
    service = f"{SERVICE_NAME}.{namespace}"
    return (f"{service}.svc", service, SERVICE_NAME, f"{service}.svc.cluster.local")


def _data(secret: Mapping[str, Any]) -> Mapping[str, bytes]:
    """Decoded; what is no base64 counts as absent."""
    found = {}
    for name, value in (secret.get("data") or {}).items():
        try:
            found[name] = b64decode(value, validate=True)
        except (BadBase64, ValueError):
            continue
    return found


def _with_data(secret: Mapping[str, Any], data: Mapping[str, bytes]) -> dict[str, Any]:
    return {**secret, "data": {name: b64encode(value).decode() for name, value in data.items()}}
