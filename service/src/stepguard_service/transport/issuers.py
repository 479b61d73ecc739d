"""The issuers of a PolicySnapshot as the core's types."""

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_service.core.model import Discovery, InlineKeys, Introspection, Issuer, JwksUri
from stepguard_service.transport.schema import NotUnderstoodError


def decode_issuer(message: pb.Issuer) -> Issuer:
    """One TokenIssuer.

    Raises:
        NotUnderstoodError: where its keys are is nothing that this version knows.
    """
    return Issuer(
        name=message.name,
        hash=message.hash,
        issuer=message.issuer,
        audiences=frozenset(message.audiences),
        keys=_keys(message),
        algorithms=frozenset(message.algorithms),
        token_types=frozenset(message.token_types),
        clock_skew=message.clock_skew_seconds,
        required_claims=tuple(message.required_claims),
        introspection=_introspection(message.introspection) if message.HasField("introspection") else None,
        ca_bundle=message.ca_bundle,
    )


def _keys(message: pb.Issuer) -> InlineKeys | JwksUri | Discovery:
    source = message.keys
    match source.WhichOneof("kind"):
        case "inline_jwks":
            return InlineKeys(source.inline_jwks)
        case "jwks_uri":
            return JwksUri(source.jwks_uri, source.refresh_interval_seconds)
        case "discovery":
            return Discovery(source.refresh_interval_seconds)
        case _:
            raise NotUnderstoodError(f"TokenIssuer {message.name}: the source of its keys is not known to this version")


def _introspection(message: pb.Introspection) -> Introspection:
    return Introspection(
        endpoint=message.endpoint,
        client_id=message.client_id,
        secret_name=message.secret_name,
        secret_key=message.secret_key,
        always=message.always,
        cache_ttl=message.cache_ttl_seconds,
        required_claims=tuple(message.required_claims),
    )
