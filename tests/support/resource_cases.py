"""Specs that are good and specs that are not: one table for the models and for a real API server.

Rules have their cases in tests/data/resources. Cases for mere bounds (lengths, counts, enums, types, required fields)
are made from the schema itself, so that no bound is without one.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from stepguard_policy.resources.crds import DEFINITIONS, Definition

DATA: Final = Path(__file__).parents[1] / "data" / "resources"

LEFT_OUT: Final = object()
"""In `changes`: remove the field."""

GOOD: Final[Mapping[str, Mapping[str, Any]]] = {
    "StepUpPolicy": {
        "hosts": ["api.example.com"],
        "issuerRefs": [{"name": "main"}],
        "rules": [{"name": "all", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}],
    },
    "TokenIssuer": {"issuer": "https://as.example", "audiences": ["https://api.example.com"]},
}
"""The smallest good spec of each kind."""


@dataclass(frozen=True, slots=True)
class Case:
    """One spec. `where` is the field that both complain about; `says` what both say, empty where their words differ."""

    name: str
    kind: str
    spec: Mapping[str, Any]
    where: str = ""
    says: str = ""


def changed(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a spec with fields such as `rules[0].name` set, or removed where the value is LEFT_OUT."""
    result: dict[str, Any] = copy.deepcopy(dict(spec))
    for path, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in re.findall(r"[A-Za-z0-9]+", path)]
        place: Any = result
        for parent in parents:
            place = place[parent] if isinstance(place, list) else place.setdefault(parent, {})
        if value is LEFT_OUT:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return result


def examples() -> list[str]:
    """The YAML of docs/resources.md."""
    page = (Path(__file__).parents[2] / "docs" / "resources.md").read_text(encoding="utf-8")
    return re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def accepted() -> tuple[Case, ...]:
    """What both must take, edges included."""
    longest = {"rules[0].when": "true".ljust(1024), "rules[0].matches[0].path.value": "/" + "a" * 1023}
    return (*_table("accepted.yaml"), Case("texts of 1 024 characters", "StepUpPolicy", _spec("StepUpPolicy", longest)))


def refused() -> tuple[Case, ...]:
    """What both must refuse, for the rules that are more than bounds."""
    return _table("refused.yaml")


def _table(file: str) -> tuple[Case, ...]:
    return tuple(
        Case(
            name=entry["case"],
            kind=entry["kind"],
            spec=_spec(entry["kind"], entry.get("set", {}) | dict.fromkeys(entry.get("remove", ()), LEFT_OUT)),
            where=entry.get("where", ""),
            says=entry.get("says", ""),
        )
        for entry in yaml.safe_load((DATA / file).read_text(encoding="utf-8"))
    )


def _spec(kind: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    return changed(GOOD[kind], changes)


def bounds() -> Iterator[Case]:
    """A case beyond each bound of the schema: lengths, counts, enums, numbers, types and required fields."""
    for definition in DEFINITIONS:
        schema = definition.to_object()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        yield from _beyond(definition, schema, "", _example(schema))


def _beyond(definition: Definition, schema: Mapping[str, Any], path: str, whole: Any) -> Iterator[Case]:
    if path:
        for name, value in _wrong_values(schema):
            yield _bound_case(definition, whole, path, f"{path} {name}", value)
    for name, inner in schema.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        if name in schema.get("required", ()):
            yield _bound_case(definition, whole, place, f"{place} left out", LEFT_OUT)
        yield from _beyond(definition, inner, place, whole)
    if "items" in schema:
        yield from _beyond(definition, schema["items"], f"{path}[0]", whole)


def _bound_case(definition: Definition, whole: Any, where: str, name: str, value: Any) -> Case:
    return Case(f"{definition.kind} {name}", definition.kind, changed(whole, {where: value}), where)


def _wrong_values(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    match schema["type"]:
        case "string":
            yield "of another type", 7
            if "maxLength" in schema:
                yield f"longer than {schema['maxLength']}", "a" * (schema["maxLength"] + 1)
            if "minLength" in schema:
                yield "empty", ""
            if "enum" in schema:
                yield "outside its values", "Nonsense"
        case "array":
            yield "of another type", "text"
            yield f"with more than {schema['maxItems']} items", [_example(schema["items"])] * (schema["maxItems"] + 1)
            if "minItems" in schema:
                yield "without items", []
        case "integer":
            yield "of another type", "7"
            yield "too large", schema["maximum"] + 1
            yield "too small", schema["minimum"] - 1
        case kind:
            yield "of another type", "true" if kind == "boolean" else ["text"]


def _example(schema: Mapping[str, Any]) -> Any:
    """A value with every field in it and of the right types; the rules in CEL need not like it."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {name: _example(inner) for name, inner in schema["properties"].items()}
        case "array":
            return [_example(schema["items"])]
        case "integer":
            return schema["minimum"]
        case "boolean":
            return True
        case _:
            return "a"
