"""A gRPC application of one service, `bank.Accounts`: whatever comes goes back, call by call or message by message."""

from collections.abc import Iterator
from concurrent import futures
from typing import Final, Self

import grpc

SERVICE: Final = "bank.Accounts"


class GrpcApplication:
    """`Echo` answers one message with itself, `EchoStream` each message of a stream."""

    def __init__(self) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(self._echo),
            "EchoStream": grpc.stream_stream_rpc_method_handler(self._echo_stream),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port: Final[int] = self._server.add_insecure_port("127.0.0.1:0")
        self.metadata: Final[list[dict[str, str | bytes]]] = []
        """Of each call, as it arrived."""

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop(0).wait()

    def _echo(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self.metadata.append(dict(context.invocation_metadata()))
        return message

    def _echo_stream(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self.metadata.append(dict(context.invocation_metadata()))
        yield from messages
