"""The keys of issuers over time, in simulated time: no server, no clock."""

import threading
from functools import cache

import pytest
from stepguard_service.core.keys import KeySet, PublicKey
from stepguard_service.core.model import Discovery, InlineKeys, Issuer, JwksUri, Rejected
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import KeysLooked, Unavailable
from stepguard_service.stores.keys import FetchedKeys, KeySource, KeyStore, SourceKind

START = 1000.0
HOUR = 3600.0
URI = JwksUri("https://as.example/jwks", 600)
OLD = KeySet("old", ())
NEW = KeySet("new", ())


def issuer(name: str = "main", keys: InlineKeys | JwksUri | Discovery = URI, ca_bundle: str = "") -> Issuer:
    return Issuer(
        name=name,
        hash=f"hash of {name}",
        issuer="https://as.example",
        audiences=frozenset({"api"}),
        keys=keys,
        algorithms=frozenset({"ES256"}),
        token_types=frozenset({"at+jwt"}),
        clock_skew=5,
        required_claims=("exp", "sub"),
        ca_bundle=ca_bundle,
    )


def parse(document: bytes) -> KeySet | Rejected:
    if document == b"bad":
        return Rejected(Reason.KEYS_UNAVAILABLE, "not a JWK Set")
    return KeySet(document.decode(), (), problems=("keys[0]: unknown kty",))


def key(kid: str) -> PublicKey:
    return PublicKey(thumbprint=kid, algorithms=frozenset({"ES256"}), verify=lambda *_: False, kid=kid)


def fetched(interval: int = 600) -> FetchedKeys:
    return FetchedKeys(KeySource(SourceKind.URI, "https://as.example/jwks", ""), interval, START)


def succeed(held: FetchedKeys, now: float, keys: KeySet = OLD, fresh_for: int | None = None) -> None:
    held.succeeded(keys, now, fresh_for=fresh_for, spread=0.0)


# --- one source -------------------------------------------------------------------------------------------------------


def test_the_first_fetch_is_due_at_once() -> None:
    assert fetched().due == START


@pytest.mark.parametrize(
    ("interval", "fresh_for", "expected"),
    [
        pytest.param(600, None, 600, id="without Cache-Control the interval counts"),
        pytest.param(600, 120, 120, id="Cache-Control shortens it"),
        pytest.param(600, 0, 60, id="but not below a minute"),
        pytest.param(600, 86400, 600, id="and never lengthens it"),
        pytest.param(60, 0, 60, id="the shortest interval stays"),
    ],
)
def test_a_refresh_is_due_after_the_interval_or_what_cache_control_says(
    interval: int, fresh_for: int | None, expected: int
) -> None:
    held = fetched(interval)
    succeed(held, START, fresh_for=fresh_for)
    assert held.due == START + expected


def test_replicas_refresh_at_different_times_and_never_late() -> None:
    dues = set()
    for spread in (0.0, 0.5, 0.999):
        held = fetched()
        held.succeeded(OLD, START, fresh_for=None, spread=spread)
        dues.add(held.due)
        assert START + 540 <= held.due <= START + 600
    assert len(dues) == 3


def test_keys_stay_for_24_hours_after_the_last_success_and_not_longer() -> None:
    held = fetched()
    succeed(held, START)
    held.failed("down", START + 24 * HOUR, spread=0.0)
    assert held.keys is OLD
    held.failed("down", START + 24 * HOUR + 1, spread=0.0)
    assert held.keys is None


def test_failures_are_retried_ever_less_often_within_bounds() -> None:
    held = fetched()
    pauses = []
    for _ in range(8):
        held.failed("down", START, spread=1.0)
        pauses.append(held.due - START)
    assert pauses == [1, 2, 4, 8, 10, 10, 10, 10]


def test_with_older_keys_to_serve_it_is_asked_less_often() -> None:
    held = fetched()
    succeed(held, START)
    for _ in range(20):
        held.failed("down", START, spread=1.0)
    assert held.due == START + 60


def test_a_success_forgets_the_failures() -> None:
    held = fetched()
    held.failed("down", START, spread=1.0)
    succeed(held, START)
    assert (held.error, held.age(START + 5)) == ("", 5)


def test_equal_keys_keep_their_identity() -> None:
    """What was cached under them stays valid over a refresh that changes nothing."""
    held = fetched()
    succeed(held, START, OLD)
    succeed(held, START + 600, KeySet("old", ()))
    assert held.keys is OLD


def test_before_the_first_fetch_ended_requests_wait_for_it() -> None:
    held = fetched()
    assert held.answer(None, START) is None
    assert held.answer("a", START) is None


def test_without_keys_requests_wait_only_while_a_fetch_is_under_way() -> None:
    held = fetched()
    held.failed("down", START, spread=0.0)
    assert held.answer(None, START) == Unavailable("down")
    held.fetching = True
    assert held.answer(None, START) is None


def test_known_keys_need_no_wait() -> None:
    held = fetched()
    succeed(held, START, KeySet("1", (key("a"),)))
    assert held.answer(None, START) == KeysLooked()
    assert held.answer("a", START) == KeysLooked()


def test_unknown_kids_cause_one_fetch_in_30_seconds_and_all_wait_for_it() -> None:
    held = fetched()
    succeed(held, START)
    assert held.answer("b", START) is None
    held.hurry(START)
    assert held.answer("c", START + 5) is None
    held.hurrying = False
    assert held.answer("c", START + 29.9) == KeysLooked()
    assert held.answer("c", START + 30) is None


def test_thirty_minutes_of_rotation_lose_no_key_that_is_still_published() -> None:
    """Keys change every 7 minutes and each is announced one refresh ahead: at every second, what signs is known."""
    held = fetched(interval=300)
    unknown = 0
    for second in range(30 * 60):
        now = START + second
        generation = second // 420
        published = KeySet(f"{generation},{(second + 300) // 420}", ())
        if now >= held.due:
            held.succeeded(published, now, fresh_for=None, spread=0.5)
        assert held.keys is not None
        unknown += str(generation) not in held.keys.version.split(",")
    assert unknown == 0


@cache
def published_by(generation: int) -> KeySet:
    return KeySet(str(generation), (key(str(generation)),))


def test_thirty_minutes_of_unannounced_rotation_cost_one_fetch_each() -> None:
    """Keys change every 7 minutes without notice: the first token of each fetches, so none stays unknown."""
    held = fetched()
    hurried = 0
    for second in range(30 * 60):
        now = START + second
        published = published_by(second // 420)
        if now >= held.due:
            held.succeeded(published, now, fresh_for=None, spread=0.5)
        if held.answer(str(second // 420), now) is None:
            held.hurry(now)
            held.succeeded(published, now, fresh_for=None, spread=0.5)
            held.hurrying = False
            hurried += 1
        assert held.keys is published
    assert hurried <= 4


# --- which issuer has which -------------------------------------------------------------------------------------------


def test_keys_that_were_never_fetched_are_not_there() -> None:
    store = KeyStore(parse)
    store.admit([issuer()], START)
    assert store.lookup(issuer()) is None


def test_inline_keys_are_there_at_once() -> None:
    store = KeyStore(parse)
    inline = issuer(keys=InlineKeys("document"))
    store.admit([inline], START)
    keys = store.lookup(inline)
    assert keys is not None
    assert keys.version == "document"
    assert store.source_of(inline) is None


def test_inline_keys_that_are_no_jwk_set_are_none_and_say_why() -> None:
    store = KeyStore(parse)
    store.admit([issuer(keys=InlineKeys("bad"))], START)
    assert store.lookup(issuer()) is None
    assert store.states(START)[0].error == "not a JWK Set"


def test_skipped_single_keys_are_reported() -> None:
    store = KeyStore(parse)
    store.admit([issuer(keys=InlineKeys("document"))], START)
    assert store.states(START)[0].problems == ("keys[0]: unknown kty",)


@pytest.mark.parametrize(
    ("second", "shared"),
    [
        pytest.param(issuer("b"), True, id="one URL is fetched once"),
        pytest.param(issuer("b", ca_bundle="PEM"), False, id="unless another CA vouches for it"),
        pytest.param(issuer("b", Discovery(600)), False, id="and discovery is another source than a URL"),
        pytest.param(issuer("b", JwksUri("https://other.example/jwks", 600)), False, id="as is another URL"),
    ],
)
def test_issuers_share_what_is_fetched_by_url_and_ca(second: Issuer, shared: bool) -> None:  # noqa: FBT001 - a case
    store = KeyStore(parse)
    store.admit([issuer("a"), second], START)
    assert (store.source_of(issuer("a")) is store.source_of(second)) is shared


def test_a_shared_source_follows_the_most_impatient_issuer_while_it_is_there() -> None:
    store = KeyStore(parse)
    slow, fast = issuer("a"), issuer("b", JwksUri(URI.uri, 60))
    store.admit([slow, fast], START)
    assert [held.interval for held in store.sources()] == [60]
    store.retain([slow])
    assert [held.interval for held in store.sources()] == [600]


def with_keys(store: KeyStore, *issuers: Issuer) -> None:
    store.admit(issuers, START)
    for held in store.sources():
        succeed(held, START)


def test_a_removed_issuers_keys_are_gone_at_once() -> None:
    store = KeyStore(parse)
    with_keys(store, issuer("a"))
    store.retain([])
    assert store.lookup(issuer("a")) is None
    assert not store.sources()
    assert not store.states(START)


def test_an_issuer_that_comes_back_is_fetched_anew() -> None:
    store = KeyStore(parse)
    with_keys(store, issuer("a"))
    store.retain([])
    store.admit([issuer("a")], START)
    assert store.lookup(issuer("a")) is None


def test_between_admit_and_retain_old_and_new_issuers_have_their_keys() -> None:
    """So no request of either set of rules finds its issuer missing while they are swapped."""
    store = KeyStore(parse)
    with_keys(store, issuer("a"))
    store.admit([issuer("b")], START)
    assert store.lookup(issuer("a")) is OLD
    assert store.lookup(issuer("b")) is OLD


def test_an_issuer_that_changed_otherwise_keeps_what_was_fetched() -> None:
    store = KeyStore(parse)
    with_keys(store, issuer("a"))
    store.admit([issuer("a2")], START)
    store.retain([issuer("a2")])
    assert store.lookup(issuer("a2")) is OLD


def test_states_name_every_issuer_with_its_keys_age_and_error() -> None:
    store = KeyStore(parse)
    with_keys(store, issuer("b"), issuer("a"))
    store.sources()[0].failed("down", START + 50, spread=0.0)
    assert [(state.name, state.age, state.error) for state in store.states(START + 60)] == [
        ("a", 60, "down"),
        ("b", 60, "down"),
    ]


def test_a_lookup_while_issuers_come_and_go_gives_keys_or_none() -> None:
    store = KeyStore(parse)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            store.admit([issuer()], START)
            store.retain([])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert all(store.lookup(issuer()) is None for _ in range(1000))
    finally:
        stop.set()
        thread.join()
