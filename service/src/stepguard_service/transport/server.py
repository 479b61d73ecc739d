"""What all transports share: the method they serve, the settings of their gRPC server, how they start and stop."""

import socket
from typing import Protocol

import grpc

from stepguard_service import limits

SERVICE = "envoy.service.auth.v3.Authorization"
METHOD = "Check"

Options = tuple[tuple[str, int], ...]

OPTIONS: Options = (
    # Without this a second process could take half of the connections of a port that is already in use.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", limits.CHECK_REQUEST_LENGTH),
    ("grpc.max_concurrent_streams", limits.CONCURRENT_STREAMS),
    # Otherwise streams that have ended count until their memory is freed, and a peer that keeps to the limit is refused
    # by the hundred after every stall. What this protects from, peers that open and reset streams, the next two bound.
    ("grpc.http.overload_protection", 0),
    ("grpc.server.max_pending_requests", limits.PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", 2 * limits.PENDING_CALLS),
    # gRPC spreads this by ±10 %: connections move to new replicas, a few at a time.
    ("grpc.max_connection_age_ms", limits.CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", limits.CONNECTION_AGE_GRACE_MS),
    # A peer that vanished without a word is noticed; peers may ping as often as Envoy's keepalive does.
    ("grpc.keepalive_time_ms", limits.KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", limits.KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", limits.PEER_PING_INTERVAL_MS),
)
"""Of the gRPC server."""


class ListenError(Exception):
    """The port cannot be opened. The text says why, in one line."""


class Transport(Protocol):
    """Serves Check and health on one port, in threads of its own. `start` and `stop` are called once each."""

    @property
    def name(self) -> str:
        """`aio` or `fast`: for the log and `stepguard_transport_info`."""

    @property
    def last_beat(self) -> float:
        """When the serving loop last turned, in time.monotonic(); at least every few seconds while it is well."""

    def start(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """Open the port and answer on it; returns its number (`address` may ask for port 0).

        Raises:
            ListenError: the address cannot be listened on.
        """

    def stop(self, grace: float) -> None:
        """Take no new calls, finish those under way for at most `grace` seconds, close the port, end the threads."""


def probe(host: str, port: int) -> None:
    """Say why a port cannot be opened, in the system's words: gRPC's own error has a page of them.

    Raises:
        ListenError: it cannot.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise ListenError((error.strerror or str(error)).lower()) from error
