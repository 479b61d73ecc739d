"""The HostTable message."""

from collections.abc import Iterable, Sequence

from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_policy.compile.draft import HostSettings, Route


def host_table(
    pattern: str,
    settings: HostSettings,
    policies: Sequence[pb.Policy],
    candidates: Iterable[tuple[int, Route]],
    identity_headers: Iterable[str],
) -> pb.HostTable:
    """Put a table together. `candidates` come in walking order, each with the index of its policy."""
    paths, (scheme, port, host) = settings.paths, settings.origin
    table = pb.HostTable(
        pattern=pattern,
        path_matching=pb.PathMatching(
            ignore_case=paths.ignore_case,
            keep_encoded_slashes=paths.keep_encoded_slashes,
            drop_parameters=paths.drop_parameters,
        ),
        origin=pb.Origin(scheme=scheme, port=port, host=host),
        policies=policies,
        identity_headers=identity_headers,
    )
    if settings.allow_origins is not None:
        table.cors.allow_origins.extend(settings.allow_origins)
    for policy, route in candidates:
        table.candidates.add(
            path_type=route.key.shape.path_type,
            path=route.path,
            method=route.key.method,
            policy=policy,
            rule=route.rule,
        )
    return table
