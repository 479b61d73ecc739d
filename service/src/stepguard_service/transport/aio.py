"""The handler on public `grpc.aio`, in a thread and an event loop of its own: `--transport aio`."""

import asyncio
import contextlib
import math
import threading
import time
from concurrent.futures import Future
from typing import NoReturn

import grpc
from grpc import aio

from stepguard_service.transport import health
from stepguard_service.transport.claims import Claims
from stepguard_service.transport.handler import CheckHandler, Claiming, NotARequest, Progress, Verifying, Waiting
from stepguard_service.transport.server import METHOD, OPTIONS, SERVICE, ListenError, Options

_HEARTBEAT_SECONDS = 1.0


class AioTransport:
    """Serves Check and health on one port. `start` and `stop` are called once each, from another thread."""

    name = "aio"

    def __init__(self, handler: CheckHandler, state: health.Health, *, options: Options = OPTIONS) -> None:
        self._service = _Service(handler, state)
        self._options = options
        self._started: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
        self._stopping = asyncio.Event()
        self._grace = 0.0
        self._thread: threading.Thread | None = None
        self.last_beat = time.monotonic()
        """When the loop last turned, in time.monotonic()."""

    def start(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """Open the port and answer on it; returns its number (`address` may ask for port 0).

        Raises:
            ListenError: the address cannot be listened on.
        """
        serving = self._serve(address, credentials)
        self._thread = threading.Thread(target=asyncio.run, args=(serving,), name="stepguard-aio", daemon=True)
        self._thread.start()
        _, port = self._started.result()
        return port

    def stop(self, grace: float) -> None:
        """Take no new calls, finish those under way for at most `grace` seconds, close the port, end the thread."""
        self._grace = grace
        loop, _ = self._started.result()
        loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()

    async def _serve(self, address: str, credentials: grpc.ServerCredentials | None) -> None:
        server = aio.server(handlers=self._service.handlers(), options=self._options)
        try:
            port = await _open(server, address, credentials)
        except Exception as error:  # noqa: BLE001 - for the thread that waits in `start`
            self._started.set_exception(error)
            return
        self._started.set_result((asyncio.get_running_loop(), port))
        while not self._stopping.is_set():
            self.last_beat = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _HEARTBEAT_SECONDS)
        await server.stop(self._grace)
        self._service.close()


async def _open(server: aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        port = (
            server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
        )
    except RuntimeError as error:
        raise ListenError(f"{address}: cannot listen there: {error}") from error
    await server.start()
    return int(port)


class _Service:
    """The two gRPC methods, bytes to bytes."""

    def __init__(self, handler: CheckHandler, state: health.Health) -> None:
        self._handler = handler
        self._state = state
        self._claims = Claims(handler)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Every other service and method is UNIMPLEMENTED."""
        return [
            grpc.method_handlers_generic_handler(SERVICE, {METHOD: grpc.unary_unary_rpc_method_handler(self._check)}),
            grpc.method_handlers_generic_handler(
                health.SERVICE, {health.METHOD: grpc.unary_unary_rpc_method_handler(self._health)}
            ),
        ]

    async def _check(self, payload: bytes, context: aio.ServicerContext) -> bytes:
        remaining = context.time_remaining()
        if remaining is not None and remaining <= 0:
            # Row F3: it stood in the queue too long, nobody waits for it any more.
            return await _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        deadline = math.inf if remaining is None else time.monotonic() + remaining
        begun = self._handler.begin(payload, deadline)
        if isinstance(begun, NotARequest):
            return await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, begun.value)
        progress: Progress = begun
        # A caller that goes away, or whose deadline passes, cancels this task wherever it waits.
        while not isinstance(progress, bytes):
            waiting = progress
            try:
                progress = await self._advance(waiting)
            except Exception as error:  # noqa: BLE001 - row F1: whatever it is, the answer is a denial
                progress = self._handler.abandon(waiting, error)
        return progress

    async def _advance(self, waiting: Claiming | Waiting | Verifying) -> Progress:
        match waiting:
            case Claiming():
                return self._handler.finish(waiting, await self._claims.claim(waiting))
            case Verifying():
                return self._handler.verify([waiting])[0]
            case Waiting():
                waited = await asyncio.wrap_future(self._handler.wait_for(waiting))
                return self._handler.resume(waiting, waited)

    async def _health(self, payload: bytes, context: aio.ServicerContext) -> bytes:
        answer = self._state.check(payload)
        if isinstance(answer, bytes):
            return answer
        return await _abort(context, answer, "")

    def close(self) -> None:
        """End the threads."""
        self._claims.close()


async def _abort(context: aio.ServicerContext, code: grpc.StatusCode, details: str) -> NoReturn:
    await context.abort(code, details)
    raise AssertionError("abort raises")
