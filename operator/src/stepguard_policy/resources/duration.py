"""Durations as people write them in policies (GEP-2257, whole seconds) and as the program counts them (int seconds)."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from stepguard_policy.resources.schema import VALIDATIONS, problem, quote

PATTERN = "([0-9]{1,5}(h|m|s)){1,3}"
MAX_LENGTH = 18
"""Three numbers of five digits, each with its unit."""

_LARGEST_NUMBER = 99_999
_WHOLE = re.compile(PATTERN)
_PART = re.compile(r"([0-9]{1,5})([hms])")
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> int | None:
    """Seconds in a duration such as `300s`, `5m` or `1h30m`; None where it is not one."""
    if not _WHOLE.fullmatch(text):
        return None
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: int) -> str:
    """0 → `0s`, 60 → `60s`, 300 → `5m`, 7200 → `2h`, 5430 → `5430s`; `parse_duration` reads it back up to 99999h."""
    if seconds <= 90:  # noqa: PLR2004 people write 60s and 90s, but 2m
        return f"{seconds}s"
    for unit in ("h", "m", "s"):
        number, rest = divmod(seconds, _SECONDS[unit])
        if rest == 0 and number <= _LARGEST_NUMBER:
            return f"{number}{unit}"
    hours, rest = divmod(seconds, 3600)
    return f"{hours}h{rest // 60}m{rest % 60}s"


@dataclass(frozen=True, slots=True)
class Duration:
    """For `Annotated[int, Duration(...)]`: a string outside, whole seconds inside, bounds included in both halves."""

    at_least: str
    at_most: str = "99999h"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take the string apart; write it out again in JSON."""
        return core_schema.no_info_after_validator_function(
            self._parse,
            core_schema.str_schema(strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(format_duration, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A string, its bounds checked by CEL."""
        bounds = (
            f"self.matches({quote(f'^{PATTERN}$')})",
            f"duration(self) >= duration({quote(self.at_least)})",
            f"duration(self) <= duration({quote(self.at_most)})",
        )
        rule = {"rule": " && ".join(bounds), "message": self.message}
        return {"type": "string", "maxLength": MAX_LENGTH, VALIDATIONS: [rule]}

    @property
    def message(self) -> str:
        """What is said about anything else."""
        bounds = f"between {self.at_least} and {self.at_most}"
        return f"must be a duration in whole seconds, such as 300s, 5m or 1h30m, {bounds}"

    def _parse(self, text: str) -> int:
        seconds, at_least, at_most = map(parse_duration, (text, self.at_least, self.at_most))
        if seconds is None or at_least is None or at_most is None or not at_least <= seconds <= at_most:
            raise problem(self.message)
        return seconds
