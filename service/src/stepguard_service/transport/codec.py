"""Envoy's messages to our types and back: the only module that knows `envoy.service.auth.v3`.

An empty CheckResponse means *allow* to Envoy (docs/decisions.md, *On the wire*). Here every response is started from
the kind of its answer, with its status set first, so that none can come out empty.
"""

import codecs
from collections.abc import Iterable, Mapping
from functools import lru_cache

from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from stepguard_service.core.model import (
    Allow,
    Answer,
    HeaderAction,
    Outcome,
    Refuse,
    Request,
    ResponseHeader,
)
from stepguard_service.core.reasons import Reason

_OK = 0
_PERMISSION_DENIED = 7
_UNAVAILABLE = 14
_UNAUTHENTICATED = 16
_CODES = {401: _UNAUTHENTICATED, 503: _UNAVAILABLE}
"""gRPC code inside the CheckResponse by HTTP status; every other refusal is PERMISSION_DENIED."""

_ACTIONS = {
    HeaderAction.OVERWRITE: base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    HeaderAction.APPEND: base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD,
}

_AS_ENVOY_DOES = "stepguard-exclamation-marks"


def _exclamation_marks(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "!" * (error.end - error.start), error.end


codecs.register_error(_AS_ENVOY_DOES, _exclamation_marks)


def decode(payload: bytes) -> Request | None:
    """The HTTP request inside a serialised CheckRequest; None where these bytes are no CheckRequest.

    A CheckRequest without HTTP attributes gives a Request with an empty target, which row 1 refuses.
    """
    try:
        message = external_auth_pb2.CheckRequest.FromString(payload)
    except DecodeError:
        return None
    attributes = message.attributes
    http = attributes.request.http
    return Request(
        id=http.id,
        method=http.method,
        authority=http.host,
        target=http.path,
        headers=_headers(http),
        certificate=attributes.source.certificate,
    )


def _headers(http: attribute_context_pb2.AttributeContext.HttpRequest) -> Mapping[str, str]:
    raw = http.header_map.headers
    if raw:  # encode_raw_headers
        return _joined((line.key, _text(line.raw_value) if line.raw_value else line.value) for line in raw)
    headers = dict(http.headers)
    if "".join(headers).islower():
        return headers
    return _joined(headers.items())


def _joined(lines: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Lines of one name joined by a bare comma, as Envoy does it in its other form."""
    headers: dict[str, str] = {}
    for key, value in lines:
        name = key.lower()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _text(value: bytes) -> str:
    """UTF-8, each byte that is none an exclamation mark: what Envoy puts into its other form."""
    return value.decode("utf-8", _AS_ENVOY_DOES)


def encode(answer: Answer) -> bytes:
    """A serialised CheckResponse, never empty; dynamic metadata goes along with both kinds of response.

    What protobuf messages say together is said by their bytes one after the other.
    """
    return _response(answer.response) + _metadata(tuple(answer.metadata.items()))


@lru_cache(maxsize=1024)
def _response(response: Allow | Refuse) -> bytes:
    """Most answers are one of a few: their bytes are kept."""
    match response:
        case Allow():
            return bytes(_allowed(response).SerializeToString())
        case Refuse():
            return bytes(_refused(response).SerializeToString())


@lru_cache(maxsize=512)
def _metadata(metadata: tuple[tuple[str, str], ...]) -> bytes:
    """One client gets the same again and again from one rule."""
    message = external_auth_pb2.CheckResponse()
    fields = message.dynamic_metadata.fields
    for name, value in metadata:
        fields[name].string_value = _encodable(value)
    return bytes(message.SerializeToString())


def _allowed(allow: Allow) -> external_auth_pb2.CheckResponse:
    return external_auth_pb2.CheckResponse(
        status=status_pb2.Status(code=_OK),
        ok_response=external_auth_pb2.OkHttpResponse(
            headers=[_request_header(name, value) for name, value in allow.set_headers],
            headers_to_remove=allow.remove_headers,
            response_headers_to_add=[_response_header(header) for header in allow.response_headers],
        ),
    )


def _refused(refuse: Refuse) -> external_auth_pb2.CheckResponse:
    response = external_auth_pb2.CheckResponse(
        status=status_pb2.Status(code=_CODES.get(refuse.status, _PERMISSION_DENIED)),
        denied_response=external_auth_pb2.DeniedHttpResponse(
            headers=[_denied_header(name, value) for name, value in refuse.headers], body=refuse.body
        ),
    )
    response.denied_response.status.code = refuse.status
    return response


def _request_header(name: str, value: str) -> base_pb2.HeaderValueOption:
    # `append` stays unset: Envoy 1.37.0 appended where it was not told to overwrite, and 1.36 knows only `append`.
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=name, value=value),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _response_header(header: ResponseHeader) -> base_pb2.HeaderValueOption:
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=header.name, value=header.value), append_action=_ACTIONS[header.action]
    )


def _denied_header(name: str, value: str) -> base_pb2.HeaderValueOption:
    # Both actions left at their default: two www-authenticate lines then both reach the client in every version.
    return base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=name, value=value))


def _encodable(value: str) -> str:
    """Claims may hold lone surrogates, which no protobuf string may: a question mark stands for each."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


INTERNAL_ERROR = Answer(
    response=Refuse(
        status=503,
        headers=(("content-type", "application/json"), ("cache-control", "no-store")),
        body='{"error":"temporarily_unavailable","error_description":"the request could not be checked"}',
    ),
    outcome=Outcome.UNAVAILABLE,
    reason=Reason.INTERNAL_ERROR,
    metadata={"decision": Outcome.UNAVAILABLE.value, "reason": Reason.INTERNAL_ERROR.value},
)
"""Row F1, encoded once at import, before anything can go wrong."""

INTERNAL_ERROR_BYTES = encode(INTERNAL_ERROR)
