"""Dashboards and their widgets: the statements, once for every backend. Nothing of it is in the catalog."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from webmacs.errors import Conflict, NotFound
from webmacs.model import Scalar, Write
from webmacs.storage.base import Row, Tables
from webmacs.storage.statements import delete, on_one, update

MAX_DASHBOARDS: Final = 100
"""How many a user may have. Of several that are added in the same moment, one or the other may get in beyond that."""

MAX_WIDGETS: Final = 64
"""How many may be on a dashboard; the same holds."""

_VISIBLE: Final = "(is_global = 1 OR user_id = :user_id)"
_WITH_WIDGETS: Final = (
    "SELECT d.public_id, d.name, d.is_global, d.user_id, d.created_us,"
    " w.public_id, w.widget_type, w.title, e.public_id, w.x, w.y, w.w, w.h, w.config_json"
    " FROM ({dashboards}) AS d LEFT JOIN widgets AS w ON w.dashboard_id = d.id"
    " LEFT JOIN events AS e ON e.id = w.event_id ORDER BY d.id DESC, w.id"
)
_DASHBOARD_COLUMNS: Final = 5
_PAGE: Final = _WITH_WIDGETS.format(
    dashboards=f"SELECT * FROM dashboards WHERE {_VISIBLE} ORDER BY id DESC LIMIT :limit OFFSET :offset"
)
_ONE: Final = _WITH_WIDGETS.format(dashboards="SELECT * FROM dashboards WHERE public_id = :public_id")
_ON_DASHBOARD: Final = (
    " WHERE public_id = :public_id AND dashboard_id = (SELECT id FROM dashboards WHERE public_id = :dashboard)"
)


@dataclass(frozen=True, slots=True)
class Widget:
    """A part of a dashboard, and where on it. `event_public_id` None: it shows none, or one that is gone."""

    public_id: str
    widget_type: str
    title: str
    event_public_id: str | None
    x: int
    y: int
    w: int
    h: int
    config_json: str | None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of widgets, the oldest first. A global one is for everybody; `user_id` None: its owner is gone."""

    public_id: str
    name: str
    is_global: bool
    user_id: int | None
    created_us: int
    widgets: tuple[Widget, ...] = ()


async def page(storage: Tables, user_id: int, *, limit: int, offset: int) -> tuple[list[Dashboard], int]:
    """Some of those that a user sees, the newest first, and how many there are."""
    rows = await storage.fetch(_PAGE, user_id=user_id, limit=limit, offset=offset)
    total = await storage.fetch(f"SELECT count(*) FROM dashboards WHERE {_VISIBLE}", user_id=user_id)
    return _dashboards(rows), total[0][0]


async def dashboard(storage: Tables, public_id: str) -> Dashboard:
    """One dashboard, whoever owns it. Raises `NotFound`."""
    found = _dashboards(await storage.fetch(_ONE, public_id=public_id))
    if not found:
        raise _missing(public_id)
    return found[0]


async def owner(storage: Tables, public_id: str) -> int | None:
    """The id of the user who owns a dashboard; None when that user is gone. Raises `NotFound`."""
    rows = await storage.fetch("SELECT user_id FROM dashboards WHERE public_id = :public_id", public_id=public_id)
    if not rows:
        raise _missing(public_id)
    user_id: int | None = rows[0][0]
    return user_id


async def add_dashboard(storage: Tables, *, name: str, is_global: bool, user_id: int, now_us: int) -> Dashboard:
    """Add a dashboard. Raises `Conflict` when the user has as many as there may be."""
    row: dict[str, Scalar] = {
        "public_id": str(uuid.uuid4()),
        "name": name,
        "is_global": int(is_global),
        "user_id": user_id,
        "now_us": now_us,
        "most": MAX_DASHBOARDS,
    }
    added = await storage.write(
        Write(
            "INSERT INTO dashboards (public_id, name, is_global, user_id, created_us)"
            " SELECT :public_id, :name, :is_global, :user_id, :now_us"
            " WHERE (SELECT count(*) FROM dashboards WHERE user_id = :user_id) < :most",
            (row,),
        )
    )
    if not added:
        raise Conflict(f"you have {MAX_DASHBOARDS} dashboards, and there may be no more; remove one first")
    return Dashboard(str(row["public_id"]), name, is_global, user_id, now_us)


async def change_dashboard(storage: Tables, public_id: str, **changed: Scalar) -> None:
    """Change columns of a dashboard. Raises `NotFound`."""
    await on_one(storage, "dashboard", public_id, update("dashboards", public_id, changed))


async def remove_dashboard(storage: Tables, public_id: str) -> None:
    """Remove a dashboard with its widgets. Raises `NotFound`."""
    await on_one(storage, "dashboard", public_id, delete("dashboards", public_id))


async def add_widget(
    storage: Tables,
    dashboard: str,
    *,
    widget_type: str,
    title: str,
    now_us: int,
    event: str | None = None,
    x: int = 0,
    y: int = 0,
    w: int = 4,
    h: int = 3,
    config_json: str | None = None,
) -> Widget:
    """Add a widget to a dashboard; that and the event by public id.

    Raises:
        Conflict: the dashboard has as many as there may be.
        NotFound: there is no such dashboard, or no such event.

    """
    widget = Widget(str(uuid.uuid4()), widget_type, title, event, x, y, w, h, config_json)
    row: dict[str, Scalar] = {
        "public_id": widget.public_id,
        "dashboard": dashboard,
        "widget_type": widget_type,
        "title": title,
        "event": event,
        "x": x,
        "y": y,
        "w": w,
        "h": h,
        "config_json": config_json,
        "now_us": now_us,
        "most": MAX_WIDGETS,
    }
    added = await storage.write(
        Write(
            "INSERT INTO widgets (public_id, dashboard_id, widget_type, title, event_id, x, y, w, h, config_json,"
            " created_us) SELECT :public_id, d.id, :widget_type, :title, e.id, :x, :y, :w, :h, :config_json, :now_us"
            " FROM dashboards AS d LEFT JOIN events AS e ON e.public_id = :event WHERE d.public_id = :dashboard"
            " AND (e.id IS NOT NULL OR :event IS NULL)"
            " AND (SELECT count(*) FROM widgets WHERE dashboard_id = d.id) < :most",
            (row,),
        )
    )
    if not added:
        await owner(storage, dashboard)
        await _event_id(storage, event)
        raise Conflict(f"the dashboard has {MAX_WIDGETS} widgets, and there may be no more; remove one first")
    return widget


async def change_widget(storage: Tables, dashboard: str, public_id: str, **changed: Scalar) -> None:
    """Change columns of a widget on that dashboard; `event` is the public id of its event, or None.

    Raises `NotFound` when there is no such dashboard, no such widget on it, or no such event.
    """
    await owner(storage, dashboard)
    if "event" in changed:
        event = changed.pop("event")
        changed["event_id"] = await _event_id(storage, None if event is None else str(event))
    settings = ", ".join(f"{name} = :{name}" for name in changed) or "public_id = public_id"
    row: dict[str, Scalar] = {**changed, "public_id": public_id, "dashboard": dashboard}
    await on_one(storage, "widget", public_id, Write(f"UPDATE widgets SET {settings}{_ON_DASHBOARD}", (row,)))


async def remove_widget(storage: Tables, dashboard: str, public_id: str) -> None:
    """Remove a widget from that dashboard. Raises `NotFound` when either is not there."""
    await owner(storage, dashboard)
    row = {"public_id": public_id, "dashboard": dashboard}
    await on_one(storage, "widget", public_id, Write(f"DELETE FROM widgets{_ON_DASHBOARD}", (row,)))


async def _event_id(storage: Tables, public_id: str | None) -> int | None:
    """Raises `NotFound` for one that is not there; None is none."""
    if public_id is None:
        return None
    rows = await storage.fetch("SELECT id FROM events WHERE public_id = :public_id", public_id=public_id)
    if not rows:
        raise NotFound(f"there is no event {public_id}")
    return int(rows[0][0])


def _missing(public_id: str) -> NotFound:
    return NotFound(f"there is no dashboard {public_id}")


def _dashboards(rows: Iterable[Row]) -> list[Dashboard]:
    """Rows of dashboards, each with one of its widgets; those of a dashboard stand together."""
    found = []
    for (public_id, name, is_global, user_id, created_us), group in groupby(rows, lambda row: row[:_DASHBOARD_COLUMNS]):
        parts = (row[_DASHBOARD_COLUMNS:] for row in group)
        widgets = tuple(Widget(*part) for part in parts if part[0] is not None)
        found.append(Dashboard(public_id, name, bool(is_global), user_id, created_us, widgets))
    return found
