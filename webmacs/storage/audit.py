"""The audit log: who changed what, when, what it was before and what it is after.

The statements of those who read it, and of what no trigger can see; `triggers.py` writes the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from webmacs.model import Actor, Datapoint, Scalar, Write
from webmacs.storage.base import Storage, Tables
from webmacs.storage.triggers import UNAUDITED

CHUNK: Final = 5_000
_COLUMNS: Final = "time_us, actor, user_public_id, token_name, action, kind, public_id, name, was, becomes"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry. `was` None: there was none before; `becomes` None: it is gone."""

    id: int
    time_us: int
    actor: Actor
    action: str
    kind: str
    public_id: str
    name: str
    was: dict[str, Any] | None
    becomes: dict[str, Any] | None

    def differences(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Before and after; of what was changed, only that. (A setpoint may be the value that there was.)"""
        if self.was is None or self.becomes is None or self.action == "set":
            return self.was, self.becomes
        differ = [key for key, value in self.becomes.items() if self.was.get(key) != value]
        return {key: self.was.get(key) for key in differ}, {key: self.becomes[key] for key in differ}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; None: whatever it is."""

    public_id: str | None = None
    kind: str | None = None
    actor: str | None = None

    @property
    def condition(self) -> str:
        """As SQL has it."""
        named = [f"{name} = :{name}" for name in self.parameters]
        return f" WHERE {' AND '.join(named)}" if named else ""

    @property
    def parameters(self) -> dict[str, Scalar]:
        """What it is to be."""
        given = {"public_id": self.public_id, "kind": self.kind, "actor": self.actor}
        return {name: value for name, value in given.items() if value is not None}


async def page(storage: Tables, wanted: Wanted, *, limit: int, offset: int = 0) -> list[Change]:
    """Some entries, the newest first."""
    rows = await storage.fetch(
        f"SELECT id, {_COLUMNS} FROM audit{wanted.condition} ORDER BY id DESC LIMIT :limit OFFSET :offset",
        limit=limit,
        offset=offset,
        **wanted.parameters,
    )
    return [
        Change(
            number, time_us, Actor(actor, user, token), action, kind, public_id, name, _parsed(was), _parsed(becomes)
        )
        for number, time_us, actor, user, token, action, kind, public_id, name, was, becomes in rows
    ]


async def total(storage: Tables, wanted: Wanted) -> int:
    """How many there are."""
    rows = await storage.fetch(f"SELECT count(*) FROM audit{wanted.condition}", **wanted.parameters)
    return int(rows[0][0])


@dataclass(frozen=True, slots=True)
class Setpoint:
    """A value that somebody gave an actuator. `was` None: it had none. `measured_us`: it came as measured then."""

    actor: Actor
    time_us: int
    public_id: str
    name: str
    was: float | None
    becomes: float
    measured_us: int | None = None

    @property
    def entered(self) -> dict[str, Scalar]:
        """What the log has of what it becomes."""
        value: dict[str, Scalar] = {"value": self.becomes}
        return value if self.measured_us is None else value | {"measured_us": self.measured_us}


def setpoints(given: Iterable[Setpoint]) -> Write:
    """Entries about setpoints, for the transaction in which they are stored."""
    return _entries(
        _entry(
            setpoint.actor,
            setpoint.time_us,
            action="set",
            kind="event",
            public_id=setpoint.public_id,
            name=setpoint.name,
            was=None if setpoint.was is None else {"value": setpoint.was},
            becomes=setpoint.entered,
        )
        for setpoint in given
    )


async def newest_setpoints(storage: Tables, since_us: int) -> list[tuple[str, float, int]]:
    """The newest value that each event was given since then, and was not measured: its public id, the value, when."""
    rows = await storage.fetch(
        "SELECT public_id, becomes, time_us FROM audit WHERE id IN (SELECT max(id) FROM audit"
        " WHERE time_us >= :since_us AND kind = 'event' AND action = 'set' AND becomes NOT LIKE :measured"
        " GROUP BY public_id) ORDER BY id",
        since_us=since_us,
        measured='%"measured_us"%',
    )
    return [(public_id, float(json.loads(becomes)["value"]), time_us) for public_id, becomes, time_us in rows]


def removed_reading(actor: Actor, now_us: int, datapoint: Datapoint, there: str, where: Mapping[str, Scalar]) -> Write:
    """An entry about a reading that somebody removes, if it is `there`: a condition in SQL with parameters `where`."""
    entry = _entry(
        actor,
        now_us,
        action="removed",
        kind="datapoint",
        public_id=datapoint.public_id,
        name=datapoint.event.name,
        was={"event": datapoint.event.public_id, "time_us": datapoint.time_us, "value": datapoint.value},
        becomes=None,
    )
    row = {**{f"new_{name}": value for name, value in entry.items()}, **where}
    values = ", ".join(f":new_{name}" for name in entry)
    return Write(f"INSERT INTO audit ({', '.join(entry)}) SELECT {values} WHERE {there}", (row,))


async def expire(storage: Storage, before_us: int) -> None:
    """Remove entries that are older."""
    old = Write(
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE time_us < :before_us ORDER BY id LIMIT :limit)",
        ({"before_us": before_us, "limit": CHUNK},),
    )
    while await storage.write(old, actor=UNAUDITED):
        continue


def _entries(rows: Iterable[dict[str, Scalar]]) -> Write:
    names = _COLUMNS.replace(", ", ", :")
    return Write(f"INSERT INTO audit ({_COLUMNS}) VALUES (:{names})", tuple(rows), bulk=True)


def _entry(
    actor: Actor,
    time_us: int,
    *,
    action: str,
    kind: str,
    public_id: str,
    name: str,
    was: dict[str, Scalar] | None,
    becomes: dict[str, Scalar] | None,
) -> dict[str, Scalar]:
    return {
        "time_us": time_us,
        "actor": actor.name,
        "user_public_id": actor.user_public_id,
        "token_name": actor.token_name,
        "action": action,
        "kind": kind,
        "public_id": public_id,
        "name": name,
        "was": None if was is None else json.dumps(was),
        "becomes": None if becomes is None else json.dumps(becomes),
    }


def _parsed(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)
