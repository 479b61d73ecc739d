"""When changes are compiled: once they pause, and soon enough when they do not."""

import pytest
from stepguard_operator.debounce import Debounce


def test_nothing_is_due_before_a_change() -> None:
    assert Debounce().due is None


def test_one_change_is_due_after_a_short_quiet() -> None:
    assert Debounce().touched(10.0).due == pytest.approx(10.05)


def test_each_further_change_postpones_it() -> None:
    assert Debounce().touched(10.0).touched(10.04).due == pytest.approx(10.09)


def test_a_run_of_changes_waits_no_longer_than_a_quarter_of_a_second() -> None:
    waiting = Debounce()
    for hundredth in range(30):
        waiting = waiting.touched(10.0 + hundredth / 100)
    assert waiting.due == pytest.approx(10.25)
