"""From pydantic's JSON Schema to the structural schemas that CustomResourceDefinitions are made of.

No references, no `anyOf`, no titles; optional means left out, never null.
"""

from collections.abc import Mapping
from typing import Any, Final

from stepguard_policy.resources.duration import format_duration
from stepguard_policy.resources.schema import LIST_MAP_KEYS, LIST_TYPE, VALIDATIONS, Model

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "required",
    "properties",
    "items",
    "x-kubernetes-preserve-unknown-fields",
    LIST_TYPE,
    LIST_MAP_KEYS,
    VALIDATIONS,
)
"""In the order in which they are written."""

_DROPPED: Final = frozenset({"title", "additionalProperties", "$defs"})


def structural_schema(model: type[Model]) -> dict[str, Any]:
    """The schema of a model. Raises ValueError where a model uses what structural schemas do not have."""
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}))


def _convert(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    flat = _flatten(schema, definitions)
    unknown = set(flat) - set(_KEPT) - _DROPPED
    if unknown:
        raise ValueError(f"no place in a structural schema for {sorted(unknown)}: {flat}")
    result: dict[str, Any] = {}
    for keyword in _KEPT:
        if keyword in flat and (keyword != "default" or flat[keyword] is not None):
            result[keyword] = _keyword(keyword, flat, definitions)
    return result


def _keyword(keyword: str, flat: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    value = flat[keyword]
    match keyword:
        case "description":
            return " ".join(value.split())
        case "properties":
            return {name: _convert(inner, definitions) for name, inner in value.items()}
        case "items":
            return _convert(value, definitions)
        case "default":
            return _default(value, flat["type"])
        case _:
            return list(value) if isinstance(value, tuple) else value


def _default(value: Any, kind: str) -> Any:
    """Defaults as the API takes them: durations written out, objects empty so that their own defaults fill them."""
    if kind == "object":
        return {}
    if kind == "string" and isinstance(value, int):
        return format_duration(value)
    return value


def _flatten(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Without references, optional values and constants; what stands beside a reference wins over what it names."""
    flat = dict(schema)
    if "$ref" in flat:
        target = definitions[flat.pop("$ref").removeprefix("#/$defs/")]
        flat = _flatten(target, definitions) | flat
    if "anyOf" in flat:
        (inner,) = (option for option in flat.pop("anyOf") if option != {"type": "null"})
        flat = _flatten(inner, definitions) | flat
    if "const" in flat:
        flat["enum"] = [flat.pop("const")]
    return flat
