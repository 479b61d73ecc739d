"""Check calls as an independent codec writes and reads them: envoy-data-plane, where the service uses xds-protos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from envoy_data_plane.envoy.config.core.v3 import HeaderMap, HeaderValue, HeaderValueOption
from envoy_data_plane.envoy.service.auth.v3 import (
    AttributeContext,
    AttributeContextHttpRequest,
    AttributeContextPeer,
    AttributeContextRequest,
    CheckRequest,
    CheckResponse,
)

CHECK = "/envoy.service.auth.v3.Authorization/Check"
HEALTH = "/grpc.health.v1.Health/Check"


def check_request(
    method: str = "GET",
    path: str = "/",
    *,
    host: str = "api.example.com",
    headers: Mapping[str, str] | None = None,
    raw: Sequence[tuple[str, bytes]] | None = None,
    request_id: str = "1",
    certificate: str = "",
) -> bytes:
    """A serialised CheckRequest. `raw` gives header lines as `encode_raw_headers` does, instead of `headers`."""
    http = AttributeContextHttpRequest(id=request_id, method=method, path=path, host=host, headers=dict(headers or {}))
    if raw is not None:
        http.header_map = HeaderMap(headers=[HeaderValue(key=key, raw_value=value) for key, value in raw])
    context = AttributeContext(
        source=AttributeContextPeer(certificate=certificate), request=AttributeContextRequest(http=http)
    )
    return bytes(CheckRequest(attributes=context))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A CheckResponse as Envoy understands it. `status` is 0 where the request goes on."""

    code: int
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    set_headers: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    response_headers: tuple[HeaderValueOption, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether Envoy lets the request through: the code alone decides."""
        return self.code == 0

    @property
    def challenges(self) -> tuple[str, ...]:
        """Every WWW-Authenticate line."""
        return tuple(value for name, value in self.headers if name.lower() == "www-authenticate")


def read_response(payload: bytes) -> Verdict:
    """Decode a CheckResponse, and fail where it is not one of the shapes that docs/decisions.md allows."""
    response = CheckResponse.parse(payload)
    assert response.status is not None, "a response without status allows the request"
    metadata = response.dynamic_metadata
    said = {name: value.string_value or "" for name, value in metadata.fields.items()} if metadata else {}
    if response.status.code == 0:
        ok = response.ok_response
        assert ok is not None
        assert response.denied_response is None
        assert all(option.append is None for option in (*ok.headers, *ok.response_headers_to_add))
        return Verdict(
            code=0,
            status=0,
            set_headers={option.header.key: option.header.value for option in ok.headers if option.header},
            removed=tuple(ok.headers_to_remove),
            response_headers=tuple(ok.response_headers_to_add),
            metadata=said,
        )
    denied = response.denied_response
    assert denied is not None
    assert denied.status is not None
    assert response.ok_response is None
    status = int(denied.status.code)
    assert response.status.code == {401: 16, 503: 14}.get(status, 7)
    return Verdict(
        code=response.status.code,
        status=status,
        headers=tuple((option.header.key, option.header.value) for option in denied.headers if option.header),
        body=denied.body,
        metadata=said,
    )


class Caller:
    """A client of one ext_authz port."""

    def __init__(self, port: int, credentials: grpc.ChannelCredentials | None = None) -> None:
        target = f"localhost:{port}"
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self._check = self._channel.unary_unary(CHECK)
        self._health = self._channel.unary_unary(HEALTH)

    def check(self, payload: bytes, timeout: float = 5.0) -> Verdict:
        """Ask, and read the answer."""
        return read_response(self._check(payload, timeout=timeout))

    def error(self, payload: bytes, *, method: str = CHECK, timeout: float = 5.0) -> grpc.StatusCode:
        """The gRPC error that a call ends with; OK where it has an answer."""
        call = self._channel.unary_unary(method).future(payload, timeout=timeout)
        code: grpc.StatusCode = call.code()
        return code

    def submit(self, payload: bytes, timeout: float = 5.0) -> grpc.Future:
        """Ask without waiting; `result()` gives the serialised answer."""
        return self._check.future(payload, timeout=timeout)

    def health(self, request: bytes = b"") -> bytes:
        """What grpc.health.v1 says, serialised."""
        answer: bytes = self._health(request, timeout=5.0)
        return answer

    def close(self) -> None:
        """End the connection."""
        self._channel.close()
