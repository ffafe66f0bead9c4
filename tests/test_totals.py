"""Counting all readings never takes more than a twentieth of the time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.storage.rows import T0, commit, new_event, reading
from webmacs.errors import StorageUnavailable
from webmacs.storage import history
from webmacs.storage.base import Storage
from webmacs.testing import ManualClock
from webmacs.totals import Total


async def test_a_count_that_took_a_second_serves_for_twenty(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, event, counted = ManualClock(), await new_event(storage), []
    total = history.total

    async def slow(*args: Any) -> int:
        counted.append(1)
        clock.advance(1.0)
        return await total(*args)

    monkeypatch.setattr(history, "total", slow)
    counter = Total(storage, clock)
    assert await asyncio.gather(*(counter.count() for _ in range(5))) == [0] * 5
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0)]))
    clock.advance(19.9)
    assert await counter.count() == 0
    assert len(counted) == 1
    clock.advance(0.2)
    assert await counter.count() == 1
    assert len(counted) == 2


async def test_when_counting_fails_the_last_count_serves(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, event, failing = ManualClock(), await new_event(storage), False
    total = history.total

    async def perhaps(*args: Any) -> int:
        clock.advance(1.0)
        if failing:
            raise StorageUnavailable("the database did not answer in time")
        return await total(*args)

    monkeypatch.setattr(history, "total", perhaps)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0)]))
    counter = Total(storage, clock)
    failing = True
    with pytest.raises(StorageUnavailable):
        await counter.count()
    failing = False
    assert await counter.count() == 1
    failing = True
    clock.advance(30.0)
    assert await counter.count() == 1
    failing = False
    await storage.append(await commit(storage, 2, [reading(2.0, event, T0)]))
    assert await counter.count() == 1  # it is not asked again at once
    clock.advance(30.0)
    assert await counter.count() == 2
