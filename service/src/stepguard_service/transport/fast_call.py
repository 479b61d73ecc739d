"""One call on grpcio's completion queue, and the operations that end it."""

from typing import Any, Final

import grpc
from grpc._cython import cygrpc

NO_FLAGS: Final = 0


class Tag:
    """A tag of events that belong to no one call."""

    __slots__ = ()


_SENT = Tag()


class Rpc:
    """One call, from its method to its answer; also the tag of the event that brings its message."""

    __slots__ = ("call", "deadline", "is_health", "metadata_sent")

    def __init__(self, call: Any, deadline: float, *, is_health: bool) -> None:
        self.call = call
        self.deadline = deadline
        """time.monotonic(); infinity for none."""
        self.is_health = is_health
        self.metadata_sent = False


def initial_metadata() -> Any:
    """It has nothing in it, and must be sent once a call."""
    return cygrpc.SendInitialMetadataOperation(None, NO_FLAGS)


def _status(code: grpc.StatusCode, details: str) -> Any:
    return cygrpc.SendStatusFromServerOperation(None, code.value[0], details.encode(), NO_FLAGS)


_OK = _status(grpc.StatusCode.OK, "")


def send(rpc: Rpc, response: bytes) -> None:
    """End a call with an answer."""
    message = cygrpc.SendMessageOperation(response, NO_FLAGS)
    rest = (message, _OK, cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS))
    rpc.call.start_server_batch(rest if rpc.metadata_sent else (initial_metadata(), *rest), _SENT)


def refuse(call: Any, code: grpc.StatusCode, details: str) -> None:
    """End a call whose metadata was not sent yet with an error of gRPC's own."""
    close = cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS)
    call.start_server_batch((initial_metadata(), _status(code, details), close), _SENT)
