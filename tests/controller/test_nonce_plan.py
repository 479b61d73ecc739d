"""Rotation of nonce keys: at no moment is there a replica that cannot check what another one signed."""

from collections.abc import Mapping
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from stepguard_operator.nonce_plan import DROPPED_SECONDS, KEYS, ROTATION_SECONDS, next_nonce_keys
from stepguard_operator.replicas import Fleet, ReplicaReport
from stepguard_policy.nonce_keys import key_id, parse_nonce_keys, render_nonce_keys

START = 1_900_000_000
NOBODY = Fleet()
_numbers = count(1)


def make_key() -> bytes:
    """A key that is like no other."""
    return next(_numbers).to_bytes(32, "big")


def step(data: Mapping[str, bytes], now: int, fleet: Fleet = NOBODY) -> Mapping[str, bytes]:
    """One look."""
    return next_nonce_keys(data, fleet, now, make_key)


def keys(data: Mapping[str, bytes]) -> tuple[bytes, ...]:
    """Of the Secret, the signing one first."""
    found = parse_nonce_keys(data[KEYS].decode())
    assert isinstance(found, tuple)
    return found


def holding(*held: tuple[bytes, ...], silent: tuple[str, ...] = (), awaited: tuple[str, ...] = ()) -> Fleet:
    """Replicas that hold these keys."""
    reports = {
        f"pod-{index}": ReplicaReport(name=f"pod-{index}", boot_id="b", nonce_key_ids=tuple(map(key_id, one)))
        for index, one in enumerate(held)
    }
    return Fleet(reports, silent, awaited)


def test_an_empty_secret_gets_one_key() -> None:
    assert len(keys(step({}, START))) == 1


def test_a_key_signs_for_a_day() -> None:
    first = step({}, START)
    assert step(first, START + ROTATION_SECONDS - 1) == first


def test_then_a_new_key_is_appended_and_does_not_sign_yet() -> None:
    first = step({}, START)
    second = step(first, START + ROTATION_SECONDS)
    assert keys(second)[:1] == keys(first)
    assert len(keys(second)) == 2


def test_the_new_key_signs_once_every_replica_reports_it() -> None:
    first = step({}, START)
    second = step(first, START + ROTATION_SECONDS)
    now = START + ROTATION_SECONDS + 60
    assert step(second, now, holding(keys(second), keys(first))) == second
    third = step(second, now, holding(keys(second), keys(second)))
    assert keys(third) == tuple(reversed(keys(second)))


def test_a_replica_that_is_silent_or_awaited_holds_the_rotation_up() -> None:
    second = step(step({}, START), START + ROTATION_SECONDS)
    now = START + ROTATION_SECONDS + 60
    assert step(second, now, holding(keys(second), silent=("pod-9",))) == second
    assert step(second, now, holding(keys(second), awaited=("pod-9",))) == second
    assert step(second, now, Fleet(settled=False)) == second


def test_the_old_key_goes_310_seconds_after_every_replica_signs_with_the_new_one() -> None:
    second = step(step({}, START), START + ROTATION_SECONDS)
    now = START + ROTATION_SECONDS + 60
    third = step(second, now, holding(keys(second)))
    assert step(third, now + DROPPED_SECONDS, holding(keys(second))) == third
    fourth = step(third, now + 1000, holding(keys(third)))
    assert keys(fourth) == keys(third)
    assert step(fourth, now + 1000 + DROPPED_SECONDS - 1, holding(keys(third))) == fourth
    assert keys(step(fourth, now + 1000 + DROPPED_SECONDS, holding(keys(third)))) == keys(third)[:1]


def test_a_key_that_somebody_wrote_by_hand_is_kept_and_rotated_from_now_on() -> None:
    by_hand = {KEYS: render_nonce_keys([b"k" * 32]).encode()}
    taken = step(by_hand, START)
    assert keys(taken) == (b"k" * 32,)
    assert len(keys(step(taken, START + ROTATION_SECONDS))) == 2


def test_what_is_no_list_of_keys_is_replaced() -> None:
    assert len(keys(step({KEYS: b"\xff nonsense", "rotation": b"[["}, START))) == 1


@settings(max_examples=50, deadline=None)
@given(delays=st.lists(st.integers(0, 3), min_size=2, max_size=4), looks=st.integers(50, 300))
def test_every_replica_can_check_what_any_other_signs_at_every_moment(delays: list[int], looks: int) -> None:
    """Each replica learns of the Secret some looks later, and reports what it has at the next one."""
    history: list[tuple[bytes, ...]] = []
    data: Mapping[str, bytes] = {}
    fleet = NOBODY
    for look in range(looks):
        data = step(data, START + look * 3600, fleet)
        history.append(keys(data))
        held = [history[max(0, len(history) - 1 - delay)] for delay in delays]
        fleet = holding(*held)
        for signer in held:
            assert all(signer[0] in checker for checker in held)
