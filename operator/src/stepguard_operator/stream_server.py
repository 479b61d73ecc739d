"""The gRPC server of the policy stream: one port, always TLS."""

import socket
from typing import Final

import grpc

from stepguard_operator.flags import Address
from stepguard_operator.reconcile import SNAPSHOT_LENGTH
from stepguard_operator.server_tls import Identity, ServerTls

STREAMS: Final = 1024
"""At once; each is one replica."""

OPTIONS: Final = (
    # Without this a second process could take half of the connections of a port that is already in use.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", SNAPSHOT_LENGTH),
    ("grpc.max_send_message_length", SNAPSHOT_LENGTH),
    # A replica that vanished without a word is noticed. Replicas ping every 10 s themselves.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


class ListenError(Exception):
    """The address cannot be listened on. One line."""


class StreamServer:
    """Listens from the first `show` on: a certificate may have to be made first."""

    def __init__(self, address: Address, handler: grpc.GenericRpcHandler) -> None:
        self._address = address
        self._handler = handler
        self._server: grpc.aio.Server | None = None
        self._tls: ServerTls | None = None
        self.port: int | None = None
        """The port that is open; None: none is yet."""

    async def show(self, identity: Identity) -> None:
        """Serve with this certificate from the next connection on. Raises ListenError."""
        if self._tls is not None:
            self._tls.show(identity)
            return
        _probe(self._address)
        tls = ServerTls(identity)
        server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=STREAMS)
        server.add_generic_rpc_handlers((self._handler,))
        try:
            port = server.add_secure_port(str(self._address), tls.credentials())
        except RuntimeError as error:
            raise ListenError(f"--listen {self._address}: {error}") from error
        await server.start()
        self._server, self._tls, self.port = server, tls, port

    async def stop(self, grace: float) -> None:
        """Close the port; streams get `grace` seconds to end."""
        self.port = None
        if self._server is not None:
            await self._server.stop(grace)


def _probe(address: Address) -> None:
    """Say in the system's words why an address cannot be listened on: gRPC's own error has a page of them."""
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(name)
    except OSError as error:
        raise ListenError(f"--listen {address}: {(error.strerror or str(error)).lower()}") from error
