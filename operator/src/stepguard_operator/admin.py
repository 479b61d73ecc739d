"""HTTP for probes and scrapes: /healthz, /readyz, /metrics, and nothing else."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from stepguard_operator.flags import Address

Problem = Callable[[], str]
"""What is wrong now; empty where nothing is."""


class Admin:
    """`start` and `stop` once each, in one loop."""

    def __init__(self, registry: CollectorRegistry, *, health: Problem, readiness: Problem) -> None:
        self._registry = registry
        application = web.Application()
        application.router.add_get("/healthz", _probe(health))
        application.router.add_get("/readyz", _probe(readiness))
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, address: Address) -> int:
        """Listen; returns the port. Raises OSError where the address cannot be listened on."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, address.host, address.port)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _probe(problem: Problem) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        found = problem()
        return web.Response(status=503 if found else 200, text=f"{found or 'ok'}\n")

    return answer
