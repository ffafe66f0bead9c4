"""A past to look back on: readings of ten days, stored as a server stores them, and rolled up."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

import psycopg2

from tests.plant import Plant, now_us
from webmacs.model import Reading, Write
from webmacs.storage import records
from webmacs.storage.base import Commit, Storage
from webmacs.storage.rollups import Rollups

EVENTS: Final = 20
DAYS_US: Final = 10 * 86_400_000_000
COMMIT_ROWS: Final = 8_000
SAY_EVERY_S: Final = 10.0


async def fill(storage: Storage, plant: Plant, readings: int, say: Callable[[str], None]) -> None:
    """Evenly over the ten days before now, of the first 20 events, in one experiment that began with them."""
    begin_us = now_us() - DAYS_US
    await storage.write(Write("UPDATE experiments SET started_us = :begin_us", ({"begin_us": begin_us},)))
    snapshot = await records.snapshot(storage, now_us())
    events = [snapshot.events[public_id] for public_id in plant.linked[:EVENTS]]
    (experiment,) = snapshot.experiments
    step_us = DAYS_US // (readings // EVENTS)
    chance = random.Random(1)
    said = time.monotonic()
    rows: list[Reading] = []
    seq = stored = 0

    async def commit() -> None:
        nonlocal seq, stored
        seq += 1
        await storage.append(Commit(seq, await storage.reserve(len(rows)), rows))
        stored += len(rows)
        rows.clear()

    for number in range(readings // EVENTS):
        time_us = begin_us + number * step_us
        wave = 50 * math.sin(number / 5_000)
        rows += [Reading(event, time_us + n, wave + chance.random(), experiment) for n, event in enumerate(events)]
        if len(rows) >= COMMIT_ROWS:
            await commit()
        if time.monotonic() > said + SAY_EVERY_S:
            said = time.monotonic()
            say(f"{stored / 1e6:.1f} million readings stored")
    await commit()


async def roll_up(storage: Storage) -> None:
    """All that there is, as a server has done it that ran all the time."""
    rollups = Rollups(storage)
    while await rollups.advance(now_us()):
        continue


def vacuum(url: str) -> None:
    """What autovacuum of PostgreSQL does in the minutes after so much has been stored."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE")
