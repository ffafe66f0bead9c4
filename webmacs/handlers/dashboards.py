"""`/dashboards`: what people put on their screens, and the widgets on it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict

from webmacs.auth import INSUFFICIENT
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import AuthError, Conflict, NotFound
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import (
    Call,
    Done,
    Page,
    PageQuery,
    Text,
    Timestamp,
    changes,
    done,
    parsed,
    timestamp,
    unset,
)
from webmacs.model import Identity, Role
from webmacs.storage import dashboards
from webmacs.storage.base import Storage
from webmacs.storage.dashboards import Dashboard, Widget

MAX_CONFIG_LENGTH: Final = 16_384
"""Of the texts of a widget: a page of a hundred full dashboards has to fit into memory."""

OWNERLESS: Final = "whoever made it is gone: if it were not global, nobody could see it; remove it instead"


def _json(text: str) -> str:
    try:
        parsed(text)
    except ValueError:
        raise ValueError("must be JSON") from None
    return text


WidgetType = Literal["line_chart", "gauge", "stat_card", "actuator_toggle", "text_note"]
Position = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Size = Annotated[int, Field(ge=1, le=12)]
Config = Annotated[str, Field(max_length=MAX_CONFIG_LENGTH), AfterValidator(_json)]


class WidgetShape(TypedDict):
    """A widget."""

    public_id: str
    widget_type: str
    title: str
    event_public_id: str | None
    x: int
    y: int
    w: int
    h: int
    config_json: str | None


class DashboardShape(TypedDict):
    """A dashboard with its widgets, the oldest first."""

    public_id: str
    name: str
    is_global: bool
    created_on: Timestamp
    user_public_id: str
    widgets: list[WidgetShape]


class NewDashboard(BaseModel):
    """A new dashboard; a global one is for everybody."""

    name: Text
    is_global: bool = False


class DashboardChange(BaseModel):
    """What changes; the rest stays."""

    name: Text = unset()
    is_global: bool = unset()


class NewWidget(BaseModel):
    """A new widget; `config_json` is a text of JSON that means something to those who draw it."""

    widget_type: WidgetType
    title: Text
    event_public_id: Text | None = None
    x: Position = 0
    y: Position = 0
    w: Size = 4
    h: Size = 3
    config_json: Config | None = None


class WidgetChange(BaseModel):
    """What changes; the rest stays."""

    title: Text = unset()
    event_public_id: Text | None = unset()
    x: Position = unset()
    y: Position = unset()
    w: Size = unset()
    h: Size = unset()
    config_json: Config | None = unset()


class DashboardRoutes:
    """The handlers of the resource. Shown are one's own and the global ones; owner and administrators change them."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/dashboards", f"{PREFIX}/dashboards/{{public_id}}"
        widgets, widget = f"{one}/widgets", f"{one}/widgets/{{widget_id}}"
        operator, guard = Role.OPERATOR, self._owner_or_administrator
        routes.add("GET", every, self.listed)
        routes.add("POST", every, self.add, needs=operator, status=201, fails=(409,))
        routes.add("GET", one, self.show)
        routes.add("PUT", one, self.change, needs=operator, fails=(409,), guard=guard)
        routes.add("DELETE", one, self.remove, needs=operator, guard=guard)
        routes.add("POST", widgets, self.add_widget, needs=operator, status=201, fails=(409,), guard=guard)
        routes.add("PUT", widget, self.change_widget, needs=operator, guard=guard)
        routes.add("DELETE", widget, self.remove_widget, needs=operator, guard=guard)

    async def listed(self, call: Call[None, PageQuery]) -> Page[DashboardShape]:
        """A page of one's own dashboards and the global ones, the newest first."""
        user_id, query = call.identity.user.id, call.query
        found, total = await dashboards.page(self._storage, user_id, limit=query.page_size, offset=query.offset)
        return query.holding([self._shape(dashboard) for dashboard in found], total)

    async def add(self, call: Call[NewDashboard]) -> DashboardShape:
        """Add a dashboard; the answer is what is shown of it."""
        new, user_id, now_us = call.body, call.identity.user.id, self._clock.now_us()
        return self._shape(
            await dashboards.add_dashboard(
                self._storage.signed(call.actor), name=new.name, is_global=new.is_global, user_id=user_id, now_us=now_us
            )
        )

    async def show(self, call: Call) -> DashboardShape:
        """One dashboard. Those of others that are not global are their own business."""
        dashboard = await dashboards.dashboard(self._storage, call.named())
        if not dashboard.is_global and dashboard.user_id != call.identity.user.id:
            raise AuthError(INSUFFICIENT)
        return self._shape(dashboard)

    async def change(self, call: Call[DashboardChange]) -> Done:
        """Rename a dashboard, or say for whom it is."""
        public_id, changed = call.named(), changes(call.body)
        if changed.get("is_global") == 0 and await dashboards.owner(self._storage, public_id) is None:
            raise Conflict(OWNERLESS)
        await dashboards.change_dashboard(self._storage.signed(call.actor), public_id, **changed)
        return done("dashboard changed")

    async def remove(self, call: Call) -> Done:
        """Remove a dashboard with its widgets."""
        await dashboards.remove_dashboard(self._storage.signed(call.actor), call.named())
        return done("dashboard removed")

    async def add_widget(self, call: Call[NewWidget]) -> WidgetShape:
        """Add a widget; the answer is what is shown of it."""
        new = call.body
        return _widget(
            await dashboards.add_widget(
                self._storage.signed(call.actor),
                call.named(),
                widget_type=new.widget_type,
                title=new.title,
                event=new.event_public_id,
                x=new.x,
                y=new.y,
                w=new.w,
                h=new.h,
                config_json=new.config_json,
                now_us=self._clock.now_us(),
            )
        )

    async def change_widget(self, call: Call[WidgetChange]) -> Done:
        """Change a widget; `event_public_id` null: it shows none."""
        changed = changes(call.body)
        if "event_public_id" in changed:
            changed["event"] = changed.pop("event_public_id")
        await dashboards.change_widget(
            self._storage.signed(call.actor), call.named(), call.named("widget_id"), **changed
        )
        return done("widget changed")

    async def remove_widget(self, call: Call) -> Done:
        """Remove a widget."""
        await dashboards.remove_widget(self._storage.signed(call.actor), call.named(), call.named("widget_id"))
        return done("widget removed")

    async def _owner_or_administrator(self, caller: Identity, request: web.Request) -> None:
        if caller.user.role is Role.ADMIN:
            return
        try:
            owner = await dashboards.owner(self._storage, Call(request, caller, None, None).named())
        except NotFound:
            return  # which is said later: first comes what is wrong with the body
        if owner != caller.user.id:
            raise AuthError(INSUFFICIENT)

    def _shape(self, dashboard: Dashboard) -> DashboardShape:
        user = self._catalog.current.users_by_id.get(dashboard.user_id or 0)
        return {
            "public_id": dashboard.public_id,
            "name": dashboard.name,
            "is_global": dashboard.is_global,
            "created_on": timestamp(dashboard.created_us),
            "user_public_id": user.public_id if user else "",
            "widgets": [_widget(widget) for widget in dashboard.widgets],
        }


def _widget(widget: Widget) -> WidgetShape:
    return {
        "public_id": widget.public_id,
        "widget_type": widget.widget_type,
        "title": widget.title,
        "event_public_id": widget.event_public_id,
        "x": widget.x,
        "y": widget.y,
        "w": widget.w,
        "h": widget.h,
        "config_json": widget.config_json,
    }
