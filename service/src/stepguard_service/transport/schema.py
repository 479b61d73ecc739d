"""What this version of the service understands of the messages of `policy.proto`."""

from collections.abc import Mapping
from typing import Final, TypeVar

from google.protobuf.message import Message

SCHEMA_VERSION: Final = 1
"""A snapshot with a larger `min_schema_version` is refused."""

_Number = TypeVar("_Number", bound=int)
_Meaning = TypeVar("_Meaning")


class NotUnderstoodError(Exception):
    """This version cannot tell what a message asks for. The text says what, for status and the log."""


def has_unknown(message: Message, *but: str) -> bool:
    """Whether there is a field that this version does not know, at any depth, outside the fields named in `but`."""
    copy = type(message)()
    copy.CopyFrom(message)
    for field in but:
        copy.ClearField(field)
    size = copy.ByteSize()
    copy.DiscardUnknownFields()
    return bool(copy.ByteSize() != size)


def chosen(meanings: Mapping[_Number, _Meaning], number: _Number, *, what: str) -> _Meaning:
    """What an enum number means.

    Raises:
        NotUnderstoodError: it is none of those that this version knows.
    """
    try:
        return meanings[number]
    except KeyError:
        raise NotUnderstoodError(f"{what} has a value that this version does not know") from None
