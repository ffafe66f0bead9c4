"""The storage held up from outside until the server's queue is full: the most that is ever to be kept in memory.

Speed alone does not bring this about for certain; a slow moment of the disk does, some day. SQLite is held by a
connection that writes, PostgreSQL by a lock on the readings, beside which they are still read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

import psycopg2
from sqlalchemy.engine import make_url

from webmacs.config import PipelineSettings

LOOK_EVERY_S: Final = 0.05
FULL: Final = 0.98  # of the queue: the next batch may be larger than the room that is left
STAYS_S: Final = 1.0  # full; who waits for room is refused after `pipeline.overload_timeout_s`
PATIENCE_S: Final = 30.0


def fill(url: str, waiting: Callable[[], float]) -> float:
    """Hold the storage until its queue is full and for a second more. Returns the seconds that took to fill.

    Raises:
        TimeoutError: the queue is not full after half a minute, so nothing was shown.

    """
    limit = PipelineSettings().queue_rows
    with _held(url):
        began = time.monotonic()
        while waiting() < FULL * limit:
            if time.monotonic() - began > PATIENCE_S:
                raise TimeoutError(
                    f"{waiting():,.0f} rows wait after {PATIENCE_S:g} s; the queue has room for {limit:,}"
                )
            time.sleep(LOOK_EVERY_S)
        took = time.monotonic() - began
        time.sleep(STAYS_S)
    return took


@contextmanager
def _held(url: str) -> Iterator[None]:
    """Nobody else writes."""
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(place.database), timeout=PATIENCE_S, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield
            database.execute("ROLLBACK")
    else:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE datapoints IN EXCLUSIVE MODE")
            yield
            connection.rollback()
