"""What a model says to Kubernetes beside its types: CEL rules, each with the Python check that mirrors it.

A rule exists twice, as CEL for the API server and as Python for files and `stepguard lint`, so both halves stand side
by side, and one table of cases in the tests drives both.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import override

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"

PROBLEM = "stepguard"
"""The type of every pydantic error whose message is ours."""

_Method = TypeVar("_Method", bound=Callable[[Any], bool])


def quote(text: str) -> str:
    """The CEL string literal of a text."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def problem(message: str) -> PydanticCustomError:
    """A pydantic error that says exactly this."""
    return PydanticCustomError(PROBLEM, "{message}", {"message": message})


@dataclass(frozen=True, slots=True)
class Cel:
    """A rule on a whole object; `field` names the field it is about, in the API's spelling."""

    rule: str
    message: str
    field: str = ""

    def to_object(self) -> dict[str, str]:
        """The entry in `x-kubernetes-validations`."""
        where = {"fieldPath": f".{self.field}"} if self.field else {}
        return {"rule": self.rule, "message": self.message, **where}


def cel(rule: str, message: str, *, about: str = "") -> Callable[[_Method], _Method]:
    """Mark a method without arguments as the Python half of a CEL rule on its model: True means good."""

    def mark(method: _Method) -> _Method:
        method.__dict__["cel"] = Cel(rule, message, about)
        return method

    return mark


class Model(BaseModel):
    """A part of a custom resource: immutable, camelCase outside, unknown fields refused, rules checked."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        validate_default=False,
        hide_input_in_errors=True,
    )

    rules_of_model: ClassVar[tuple[tuple[Cel, Callable[[Any], bool]], ...]] = ()

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        marked = [member for member in vars(cls).values() if callable(member) and hasattr(member, "cel")]
        cls.rules_of_model = tuple((member.cel, member) for member in marked)

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        broken = [rule for rule, holds in self.rules_of_model if not holds(self)]
        if broken:
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(
                        type=problem(rule.message), loc=tuple(filter(None, rule.field.split("."))), input=None
                    )
                    for rule in broken
                ],
            )
        return self

    @classmethod
    @override
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.rules_of_model:
            schema[VALIDATIONS] = [rule.to_object() for rule, _ in cls.rules_of_model]
        return schema

    def to_object(self) -> dict[str, Any]:
        """The object as the API server would hold it, defaults filled in; durations in their shortest spelling."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Check:
    """A rule on one value, for use in `Annotated`: as CEL with `self`, and as Python."""

    rule: str
    message: str
    holds: Callable[[Any], bool]
    keywords: tuple[tuple[str, object], ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after the type."""
        return core_schema.no_info_after_validator_function(self._keep, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rule to the schema."""
        schema = handler(core)
        if self.rule:
            schema.setdefault(VALIDATIONS, []).append({"rule": self.rule, "message": self.message})
        schema.update(self.keywords)
        return schema

    def _keep(self, value: Any) -> Any:
        if not self.holds(value):
            raise problem(self.message)
        return value


def matching(pattern: str, message: str) -> Check:
    """A string that matches a whole pattern (the common ground of RE2 and `re`)."""
    compiled = re.compile(pattern)
    return Check(f"self.matches({quote(f'^(?:{pattern})$')})", message, lambda text: bool(compiled.fullmatch(text)))


SET = Check("", "items must be unique", lambda items: len(set(items)) == len(items), ((LIST_TYPE, "set"),))
"""A list of scalars without duplicates, merged item by item by server-side apply."""

ATOMIC = Check("", "", lambda _: True, ((LIST_TYPE, "atomic"),))
"""A list in which order counts, replaced as a whole."""


def map_by(key: str) -> Check:
    """A list of objects with a unique key, merged by it in server-side apply."""
    return Check(
        "",
        f"items must have unique values of {key}",
        lambda items: len({getattr(item, key) for item in items}) == len(items),
        ((LIST_TYPE, "map"), (LIST_MAP_KEYS, (key,))),
    )
