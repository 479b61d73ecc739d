"""Who is active: the Lease judged, taken, renewed and released."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_operator.lease import (
    LEASE_SECONDS,
    Lease,
    Step,
    lease_object,
    micro_time,
    next_step,
    parse_lease,
    released,
    renewed,
    taken,
)

OURS, THEIRS = Lease("me", 1000, 1), Lease("other", 1000, 1)

STEPS = {
    "no Lease at all is taken": (None, 0.0, Step.TAKE),
    "a released Lease is taken": (released(THEIRS, now=2000), 0.0, Step.TAKE),
    "our own Lease is renewed": (OURS, 100.0, Step.RENEW),
    "another's Lease is left alone while it changes": (THEIRS, 14.0, Step.WAIT),
    "another's Lease is left alone for as long as it lasts": (THEIRS, float(LEASE_SECONDS), Step.WAIT),
    "another's Lease that nobody renewed for longer is taken": (THEIRS, 15.1, Step.TAKE),
}


@pytest.mark.parametrize("case", STEPS.values(), ids=STEPS.keys())
def test_next_step(case: tuple[Lease | None, float, Step]) -> None:
    lease, unchanged_for, expected = case
    assert next_step(lease, identity="me", unchanged_for=unchanged_for) is expected


@given(now=st.integers(0, 4 * 10**15), earlier=st.integers(0, 4 * 10**15))
def test_the_epoch_grows_with_every_take_over_whatever_the_clocks_say(now: int, earlier: int) -> None:
    assert taken(Lease("other", earlier, 3), identity="me", now=now).acquired == max(now, earlier + 1)


def test_a_take_over_counts_and_a_renewal_does_not() -> None:
    mine = taken(THEIRS, identity="me", now=5000)
    assert (mine.holder, mine.transitions, mine.acquired) == ("me", 2, 5000)
    later = renewed(mine, now=9000)
    assert (later.holder, later.transitions, later.acquired, later.renewed) == ("me", 2, 5000, micro_time(9000))


def test_the_first_take_over_starts_with_the_clock() -> None:
    assert taken(None, identity="me", now=7000).acquired == 7000


def test_the_epoch_survives_a_release() -> None:
    assert taken(released(OURS, now=1500), identity="next", now=10).acquired == 1001


@given(st.integers(0, 4 * 10**15))
def test_microseconds_survive_the_api(now: int) -> None:
    lease = taken(None, identity="me", now=now)
    again = parse_lease(lease_object(lease, "ns"))
    assert (again.holder, again.acquired, again.renewed) == ("me", now, micro_time(now))


@pytest.mark.parametrize("spec", [None, {}, {"acquireTime": "yesterday"}, {"acquireTime": "2020-01-01T00:00:00"}])
def test_a_lease_that_somebody_wrote_by_hand_is_released_and_old(spec: dict[str, str] | None) -> None:
    lease = parse_lease({"metadata": {"name": "x"}, "spec": spec})
    assert (lease.holder, lease.acquired) == ("", 0)
