"""The way to the Kubernetes API: KUBECONFIG where it is set, else the pod's ServiceAccount, else ~/.kube/config.

Tokens of ServiceAccounts rotate, so they are read again every minute and after each 401; both our own client and
kopf's watches use sessions made here.
"""

import logging
import os
import time
from collections.abc import Callable
from http import HTTPStatus
from types import SimpleNamespace
from typing import Final, TypeAlias

import aiohttp
import kopf
from yarl import URL

REREAD_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0

Observed: TypeAlias = Callable[[str, URL, int], None]
"""(method, URL, status) of a request that ended; status 0: without an answer. Called in the session's loop."""

_log = logging.getLogger(__name__)


class NoClusterError(Exception):
    """There is nothing that says where the Kubernetes API is, or it cannot be read. One line."""


class Cluster:
    """Where the API is and who we are."""

    def __init__(self) -> None:
        """Read the configuration once, to see that there is one. Raises NoClusterError."""
        self._info = _login()
        self._read_at = time.monotonic()

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._info.server.rstrip("/")

    @property
    def namespace(self) -> str:
        """Our own: the pod's, or the context's."""
        return self._info.default_namespace or "default"

    def session(self, observed: Observed) -> aiohttp.ClientSession:
        """A session for the running loop, to be closed by the caller."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._info.as_ssl_context()),
            proxy=self._info.proxy_url,
            timeout=aiohttp.ClientTimeout(total=60, sock_connect=CONNECT_SECONDS),
            middlewares=(self._authorize,),
            trace_configs=[_trace(observed)],
        )

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if time.monotonic() - self._read_at > REREAD_SECONDS:
            self._reread()
        request.headers.update(self._info.as_http_headers())
        response = await handler(request)
        if response.status == HTTPStatus.UNAUTHORIZED:
            self._reread()
        return response

    def _reread(self) -> None:
        self._read_at = time.monotonic()
        try:
            self._info = _login()
        except NoClusterError as problem:
            _log.warning("credentials are kept as they are: %s", problem)


def _trace(observed: Observed) -> aiohttp.TraceConfig:
    async def ended(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
        observed(end.method, end.url, end.response.status)

    async def failed(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestExceptionParams) -> None:
        observed(end.method, end.url, 0)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(ended)
    trace.on_request_exception.append(failed)
    return trace


def _login() -> kopf.ConnectionInfo:
    settings = kopf.OperatorSettings()
    try:
        info = None if os.environ.get("KUBECONFIG") else kopf.login_with_service_account(settings=settings)
        info = info or kopf.login_with_kubeconfig(settings=settings)
    except Exception as error:
        raise NoClusterError(f"the Kubernetes configuration cannot be used: {error}") from error
    if info is None:
        raise NoClusterError("no Kubernetes API is known: run in a pod with a ServiceAccount, or set KUBECONFIG")
    return info
