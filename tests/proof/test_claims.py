"""What counts as a number in claims."""

from math import inf, nan

import pytest
from stepguard_service.proof.claims import number


@pytest.mark.parametrize("value", [None, True, False, "1", [1], {}, nan, inf, -inf], ids=repr)
def test_no_number_is(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize("value", [0, -1, 1.5, 10**299], ids=repr)
def test_a_number_is(value: float) -> None:
    assert number(value) == value
