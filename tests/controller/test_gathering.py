"""Between devices and the spool: batches of what is measured together, without what says nothing new."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from tests.controller.fakes import NS, reading, readings
from tests.virtual_time import settle, virtual_time
from webmacs.controller.frames import Reading
from webmacs.controller.gathering import Gathering
from webmacs.controller.unchanged import Unchanged


def taken(batches: Sequence[Sequence[Reading]]) -> list[list[float]]:
    return [[reading.value for reading in batch] for batch in batches]


@virtual_time
async def test_the_first_goes_at_once_and_what_follows_goes_together() -> None:
    batches: list[Sequence[Reading]] = []
    gathering = Gathering(batches.append, 0.02)
    gathering.add([reading(1.0)])
    await settle()
    assert taken(batches) == [[1.0]]
    for value in (2.0, 3.0):
        await asyncio.sleep(0.005)
        gathering.add([reading(value)])
    assert taken(batches) == [[1.0]]
    await asyncio.sleep(0.02)
    assert taken(batches) == [[1.0], [2.0, 3.0]]
    await asyncio.sleep(1.0)
    gathering.add([reading(4.0)])
    await settle()
    assert taken(batches)[2:] == [[4.0]]


@virtual_time
async def test_at_the_end_nothing_is_left() -> None:
    batches: list[Sequence[Reading]] = []
    gathering = Gathering(batches.append, 10.0)
    gathering.add([reading(1.0)])
    await settle()
    gathering.add([reading(2.0)])
    gathering.flush()
    gathering.flush()
    assert taken(batches) == [[1.0], [2.0]]


@virtual_time
async def test_what_is_no_number_is_counted_and_goes_nowhere() -> None:
    batches: list[Sequence[Reading]] = []
    gathering = Gathering(batches.append, 0.02)
    gathering.add([reading(1.0)._replace(value=value) for value in (math.nan, math.inf, 1.0)])
    await settle()
    assert (taken(batches), gathering.no_numbers, gathering.taken) == ([[1.0]], 2, 1)


def at(value: float, seconds: float, event: str = "event") -> Reading:
    return Reading(event, value, 0, int(seconds * NS))


def test_a_value_that_has_not_changed_is_left_out_until_the_last_one_is_old() -> None:
    unchanged = Unchanged(60.0)
    given = [at(1.0, 0), at(1.0, 1), at(2.0, 2), at(1.0, 3), at(1.0, 62), at(1.0, 63), at(1.0, 64, "other")]
    assert unchanged.new(given) == [given[0], given[2], given[3], given[5], given[6]]
    assert unchanged.left_out == 2


def test_a_value_that_comes_late_is_not_compared_with_a_newer_one() -> None:
    unchanged = Unchanged(60.0)
    assert unchanged.new([at(1.0, 10), at(1.0, 5)]) == [at(1.0, 10), at(1.0, 5)]


def test_nothing_is_left_out_that_was_different() -> None:
    unchanged = Unchanged(60.0)
    given = readings(0, 100)
    assert unchanged.new(given) == given
