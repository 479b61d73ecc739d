"""What pydantic says about a spec, in the words of people who write policies."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stepguard_policy.resources.schema import PROBLEM, Model

_TYPES: Final = {
    "string_type": "a string (quote it)",
    "tuple_type": "a list",
    "model_type": "a map of fields",
    "model_attributes_type": "a map of fields",
    "dict_type": "a map of fields",
    "int_type": "a whole number",
    "bool_type": "true or false",
}


def describe(error: ValidationError, model: type[Model]) -> list[tuple[str, str]]:
    """Each problem as (path below the model, message); a path looks like `.rules[0].name`."""
    errors = error.errors(include_url=False)
    return [(_path(found["loc"]), _message(found, model)) for found in errors if not _follows(found, errors)]


def unknown_field(name: str, known: Iterable[str]) -> str:
    """That a field does not exist, and which one may have been meant."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return "unknown field" + (f", did you mean {close[0]}?" if close else "")


def _follows(found: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether it only says that a list is too short because its items, which were refused, do not count."""
    place = found["loc"]
    return found["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _message(found: ErrorDetails, model: type[Model]) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind == PROBLEM:
        return str(context["message"])
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return unknown_field(str(found["loc"][-1]), _fields(model, found["loc"][:-1]))
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}"
    return _bound(kind, context) or found["msg"]


def _bound(kind: str, context: Mapping[str, Any]) -> str | None:
    match kind:
        case "enum" | "literal_error":
            return f"must be {context['expected'].replace(chr(39), '')}"
        case "too_short":
            return f"must have at least {_items(context['min_length'])}"
        case "too_long":
            return f"must have at most {_items(context['max_length'])}, has {context['actual_length']}"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case _:
            return None


def _items(number: int) -> str:
    return f"{number} item" if number == 1 else f"{number} items"


def _fields(model: type[Model], location: tuple[int | str, ...]) -> Collection[str]:
    """Names of the fields, in the API's spelling, of the model at this place."""
    for part in location:
        if isinstance(part, str):
            inner = [field for field in model.model_fields.values() if field.alias == part]
            found = _model_in(inner[0].annotation) if inner else None
            if found is None:
                return ()
            model = found
    return [field.alias or "" for field in model.model_fields.values()]


def _model_in(annotation: Any) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
