"""What we believe exists, whichever of watch, list and answers spoke last."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepguard_operator.store import Change, Objects

NOTHING, SEEN, COMPILE = Change(), Change(any=True), Change(any=True, compiled=True)


def obj(name: str, version: int | str, value: int = 0, **status: Any) -> dict[str, Any]:
    """An object of namespace `ns`."""
    metadata = {"namespace": "ns", "name": name, "resourceVersion": str(version), "managedFields": [1]}
    return {"metadata": metadata, "spec": value, "status": status}


def objects() -> Objects[int]:
    """A store whose compiler sees the spec alone."""
    return Objects(lambda raw, _: int(raw["spec"]))


def names(store: Objects[int]) -> set[str]:
    """Of everything in it."""
    return {stored.metadata["name"] for stored in store}


def test_a_new_object_has_to_be_compiled() -> None:
    assert objects().seen(obj("a", 1)) == COMPILE


def test_a_status_alone_is_seen_and_not_compiled() -> None:
    store = objects()
    store.seen(obj("a", 1))
    assert store.seen(obj("a", 2, rules=1)) == SEEN


def test_an_older_word_about_an_object_changes_nothing() -> None:
    store = objects()
    store.seen(obj("a", 5, value=2))
    assert store.seen(obj("a", 4, value=1)) == NOTHING
    assert store.seen(obj("a", 5, value=1)) == NOTHING


def test_a_list_removes_what_it_lacks() -> None:
    store = objects()
    store.seen(obj("a", 1))
    store.seen(obj("b", 2))
    assert store.replace([obj("b", 2)], "9") == COMPILE
    assert names(store) == {"b"}


def test_a_list_does_not_remove_what_was_created_after_it_was_made() -> None:
    store = objects()
    store.seen(obj("a", 12))
    store.replace([], "10")
    assert names(store) == {"a"}


def test_a_deleted_object_does_not_come_back_through_an_older_list() -> None:
    store = objects()
    store.seen(obj("a", 1))
    assert store.gone(obj("a", 11)) == COMPILE
    store.replace([obj("a", 1)], "10")
    assert names(store) == set()


def test_an_object_that_was_created_again_is_back() -> None:
    store = objects()
    store.gone(obj("a", 11))
    store.seen(obj("a", 12))
    assert names(store) == {"a"}


def test_a_late_word_of_a_deletion_does_not_remove_a_newer_object() -> None:
    store = objects()
    store.seen(obj("a", 12))
    assert store.gone(obj("a", 11)) == NOTHING


def test_the_same_list_twice_changes_nothing_the_second_time() -> None:
    store = objects()
    store.replace([obj("a", 1)], "5")
    assert store.replace([obj("a", 1)], "6") == NOTHING


def test_the_first_list_counts_even_when_it_is_empty() -> None:
    store = objects()
    assert not store.listed
    assert store.replace([], "1") == COMPILE
    assert store.listed


@pytest.mark.parametrize("version", ["", "v1", "12x"])
def test_where_a_version_is_no_number_the_last_word_wins(version: str) -> None:
    store = objects()
    store.seen(obj("a", version, value=1))
    assert store.seen(obj("a", version, value=2)) == COMPILE
    store.replace([], version)
    assert names(store) == set()


def test_managed_fields_are_not_kept() -> None:
    store = objects()
    store.seen(obj("a", 1))
    stored = store.get(("ns", "a"))
    assert stored is not None
    assert "managedFields" not in stored.metadata


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12)


@given(history=STEPS, data=st.data())
def test_in_whatever_order_words_arrive_the_end_of_the_history_is_what_is_believed(
    history: list[tuple[str, bool]], data: st.DataObject
) -> None:
    """Each step creates or deletes one object; a list of some moment in between may arrive at any later time.

    Versions begin at 1, where nothing exists yet: 0 is what the store takes for none.
    """
    moment = data.draw(st.integers(0, len(history)))
    states: list[dict[str, int]] = [{}]
    for version, (name, exists) in enumerate(history, start=2):
        state = {key: value for key, value in states[-1].items() if key != name}
        states.append({**state, name: version} if exists else state)
    listed = [obj(name, version) for name, version in states[moment].items()]
    arrival = data.draw(st.integers(moment, len(history)))
    store = objects()
    for version, (name, exists) in enumerate(history, start=2):
        if version - 2 == arrival:
            store.replace(listed, str(moment + 1))
        store.seen(obj(name, version)) if exists else store.gone(obj(name, version))
    if arrival == len(history):
        store.replace(listed, str(moment + 1))
    assert names(store) == set(states[-1])
