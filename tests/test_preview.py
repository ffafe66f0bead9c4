"""What a rule would have done: every reading counts, the rules' own stage agrees, few are held, and turns are taken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_export import Shelf
from webmacs.catalog import Snapshot
from webmacs.export import CHUNK
from webmacs.model import Datapoint, Event, Operator
from webmacs.pipeline.thresholds import Condition, exceeds
from webmacs.preview import MAX_FIRED_AT, Preview, preview

EVENT = Event(1, "e1", "Sensor 1", "V", "sensor", 0.0, 1.0)
SECOND = 1_000_000
FIRST_US = 1_000  # when a shelf begins


@dataclass(frozen=True)
class Above:
    threshold: float
    operator: Operator = Operator.GT
    threshold_high: float | None = None


def measured(*readings: tuple[float, float]) -> list[Datapoint]:
    """Seconds and values."""
    return [Datapoint(number, EVENT, int(at_s * SECOND), value, None) for number, (at_s, value) in enumerate(readings)]


def counts(found: Preview) -> tuple[int, int, int]:
    return found.readings, found.matching, found.fired


async def looked(shelf: Any, condition: Condition, turns: asyncio.Semaphore | None = None, **more: int) -> Preview:
    stretch = {"cooldown_s": 0, "from_us": FIRST_US, "until_us": FIRST_US + 10**9, **more}
    return await preview(shelf, Snapshot(), 1, condition, turns=turns or asyncio.Semaphore(1), **stretch)


def test_it_fires_at_the_first_and_not_again_within_the_cooldown() -> None:
    found = Preview(Above(80), 10 * SECOND)
    found.look_at(measured((0, 80), (1, 81), (2, 90), (10.9, 90)))
    found.look_at(measured((11, 90), (20, 70), (21, 80.5)))
    assert counts(found) == (7, 5, 3)
    assert list(found.fired_at_us) == [1 * SECOND, 11 * SECOND, 21 * SECOND]


def test_without_a_cooldown_each_match_fires_also_of_the_same_moment() -> None:
    found = Preview(Above(0), 0)
    found.look_at(measured((1, 1), (1, 1), (2, 1)))
    assert counts(found) == (3, 3, 3)


@pytest.mark.parametrize("operator", [Operator.BETWEEN, Operator.NOT_BETWEEN])
def test_a_range_has_two_thresholds(operator: Operator) -> None:
    found = Preview(Above(1, operator, 2), 0)
    found.look_at(measured((0, 0.5), (1, 1), (2, 2), (3, 2.5), (4, 3)))
    assert found.matching == (2 if operator is Operator.BETWEEN else 3)


def test_of_many_times_the_newest_are_kept_by_time() -> None:
    found = Preview(Above(0), 0)
    found.look_at(measured(*((second, 1) for second in range(MAX_FIRED_AT + 7))))
    assert found.fired == MAX_FIRED_AT + 7
    assert list(found.fired_at_us) == [second * SECOND for second in range(7, MAX_FIRED_AT + 7)]


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(-2, 2)), max_size=30).map(sorted),
    st.sampled_from(Operator),
    st.integers(0, 20),
)
def test_it_is_what_one_would_count_by_hand(
    readings: list[tuple[int, int]], operator: Operator, cooldown_s: int
) -> None:
    condition = Above(0, operator, 1)
    matching = [at_s for at_s, value in readings if exceeds(condition, value)]
    fired: list[int] = []
    for at_s in matching:
        if not fired or at_s - fired[-1] >= cooldown_s:
            fired.append(at_s)
    found = Preview(condition, cooldown_s * SECOND)
    found.look_at(measured(*readings))
    assert (counts(found), list(found.fired_at_us)) == (
        (len(readings), len(matching), len(fired)),
        [at_s * SECOND for at_s in fired],
    )


async def test_all_readings_of_the_stretch_are_looked_at_a_chunk_at_a_time() -> None:
    shelf = Shelf(1, 3 * CHUNK + 5)  # two of each moment
    whole = await looked(shelf, Above(CHUNK - 0.5))
    assert (counts(whole), shelf.asked) == ((3 * CHUNK + 5, 2 * CHUNK + 5, 2 * CHUNK + 5), {CHUNK})
    some = await looked(shelf, Above(-1), from_us=FIRST_US + 10, until_us=FIRST_US + 20)
    assert (some.readings, some.fired_at_us[0], some.fired_at_us[-1]) == (20, FIRST_US + 10, FIRST_US + 19)


async def test_of_nothing_there_is_nothing_to_say() -> None:
    found = await looked(Shelf(1, 0), Above(0))
    assert (counts(found), list(found.fired_at_us)) == ((0, 0, 0), [])


async def test_it_takes_turns_and_lets_others_have_theirs_between_two_chunks() -> None:
    turns, order = asyncio.Semaphore(1), []

    class Slow(Shelf):
        async def history(self, *args: Any, **options: Any) -> list[Datapoint]:
            order.append("read")
            await asyncio.sleep(0)
            return await super().history(*args, **options)

    async def chart() -> None:
        async with turns:
            order.append("chart")

    await turns.acquire()
    looking = asyncio.create_task(looked(Slow(1, 2 * CHUNK), Above(0), turns))
    await asyncio.sleep(0)
    charting = asyncio.create_task(chart())
    await asyncio.sleep(0)
    assert order == []
    turns.release()
    await asyncio.gather(looking, charting)
    assert order[:2] == ["read", "chart"]
    assert order.count("read") > 1
    assert not turns.locked()


async def test_one_that_fails_gives_its_turn_back() -> None:
    turns = asyncio.Semaphore(1)

    class Away:
        async def history(self, *args: Any, **options: Any) -> list[Datapoint]:
            raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await looked(Away(), Above(0), turns)
    assert not turns.locked()
