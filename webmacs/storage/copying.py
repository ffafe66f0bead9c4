"""An installation's tables as they are read from one storage and written into another: the statements of a copy.

Rows keep their ids. Not copied are the identities of runs, which are of no use elsewhere, and rollups, which a server
makes again from the readings.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from webmacs.errors import StorageError
from webmacs.model import Datapoint, Scalar, Write
from webmacs.storage.base import Row, Storage

PAGE: Final = 500
BLOCK: Final = 2**20  # ids of readings that a process takes at a time, on PostgreSQL one number of a sequence
READINGS: Final = "datapoints"
_MARK: Final = "copy of "


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the configuration. The first `keys` columns tell its rows apart; `numbered`: they are ids it gives."""

    name: str
    columns: tuple[str, ...]
    keys: int = 1
    numbered: bool = True


# In an order in which every row finds those it refers to.
TABLES: Final = (
    Table(
        "users",
        ("id", "public_id", "email", "username", "password_hash", "role", "session_version", "created_us"),
    ),
    Table(
        "plugins",
        (
            *("id", "public_id", "plugin_id", "instance_name", "demo_mode", "enabled", "status", "config_json"),
            *("error_message", "user_id", "created_us", "updated_us"),
        ),
    ),
    Table(
        "api_tokens",
        (
            *("id", "public_id", "name", "digest", "user_id", "expires_us", "last_used_us", "created_us", "scope"),
            "plugin_id",
        ),
    ),
    Table("revoked_tokens", ("jti", "expires_us"), numbered=False),
    Table(
        "events",
        ("id", "public_id", "name", "min_value", "max_value", "unit", "type", "user_id", "created_us"),
    ),
    Table(
        "channels",
        (
            *("id", "public_id", "plugin_id", "channel_id", "channel_name", "direction", "unit", "event_id"),
            "created_us",
        ),
    ),
    Table("experiments", ("id", "public_id", "name", "started_us", "stopped_us", "user_id")),
    Table("notes", ("id", "public_id", "experiment_id", "text", "time_us", "user_id", "created_us")),
    Table(
        "rules",
        (
            *("id", "public_id", "name", "event_id", "operator", "threshold", "threshold_high", "action", "emits"),
            *("enabled", "cooldown_s", "user_id", "created_us"),
        ),
    ),
    Table("rule_states", ("rule_id", "last_triggered_us"), numbered=False),
    Table(
        "webhooks",
        (
            *("id", "public_id", "url", "events", "enabled", "secret", "old_secret", "old_secret_until_us", "user_id"),
            "created_us",
        ),
    ),
    Table(
        "deliveries",
        (
            *("id", "public_id", "webhook_id", "event_type", "payload", "status", "attempts", "due_us", "last_error"),
            *("response_code", "created_us", "delivered_us"),
        ),
    ),
    Table("logs", ("id", "public_id", "content", "logging_type", "status_type", "user_id", "created_us")),
    Table("dashboards", ("id", "public_id", "name", "is_global", "user_id", "created_us")),
    Table(
        "widgets",
        (
            *("id", "public_id", "dashboard_id", "widget_type", "title", "event_id", "x", "y", "w", "h"),
            *("config_json", "created_us"),
        ),
    ),
    Table(
        "audit",
        (
            *("id", "time_us", "actor", "user_public_id", "token_name", "action", "kind", "public_id", "name"),
            *("was", "becomes"),
        ),
    ),
    Table(
        "batches",
        ("user_id", "batch_id", "digest", "accepted", "invalid", "unlinked", "skewed", "time_us"),
        keys=2,
        numbered=False,
    ),
)
NUMBERED: Final = tuple(table.name for table in TABLES if table.numbered)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs by backend. Ids are the last that were given, by table; `served` knows servers elsewhere."""

    with_ids: str
    last_ids: Callable[[Storage], Awaitable[Mapping[str, int]]]
    number_on: Callable[[Mapping[str, int]], list[Write]]
    readings: Callable[[Sequence[Datapoint]], Write]
    served: str | None = None


# -- tables ----------------------------------------------------------------------------------------------------------


async def pages(storage: Storage, table: Table) -> AsyncIterator[list[Row]]:
    """All rows of a table by key, some at a time."""
    keys = ", ".join(table.columns[: table.keys])
    names = [f"k{number}" for number in range(table.keys)]
    select = f"SELECT {', '.join(table.columns)} FROM {table.name}"
    after = f" WHERE ({keys}) > ({', '.join(f':{name}' for name in names)})"
    rows = await storage.fetch(f"{select} ORDER BY {keys} LIMIT {PAGE}")
    while rows:
        yield rows
        last: dict[str, Scalar] = dict(zip(names, rows[-1], strict=False))
        rows = await storage.fetch(f"{select}{after} ORDER BY {keys} LIMIT {PAGE}", **last)


def rows_of(storage: Storage, table: Table, rows: Iterable[Row]) -> Write:
    """Add rows as they are."""
    columns, values = ", ".join(table.columns), ", ".join(f":{name}" for name in table.columns)
    with_ids = _kind(storage).with_ids if table.numbered else ""
    return Write(
        f"INSERT INTO {table.name} ({columns}){with_ids} VALUES ({values})",
        tuple(dict(zip(table.columns, row, strict=True)) for row in rows),
        bulk=True,
    )


def cleared() -> list[Write]:
    """Remove all configuration."""
    return [Write(f"DELETE FROM {table.name}") for table in reversed(TABLES)]


async def occupied(storage: Storage) -> list[str]:
    """The tables with something in them."""
    names = [*(table.name for table in TABLES), READINGS]
    return [name for name in names if await storage.fetch(f"SELECT 1 FROM {name} LIMIT 1")]


# -- readings, ids, servers ------------------------------------------------------------------------------------------


def readings_of(storage: Storage, datapoints: Sequence[Datapoint]) -> Write:
    """Add readings with the ids they have."""
    return _kind(storage).readings(datapoints)


async def last_ids(storage: Storage) -> Mapping[str, int]:
    """The last id that was given, by table; of rows that are gone, too, as none is given twice."""
    return await _kind(storage).last_ids(storage)


def number_on(storage: Storage, given: Mapping[str, int]) -> list[Write]:
    """Let the ids that are given from now on come after these."""
    return _kind(storage).number_on({name: last for name, last in given.items() if last})


async def served(storage: Storage) -> bool:
    """Whether a server is at work there, as far as the database knows: an embedded one is locked instead."""
    statement = _kind(storage).served
    return statement is not None and bool(await storage.fetch(statement))


# -- the mark of a copy that is not whole ----------------------------------------------------------------------------


async def unfinished(storage: Storage) -> str | None:
    """What is being copied there, or was when it broke off; None for an installation that is whole."""
    rows = await storage.fetch("SELECT run FROM commits WHERE run LIKE :mark", mark=f"{_MARK}%")
    return str(rows[0][0]).removeprefix(_MARK) if rows else None


def marked(source: str, now_us: int) -> Write:
    """Say that this is a copy of something, and not whole yet."""
    return Write(
        "INSERT INTO commits (run, seq, committed_us) VALUES (:run, 0, :now_us)",
        ({"run": _MARK + source, "now_us": now_us},),
    )


def unmarked() -> Write:
    """Say that it is whole."""
    return Write("DELETE FROM commits WHERE run LIKE :mark", ({"mark": f"{_MARK}%"},))


# -- SQLite ----------------------------------------------------------------------------------------------------------


async def _sqlite_last_ids(storage: Storage) -> Mapping[str, int]:
    rows = await storage.fetch("SELECT name, seq FROM sqlite_sequence")
    return {name: last for name, last in rows if name in {*NUMBERED, READINGS}}


def _sqlite_number_on(given: Mapping[str, int]) -> list[Write]:
    rows: list[dict[str, Scalar]] = [{"name": name, "last": last} for name, last in given.items()]
    return [
        Write("DELETE FROM sqlite_sequence WHERE name = :name", tuple(rows)),
        Write("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)", tuple(rows)),
    ]


def _sqlite_readings(datapoints: Sequence[Datapoint]) -> Write:
    return Write(
        "INSERT INTO datapoints (id, event_id, time, value, experiment_id)"
        " VALUES (:id, :event, :time, :value, :experiment)",
        tuple(
            {"id": row_id, "event": event.id, "time": time_us, "value": value, "experiment": run.id if run else None}
            for row_id, event, time_us, value, run in datapoints
        ),
        bulk=True,
    )


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


async def _postgresql_last_ids(storage: Storage) -> Mapping[str, int]:
    given = {}
    for name in NUMBERED:
        given[name] = await _last_number(storage, f"{name}_id_seq")
    block = await _last_number(storage, "datapoint_blocks")
    given[READINGS] = (block + 1) * BLOCK - 1 if block else 0
    return given


async def _last_number(storage: Storage, sequence: str) -> int:
    ((last, called),) = await storage.fetch(f"SELECT last_value, is_called FROM {sequence}")
    return int(last) if called else 0


def _postgresql_number_on(given: Mapping[str, int]) -> list[Write]:
    sequences = {f"{name}_id_seq": last for name, last in given.items() if name != READINGS}
    if READINGS in given:
        sequences["datapoint_blocks"] = max(1, given[READINGS] // BLOCK)
    return [
        Write("SELECT setval(:sequence, :last)", ({"sequence": sequence, "last": last},))
        for sequence, last in sequences.items()
    ]


def _postgresql_readings(datapoints: Sequence[Datapoint]) -> Write:
    """Numbers as array literals: five texts to quote, however many readings."""
    row: dict[str, Scalar] = {
        "ids": _array(str(point.id) for point in datapoints),
        "events": _array(str(point.event.id) for point in datapoints),
        "times": _array(str(point.time_us) for point in datapoints),
        "values": _array(repr(point.value) for point in datapoints),
        "experiments": _array(str(point.experiment.id) if point.experiment else "NULL" for point in datapoints),
    }
    return Write(
        "INSERT INTO datapoints (id, event_id, time, value, experiment_id)"
        " SELECT i, e, 'epoch'::timestamptz + t * interval '1 microsecond', v, x"
        " FROM unnest(:ids::bigint[], :events::integer[], :times::bigint[], :values::float8[], :experiments::integer[])"
        " AS r (i, e, t, v, x)",
        (row,),
    )


def _array(texts: Iterable[str]) -> str:
    return "{" + ",".join(texts) + "}"


_KINDS: Final = {
    "sqlite": _Kind("", _sqlite_last_ids, _sqlite_number_on, _sqlite_readings),
    "postgresql": _Kind(
        " OVERRIDING SYSTEM VALUE",
        _postgresql_last_ids,
        _postgresql_number_on,
        _postgresql_readings,
        # What the connection on which a server listens for changes has said last.
        served="SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN webmacs%'",
    ),
}


def _kind(storage: Storage) -> _Kind:
    kind = _KINDS.get(storage.scheme)
    if kind is None:
        raise StorageError(f"how to copy a storage {storage.scheme}:// is not known; there are {', '.join(_KINDS)}")
    return kind
