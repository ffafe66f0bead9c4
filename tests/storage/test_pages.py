"""Pages of readings where so many come that even a minute has far more than a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.storage.rows import commit, new_event, reading, snapshot
from webmacs.storage import history
from webmacs.storage.base import Row, Storage

SECOND = 1_000_000
NOW_US = 1_780_000_000 * SECOND
EVENTS, READINGS, EVERY_US = 3, 6_000, 10_000  # a minute in all


@pytest.fixture
async def ids(storage: Storage) -> list[int]:
    """Of a minute of readings up to now, the newest first."""
    events = [await new_event(storage, name) for name in "abc"]
    times = [NOW_US - number * EVERY_US for number in range(READINGS)]
    readings = [reading(1.0, events[number % EVENTS], time_us) for number, time_us in enumerate(times)]
    done = await commit(storage, 1, readings)
    await storage.append(done)
    return [done.first_id + number for number in range(READINGS)]


async def paged(storage: Storage, offset: int, limit: int) -> list[int]:
    found = await history.page(storage, await snapshot(storage), NOW_US, offset=offset, limit=limit)
    return [one.id for one in found]


@pytest.mark.parametrize("offset", [0, 1, 99, 100, 1_234, 4_000, 5_150, 5_990, 6_000])
async def test_a_page_within_a_busy_minute_is_the_same_as_any(storage: Storage, ids: list[int], offset: int) -> None:
    for limit in (1, 25, 100):
        assert await paged(storage, offset, limit) == ids[offset : offset + limit]


async def test_the_first_pages_of_a_busy_minute_do_not_read_all_of_it(
    storage: Storage, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    fetch = storage.fetch

    async def watching(statement: str, **values: Any) -> Sequence[Row]:
        if "offset" in values:
            looked.append(NOW_US - values["from_us"])
        assert values.get("most", 0) <= READINGS / 2  # more are not even counted
        return await fetch(statement, **values)

    monkeypatch.setattr(storage, "fetch", watching)
    assert await paged(storage, 0, 25) == ids[:25]
    assert max(looked) <= SECOND
    looked.clear()
    assert await paged(storage, 500, 100) == ids[500:600]
    assert max(looked) <= 20 * SECOND


async def test_in_a_quiet_minute_nobody_looks_twice(
    storage: Storage, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look goes down the index once for every event, of which there may be thousands."""
    looked: list[str] = []
    fetch = storage.fetch

    async def watching(statement: str, **values: Any) -> Sequence[Row]:
        if "most" in values:
            looked.append(statement)
        return await fetch(statement, **values)

    now = await snapshot(storage)
    monkeypatch.setattr(storage, "fetch", watching)
    for later_us in (50 * SECOND, 59 * SECOND + 800_000, 70 * SECOND):  # a thousand in the last minute, twenty, none
        looked.clear()
        found = await history.page(storage, now, NOW_US + later_us, offset=250, limit=25)
        assert [one.id for one in found] == ids[250:275]
        assert len(looked) == 1


async def test_a_page_that_begins_with_a_clock_that_is_ahead_goes_on_with_the_busy_minute(
    storage: Storage, ids: list[int]
) -> None:
    event = await new_event(storage, "ahead")
    ahead = await commit(storage, 2, [reading(1.0, event, NOW_US + 300 * SECOND)])
    await storage.append(ahead)
    assert await paged(storage, 0, 3) == [ahead.first_id, *ids[:2]]
