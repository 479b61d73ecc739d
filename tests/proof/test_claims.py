"""What counts as a number in claims, and what `cnf` binds a token to (RFC 7800)."""

from math import inf, nan
from typing import Final

import pytest
from stepguard_service.core.model import Binding
from stepguard_service.proof.claims import number, parse_binding


@pytest.mark.parametrize("value", [None, True, False, "1", [1], {}, nan, inf, -inf], ids=repr)
def test_no_number_is(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize("value", [0, -1, 1.5, 10**299], ids=repr)
def test_a_number_is(value: float) -> None:
    assert number(value) == value


NO_CNF: Final = object()
BINDINGS: Final[dict[str, tuple[object, Binding]]] = {
    "nothing": (NO_CNF, Binding()),
    "a key": ({"jkt": "J"}, Binding(jkt="J")),
    "a certificate": ({"x5t#S256": "X"}, Binding(x5t="X")),
    "both": ({"jkt": "J", "x5t#S256": "X"}, Binding(jkt="J", x5t="X")),
    "a key, beside what nobody knows": ({"jkt": "J", "kc-jkt-type": "DPoP"}, Binding(jkt="J")),
    "a key with an empty name": ({"jkt": ""}, Binding(jkt="")),
    "what nobody knows": ({"kid": "x"}, Binding(not_understood=True)),
    "nothing in an object": ({}, Binding(not_understood=True)),
    "null": (None, Binding(not_understood=True)),
    "text": ("J", Binding(not_understood=True)),
    "a list": ([{"jkt": "J"}], Binding(not_understood=True)),
    "a key that is a number": ({"jkt": 1}, Binding(not_understood=True)),
    "a key that is null": ({"jkt": None}, Binding(not_understood=True)),
    "a certificate that is a list": ({"x5t#S256": ["X"]}, Binding(not_understood=True)),
    "a good key and a bad certificate": ({"jkt": "J", "x5t#S256": 1}, Binding(not_understood=True)),
}


@pytest.mark.parametrize(("cnf", "binding"), BINDINGS.values(), ids=BINDINGS.keys())
def test_a_token_is_bound_to(cnf: object, binding: Binding) -> None:
    assert parse_binding({"sub": "alice"} if cnf is NO_CNF else {"cnf": cnf}) == binding
