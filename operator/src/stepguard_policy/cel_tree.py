"""The syntax tree of a type-checked CEL expression, read from the engine's own serialisation.

The engine hands out `google.protobuf.Any` of `cel.expr.CheckedExpr` and no tree. Its Python messages ship only with
packages that the operator does without, so the few fields that matter are read from the wire here; the field numbers
are those of cel/expr/checked.proto and syntax.proto.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a node is; the number is its field in cel.expr.Expr."""

    CONSTANT = 3
    IDENTIFIER = 4
    SELECT = 5
    CALL = 6
    LIST = 7
    STRUCT = 8
    LOOP = 9


@dataclass(frozen=True, slots=True)
class Node:
    """One expression. A LOOP is what the macros all, exists, exists_one, map and filter become.

    `name` is the identifier or the function; `text` a string constant. `children` are evaluated where the node is,
    `body` once for each iteration, with the element in the variable `name`.
    """

    kind: Kind
    name: str = ""
    text: str | None = None
    children: tuple["Node", ...] = ()
    body: tuple["Node", ...] = ()
    overloads: frozenset[str] = frozenset()

    def identifiers(self) -> Iterator[str]:
        """Names of all variables in it, those of loops too."""
        if self.kind is Kind.IDENTIFIER:
            yield self.name
        for part in (*self.children, *self.body):
            yield from part.identifiers()


@dataclass(slots=True)
class _Message:
    """The fields of one protobuf message, in order of appearance; groups and unknown wire types raise ValueError."""

    numbers: dict[int, int] = field(default_factory=dict)
    bytes_of: dict[int, list[bytes]] = field(default_factory=dict)

    def one(self, number: int) -> bytes:
        return self.bytes_of[number][-1] if number in self.bytes_of else b""

    def text(self, number: int) -> str:
        return self.one(number).decode()

    def all(self, number: int) -> list[bytes]:
        return self.bytes_of.get(number, [])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("truncated")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 the continuation bit
            return value, at


def _message(data: bytes) -> _Message:
    message, at = _Message(), 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                message.numbers[key >> 3], at = _varint(data, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(data, at)
                message.bytes_of.setdefault(key >> 3, []).append(data[at : at + length])
                at += length
            case 5:
                at += 4
            case _:
                raise ValueError("unknown wire type")
    if at != len(data):
        raise ValueError("truncated")
    return message


def read_tree(serialized: bytes) -> Node:
    """The tree of what `Expression.serialize()` returned. Raises ValueError where it is not of that form."""
    checked = _message(_message(serialized).one(2))
    overloads: dict[int, frozenset[str]] = {}
    for entry in map(_message, checked.all(2)):
        overloads[entry.numbers.get(1, 0)] = frozenset(name.decode() for name in _message(entry.one(2)).all(3))
    return _node(checked.one(4), overloads)


def _node(data: bytes, overloads: dict[int, frozenset[str]]) -> Node:
    expression = _message(data)
    kinds = [kind for kind in Kind if kind.value in expression.bytes_of]
    if len(kinds) != 1:
        raise ValueError("not one kind of expression")
    kind, inner = kinds[0], _message(expression.one(kinds[0].value))

    def nodes(*numbers: int) -> tuple[Node, ...]:
        return tuple(_node(part, overloads) for number in numbers for part in inner.all(number))

    match kind:
        case Kind.CONSTANT:
            return Node(kind, text=inner.text(6) if inner.all(6) else None)
        case Kind.IDENTIFIER:
            return Node(kind, inner.text(1))
        case Kind.SELECT:
            return Node(kind, inner.text(2), children=nodes(1))
        case Kind.CALL:
            called = overloads.get(expression.numbers.get(2, 0), frozenset())
            return Node(kind, inner.text(2), children=nodes(1, 3), overloads=called)
        case Kind.LIST:
            return Node(kind, children=nodes(1))
        case Kind.STRUCT:
            entries = [_message(entry) for entry in inner.all(2)]
            parts = [part for entry in entries for number in (3, 4) for part in entry.all(number)]
            return Node(kind, children=tuple(_node(part, overloads) for part in parts))
        case Kind.LOOP:
            return Node(kind, inner.text(1), children=nodes(2, 4, 7), body=nodes(5, 6))
