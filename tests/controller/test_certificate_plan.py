"""The operator's own certificates over time: no service that follows the ConfigMap ever meets one it does not trust."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from cryptography import x509
from stepguard_operator.certificate_plan import CA, CA_KEY, CERT, KEY, SPREAD_SECONDS, next_certificates
from stepguard_operator.certificates import dns_names, parse_bundle, signed_by

START = 1_900_000_000
DAY = 86_400
NAMES = ("stepguard-operator.ns.svc", "stepguard-operator")
Data = Mapping[str, bytes]


def leaf(data: Data) -> x509.Certificate:
    """The certificate that is shown."""
    return x509.load_pem_x509_certificate(data[CERT])


def trusts(bundle: bytes, certificate: x509.Certificate) -> bool:
    """Whether a service with this bundle accepts it."""
    return any(signed_by(certificate, authority) for authority in parse_bundle(bundle))


@pytest.fixture(scope="module")
def first() -> Data:
    """What an empty Secret becomes."""
    return next_certificates({}, NAMES, START)


def test_an_empty_secret_becomes_an_authority_and_a_certificate_for_our_names(first: Data) -> None:
    assert trusts(first[CA], leaf(first))
    assert dns_names(leaf(first)) == frozenset(NAMES)


def test_what_is_good_is_left_alone(first: Data) -> None:
    assert next_certificates(first, NAMES, START + 30 * DAY) == first


def test_a_certificate_is_renewed_after_two_thirds_of_its_life_by_the_same_authority(first: Data) -> None:
    later = next_certificates(first, NAMES, START + 61 * DAY)
    assert later[CERT] != first[CERT]
    assert later[CA] == first[CA]


def test_other_names_need_another_certificate(first: Data) -> None:
    assert dns_names(leaf(next_certificates(first, ("other",), START))) == {"other"}


@pytest.mark.parametrize("lost", [CERT, KEY, CA, CA_KEY])
def test_whatever_is_lost_or_damaged_is_made_again(first: Data, lost: str) -> None:
    for damaged in ({**first, lost: b"x"}, {name: value for name, value in first.items() if name != lost}):
        healed = next_certificates(damaged, NAMES, START)
        assert trusts(healed[CA], leaf(healed))


def test_other_members_of_the_secret_stay(first: Data) -> None:
    assert next_certificates({**first, "note": b"mine"}, NAMES, START)["note"] == b"mine"


def test_a_new_authority_is_trusted_for_an_hour_before_it_signs_and_the_old_one_for_an_hour_after() -> None:
    at = START + 487 * DAY
    data = next_certificates(next_certificates({}, NAMES, START), NAMES, at - DAY)
    old = parse_bundle(data[CA])
    added = next_certificates(data, NAMES, at)
    assert len(parse_bundle(added[CA])) == 2
    assert added[CERT] == data[CERT]
    signed = next_certificates(added, NAMES, at + SPREAD_SECONDS)
    assert not trusts(data[CA], leaf(signed))
    assert parse_bundle(signed[CA])[1:] == old
    dropped = next_certificates(signed, NAMES, at + 2 * SPREAD_SECONDS)
    assert parse_bundle(dropped[CA]) == parse_bundle(added[CA])[:1]
    assert dropped[CERT] == signed[CERT]


@pytest.mark.slow
def test_over_six_years_a_service_that_learns_within_an_hour_always_trusts_what_is_shown() -> None:
    data: Data = {}
    known = b""
    for day in range(6 * 365):
        data = next_certificates(data, NAMES, START + day * DAY)
        known = known or data[CA]
        assert trusts(known, leaf(data)), day
        now = datetime.fromtimestamp(START + day * DAY, UTC)
        assert leaf(data).not_valid_before_utc <= now < leaf(data).not_valid_after_utc
        known = data[CA]
