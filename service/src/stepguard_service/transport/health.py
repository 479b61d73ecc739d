"""`grpc.health.v1.Health/Check`, unary: whether this replica wants traffic.

The two messages have one field each, so they are read and written through well-known types of the same shape on the
wire: HealthCheckRequest{string service = 1} is a StringValue, HealthCheckResponse{enum status = 1} an Int32Value.
"""

import grpc
from google.protobuf import wrappers_pb2
from google.protobuf.message import DecodeError

SERVICE = "grpc.health.v1.Health"
METHOD = "Check"

_SERVING = wrappers_pb2.Int32Value(value=1).SerializeToString()
_NOT_SERVING = wrappers_pb2.Int32Value(value=2).SerializeToString()


class Health:
    """The one state behind the gRPC health service and `/readyz`. Any thread may read and set it."""

    def __init__(self, *services: str) -> None:
        self._services = frozenset(("", *services))
        self._ready = False
        self._draining = False

    @property
    def serving(self) -> bool:
        """Whether a first snapshot is in force and no shutdown has begun."""
        return self._ready and not self._draining

    def ready(self) -> None:
        """A snapshot is in force; from now on there always is one."""
        self._ready = True

    def drain(self) -> None:
        """Shutdown begins: traffic should go elsewhere, what comes is still answered."""
        self._draining = True

    def check(self, payload: bytes) -> bytes | grpc.StatusCode:
        """The serialised HealthCheckResponse, or the gRPC error for a request that cannot be answered."""
        try:
            service = wrappers_pb2.StringValue.FromString(payload).value
        except DecodeError:
            return grpc.StatusCode.INVALID_ARGUMENT
        if service not in self._services:
            return grpc.StatusCode.NOT_FOUND
        return _SERVING if self.serving else _NOT_SERVING
