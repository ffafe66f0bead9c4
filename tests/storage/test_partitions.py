"""The partitions of the readings in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plant import settings_for
from tests.storage.rows import DAY, T0, commit, eventually, new_event, reading, shown, values
from webmacs.extensions import load_storage
from webmacs.model import Write
from webmacs.storage.base import Storage
from webmacs.storage.partitions import gaps

WEEK = 7 * DAY
WEEK_OF_T0 = T0 // WEEK * WEEK


@pytest.fixture
async def weekly(postgres_url: str, tmp_path: Path) -> AsyncIterator[Storage]:
    opened = storage_with(postgres_url, tmp_path)
    await opened.open()
    yield opened
    await opened.close()


def storage_with(url: str, directory: Path, **storage: Any) -> Storage:
    settings = {"partition_days": 7, "partitions_ahead": 2, **storage}
    return load_storage(settings_for(url, directory, storage=settings))


async def places(storage: Storage) -> dict[str, int]:
    """How many readings each partition holds."""
    names = await storage.fetch(
        "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
        " WHERE inhparent = 'datapoints'::regclass ORDER BY 1"
    )
    held = await storage.fetch("SELECT tableoid::regclass::text, count(*) FROM datapoints GROUP BY 1")
    return {name: 0 for (name,) in names} | dict(held)


async def test_partitions_are_made_from_now_on_as_far_ahead_as_is_set(weekly: Storage) -> None:
    await weekly.make_room(T0)
    assert await places(weekly) == {
        "datapoints_20260101": 0,
        "datapoints_20260108": 0,
        "datapoints_20260115": 0,
        "datapoints_default": 0,
    }
    await weekly.make_room(T0 + WEEK)
    assert list(await places(weekly))[3:] == ["datapoints_20260122", "datapoints_default"]


async def test_readings_go_to_the_partition_of_their_time_and_others_to_the_default_one(weekly: Storage) -> None:
    await weekly.make_room(T0)
    times = [WEEK_OF_T0 - 1, WEEK_OF_T0, WEEK_OF_T0 + WEEK - 1, WEEK_OF_T0 + WEEK, WEEK_OF_T0 + 3 * WEEK]
    await weekly.append(await commit(weekly, 1, [reading(time_us=at) for at in times]))
    assert list((await places(weekly)).values()) == [2, 1, 0, 2]


async def test_readings_in_the_default_partition_move_when_theirs_is_made(weekly: Storage) -> None:
    event = await new_event(weekly)
    readings = [reading(float(n), event, WEEK_OF_T0 + n * DAY) for n in range(-1, 22)]
    await weekly.append(await commit(weekly, 1, readings))
    before = await weekly.fetch("SELECT * FROM datapoints ORDER BY id")
    await weekly.make_room(T0)
    assert list((await places(weekly)).values()) == [7, 7, 7, 2]
    assert await weekly.fetch("SELECT * FROM datapoints ORDER BY id") == before
    assert await shown(weekly) == [("Sensor", float(n)) for n in range(-1, 22)]


async def test_a_clock_that_was_years_ahead_once_does_not_keep_partitions_from_being_made(weekly: Storage) -> None:
    await weekly.make_room(T0 + 3_000 * DAY)
    await weekly.make_room(T0)
    assert "datapoints_20260101" in await places(weekly)


async def test_partitions_of_another_length_are_made_beside_those_there_are(
    weekly: Storage, postgres_url: str, tmp_path: Path
) -> None:
    await weekly.make_room(T0)
    monthly = storage_with(postgres_url, tmp_path, partition_days=30, partitions_ahead=1)
    await monthly.open()
    await monthly.make_room(T0)
    times = [WEEK_OF_T0 + n * DAY for n in range(31)]
    await monthly.append(await commit(monthly, 1, [reading(time_us=at) for at in times]))
    assert (await places(monthly))["datapoints_default"] == 0
    await monthly.close()


async def test_servers_that_start_together_make_each_partition_once(
    weekly: Storage, postgres_url: str, tmp_path: Path
) -> None:
    servers = [weekly, *(storage_with(postgres_url, tmp_path) for _ in range(3))]
    await weekly.append(await commit(weekly, 1, [reading(time_us=T0)] * 100))
    await asyncio.gather(*(server.make_room(T0) for server in servers))
    assert list((await places(weekly)).values()) == [100, 0, 0, 0]
    for server in servers:
        await server.close()


async def test_while_a_query_is_in_the_way_readings_go_to_the_default_partition(
    weekly: Storage, postgres_url: str
) -> None:
    someone = psycopg2.connect(postgres_url)
    with someone.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM datapoints")  # a transaction left open, as Grafana or a notebook may
    began = time.monotonic()
    await weekly.make_room(T0)
    assert time.monotonic() - began < 3  # whoever waits for the query holds up all who come after
    await weekly.append(await commit(weekly, 1, [reading(time_us=T0)]))
    assert await places(weekly) == {"datapoints_default": 1}
    someone.close()
    await weekly.make_room(T0)
    assert await places(weekly) == {
        "datapoints_20260101": 1,
        "datapoints_20260108": 0,
        "datapoints_20260115": 0,
        "datapoints_default": 0,
    }


async def test_expiring_drops_whole_partitions_and_deletes_from_the_default_one(weekly: Storage) -> None:
    await weekly.make_room(T0)
    times = [WEEK_OF_T0 - 1, WEEK_OF_T0, WEEK_OF_T0 + WEEK, WEEK_OF_T0 + 2 * WEEK]
    await weekly.append(await commit(weekly, 1, [reading(float(n), time_us=at) for n, at in enumerate(times)]))
    assert await weekly.expire(WEEK_OF_T0 + WEEK, 10) == 1
    assert await weekly.expire(WEEK_OF_T0 + WEEK, 10) == 0
    assert await places(weekly) == {"datapoints_20260108": 1, "datapoints_20260115": 1, "datapoints_default": 0}
    assert await values(weekly) == [2.0, 3.0]


async def test_a_partition_that_is_only_partly_old_is_kept(weekly: Storage) -> None:
    await weekly.make_room(T0)
    await weekly.append(await commit(weekly, 1, [reading(time_us=WEEK_OF_T0)]))
    await weekly.expire(WEEK_OF_T0 + WEEK - 1, 10)
    assert await weekly.count() == 1


async def test_servers_that_expire_together_do_not_meet(weekly: Storage, postgres_url: str, tmp_path: Path) -> None:
    other = storage_with(postgres_url, tmp_path)
    await weekly.make_room(T0)
    await asyncio.gather(*(eventually(partial(one.expire, T0 + 3 * WEEK, 10)) for one in (weekly, other)))
    assert list(await places(weekly)) == ["datapoints_default"]
    await other.close()


async def test_a_partition_that_someone_has_made_is_respected(weekly: Storage) -> None:
    await weekly.write(
        Write("CREATE TABLE by_hand PARTITION OF datapoints FOR VALUES FROM ('2026-01-03') TO ('2026-01-10')")
    )
    await weekly.make_room(T0)
    times = [WEEK_OF_T0 + n * DAY for n in range(21)]
    await weekly.append(await commit(weekly, 1, [reading(time_us=at) for at in times]))
    assert await places(weekly) == {
        "by_hand": 7,
        "datapoints_20260101": 2,
        "datapoints_20260110": 5,
        "datapoints_20260115": 7,
        "datapoints_default": 0,
    }


@given(
    edges=st.lists(st.integers(-50, 150), unique=True).map(sorted),
    now=st.integers(0, 60),
    step=st.integers(1, 20),
    ahead=st.integers(1, 5),
)
def test_gaps_cover_what_is_asked_and_touch_nothing_that_is_taken(
    edges: Sequence[int], now: int, step: int, ahead: int
) -> None:
    taken = list(zip(edges[::2], edges[1::2], strict=False))
    made = list(gaps(taken, now, step, ahead))
    covered = [moment for start, end in (*taken, *made) for moment in range(start, end)]
    assert len(covered) == len(set(covered))
    assert set(range(now, now + ahead * step + 1)) <= set(covered)
    assert all(0 < end - start <= step for start, end in made)
    assert list(gaps([*taken, *made], now, step, ahead)) == []
