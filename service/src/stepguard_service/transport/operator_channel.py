"""How a replica reaches the operators and proves who it is: always TLS, with a token or a client certificate.

Every file is read again for each connection, so rotation needs no restart.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from stepguard_service import limits

KEEPALIVE_MS: Final = 10_000
"""A silent stream is the normal case, so a ping says whether the operator is still there. Its server allows this."""
KEEPALIVE_TIMEOUT_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an operator, as gRPC writes it, and the name its certificate must have."""

    target: str
    server_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAccess:
    """`addresses` are host:port. An empty `server_name`: the host of the address. `ca` None: the system's."""

    addresses: tuple[str, ...]
    ca: Path | None = None
    server_name: str = ""
    token_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    def resolve(self) -> tuple[tuple[Endpoint, ...], Mapping[str, str]]:
        """Every address that the names have now, in order, and what is wrong with each name that has none."""
        endpoints: dict[Endpoint, None] = {}
        problems: dict[str, str] = {}
        for address in self.addresses:
            host, _, port = address.rpartition(":")
            host = host.strip("[]")
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                problems[address] = (error.strerror or str(error)).lower()
                continue
            for family, *_, sockaddr in found:
                endpoints[Endpoint(_target(family, sockaddr), self.server_name or host)] = None
        return tuple(endpoints), problems

    def open(self, endpoint: Endpoint) -> grpc.Channel:
        """A channel to be closed by the caller.

        Raises:
            OSError: a file cannot be read.
        """
        credentials = grpc.ssl_channel_credentials(_read(self.ca), _read(self.client_key), _read(self.client_cert))
        options = (
            ("grpc.ssl_target_name_override", endpoint.server_name),
            ("grpc.max_receive_message_length", limits.SNAPSHOT_LENGTH),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            # Without this one a ping may take a minute, whatever the keepalive says.
            ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            # Each attempt is a connection of its own: what the pool remembers of an old one must not delay it.
            ("grpc.use_local_subchannel_pool", 1),
        )
        return grpc.secure_channel(endpoint.target, credentials, options=options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries to say who we are.

        Raises:
            OSError: the token cannot be read.
        """
        if self.token_file is None:
            return ()
        return (("authorization", f"Bearer {self.token_file.read_text(encoding='ascii').strip()}"),)


def _target(family: socket.AddressFamily, sockaddr: tuple[str | int, ...] | tuple[int, bytes]) -> str:
    if family is socket.AF_INET6:
        return f"ipv6:[{sockaddr[0]!s}]:{sockaddr[1]!s}"
    return f"ipv4:{sockaddr[0]!s}:{sockaddr[1]!s}"


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path is not None else None
