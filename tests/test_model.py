"""Times, roles and public ids."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.fakes import EVENTS
from webmacs.model import Datapoint, Role, to_datetime, to_us

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)  # noqa: DTZ001 - bounds are naive


@given(MOMENTS)
def test_a_time_survives_to_the_microsecond(moment: datetime) -> None:
    assert to_datetime(to_us(moment)) == moment


@given(MOMENTS, st.integers(-(10**15), 10**15))
def test_times_differ_as_their_numbers_do(moment: datetime, span_us: int) -> None:
    try:
        later = moment + timedelta(microseconds=span_us)
        assert to_us(later) - to_us(moment) == span_us
    except OverflowError:
        return


def test_times_are_counted_from_the_epoch_in_utc() -> None:
    assert to_us(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert to_datetime(1_736_951_400_123_456) == datetime(2025, 1, 15, 14, 30, 0, 123_456, tzinfo=UTC)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_role_covers_itself_and_those_below(role: Role, needed: Role) -> None:
    order = ["viewer", "operator", "admin"]
    assert role.covers(needed) is (order.index(role) >= order.index(needed))


@given(st.integers(1, 2**62), st.integers(-(2**53), 2**53), st.integers(1, 2**62), st.integers(-(2**53), 2**53))
def test_a_public_id_belongs_to_one_datapoint(first_id: int, first_us: int, second_id: int, second_us: int) -> None:
    first = Datapoint(first_id, EVENTS["a"], first_us, 1.0, None)
    second = Datapoint(second_id, EVENTS["a"], second_us, 2.0, None)
    assert (first.public_id == second.public_id) is ((first_id, first_us) == (second_id, second_us))


def test_what_is_frozen_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVENTS["a"].name = "other"  # type: ignore[misc]
