"""From the plain data of one object to a Resource; everything that is wrong with it becomes a Problem."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from stepguard_policy.messages import describe, unknown_field
from stepguard_policy.resources.issuer import TokenIssuerSpec
from stepguard_policy.resources.objects import (
    API_VERSION,
    Accepted,
    IssuerResource,
    PolicyResource,
    Problem,
    Resource,
    Source,
)
from stepguard_policy.resources.policy import StepUpPolicySpec
from stepguard_policy.resources.schema import Model

KINDS: Final = ("StepUpPolicy", "TokenIssuer")
DEFAULT_NAMESPACE: Final = "default"

_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_NAME_LENGTH = 253
_LABEL_LENGTH = 63

_MEMBERS = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_METADATA = frozenset(
    {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


def parse_document(value: object, source: Source, position: tuple[str, int]) -> tuple[Resource | None, list[Problem]]:
    """A document of a file: `status` and all metadata but name, namespace and creationTimestamp are ignored.

    The resource is None where the document cannot be named; its spec is None where that is invalid.
    """
    return _Parser(source).resource(value, position, from_api=False)


def parse_object(value: Mapping[str, Any], *, source: Source | None = None) -> Resource | tuple[Problem, ...]:
    """An object of the Kubernetes API; problems only where it is not one of our kinds or has no name.

    An invalid spec gives a resource whose `spec` is None and whose `spec_problems` say why. Never raises.
    """
    resource, problems = _Parser(source).resource(value, ("", 0), from_api=True)
    return resource if resource is not None else tuple(problems)


class _Parser:
    def __init__(self, source: Source | None) -> None:
        self._source = source
        self._problems: list[Problem] = []

    def resource(
        self, value: object, position: tuple[str, int], *, from_api: bool
    ) -> tuple[Resource | None, list[Problem]]:
        """The resource and every problem, those of its spec too."""
        if not isinstance(value, Mapping):
            self._complain("", f"is not an object: expected apiVersion, kind ({' or '.join(KINDS)}), metadata and spec")
            return None, self._problems
        kind = self._kind(value)
        metadata = value.get("metadata")
        if kind is None or not isinstance(metadata, Mapping):
            if kind is not None:
                self._complain("metadata", "is required: a map with name" if metadata is None else "must be a map")
            return None, self._problems
        if not from_api:
            self._refuse_unknown("", value, _MEMBERS)
            self._refuse_unknown("metadata", metadata, _METADATA)
        name = self._name(metadata)
        namespace = self._namespace(kind, metadata)
        created = self._created(metadata)
        spec, spec_problems = self._spec(kind, value)
        if name is None or namespace is None:
            return None, [*self._problems, *spec_problems]
        common: dict[str, Any] = {
            "name": name,
            "namespace": namespace,
            "created": created,
            "spec": spec,
            "spec_problems": spec_problems,
            "source": self._source,
            "position": position,
        }
        if from_api:
            common |= {
                "generation": _whole(metadata.get("generation")),
                "uid": str(metadata.get("uid") or ""),
                "accepted": _accepted(kind, value),
            }
        resource: Resource = PolicyResource(**common) if kind == "StepUpPolicy" else IssuerResource(**common)
        return resource, [*self._problems, *spec_problems]

    def _kind(self, value: Mapping[Any, Any]) -> str | None:
        kind, version = value.get("kind"), value.get("apiVersion")
        if kind not in KINDS:
            said = "is required" if kind is None else f"{_shown(kind)} is none of ours"
            self._complain("kind", f"{said}: expected {' or '.join(KINDS)}")
            return None
        if version != API_VERSION:
            self._complain("apiVersion", f"must be {API_VERSION}" + (f", not {_shown(version)}" if version else ""))
            return None
        return str(kind)

    def _name(self, metadata: Mapping[Any, Any]) -> str | None:
        name = metadata.get("name")
        if isinstance(name, str) and len(name) <= _NAME_LENGTH and _SUBDOMAIN.fullmatch(name):
            return name
        said = "is required" if name is None else f"{_shown(name)} is not the name of an object"
        self._complain("metadata.name", f"{said}: lower-case letters, digits, dashes and dots")
        return None

    def _namespace(self, kind: str, metadata: Mapping[Any, Any]) -> str | None:
        namespace = metadata.get("namespace")
        if kind == "TokenIssuer":
            if namespace is not None:
                self._complain("metadata.namespace", "must be left out: TokenIssuers belong to no namespace")
            return ""
        if namespace is None:
            return DEFAULT_NAMESPACE
        if isinstance(namespace, str) and len(namespace) <= _LABEL_LENGTH and re.fullmatch(_LABEL, namespace):
            return namespace
        self._complain(
            "metadata.namespace",
            f"{_shown(namespace)} is not the name of a namespace: lower-case letters, digits and dashes",
        )
        return None

    def _created(self, metadata: Mapping[Any, Any]) -> float | None:
        written = metadata.get("creationTimestamp")
        if written is None:
            return None
        if isinstance(written, str) and _TIMESTAMP.fullmatch(written):
            try:
                return datetime.fromisoformat(written).timestamp()
            except (ValueError, OverflowError):
                pass
        self._complain("metadata.creationTimestamp", f"{_shown(written)} is not a time such as 2025-01-31T10:00:00Z")
        return None

    def _spec(self, kind: str, value: Mapping[Any, Any]) -> tuple[Model | None, tuple[Problem, ...]]:
        spec = value.get("spec")
        if not isinstance(spec, Mapping):
            return None, (self._problem("spec", "is required" if spec is None else "must be a map of fields"),)
        empty = dict.fromkeys(_empty_fields("spec", spec), "is empty: give it a value or leave it out")
        try:
            valid = _model(kind).model_validate(spec)
        except ValidationError as error:
            said = [(f"spec{path}", message) for path, message in describe(error, _model(kind))]
        else:
            if not empty:
                return valid, ()
            said = []
        found = [*empty.items(), *((path, message) for path, message in said if path not in empty)]
        return None, tuple(self._problem(path, message) for path, message in found)

    def _refuse_unknown(self, path: str, found: Mapping[Any, Any], known: frozenset[str]) -> None:
        for key in found:
            if key not in known:
                self._complain(f"{path}.{key}" if path else str(key), unknown_field(str(key), known))

    def _complain(self, path: str, message: str) -> None:
        self._problems.append(self._problem(path, message))

    def _problem(self, path: str, message: str) -> Problem:
        if self._source is None:
            return Problem("", 0, path, message)
        return Problem(self._source.file, self._source.line_of(path), path, message)


def _model(kind: str) -> type[StepUpPolicySpec] | type[TokenIssuerSpec]:
    return StepUpPolicySpec if kind == "StepUpPolicy" else TokenIssuerSpec


def _empty_fields(path: str, value: object) -> Iterator[str]:
    """Fields that are null: the API server drops them unseen, and a forgotten `require:` would ask for nothing."""
    match value:
        case None:
            yield path
        case Mapping():
            for name, inner in value.items():
                yield from _empty_fields(f"{path}.{name}", inner)
        case list():
            for index, inner in enumerate(value):
                yield from _empty_fields(f"{path}[{index}]", inner)
        case _:
            pass


def _accepted(kind: str, value: Mapping[Any, Any]) -> Accepted[Any] | None:
    """`status.accepted`, None where there is none or its spec is not valid (any more)."""
    status = value.get("status")
    accepted = status.get("accepted") if isinstance(status, Mapping) else None
    if not isinstance(accepted, Mapping) or not isinstance(accepted.get("spec"), Mapping):
        return None
    try:
        spec = _model(kind).model_validate(accepted["spec"])
    except ValidationError:
        return None
    return Accepted(_whole(accepted.get("generation")), spec)


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _shown(value: object) -> str:
    return repr(value)[:80]
