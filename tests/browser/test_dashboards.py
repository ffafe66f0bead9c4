"""Dashboards: built by mouse and keyboard, saved as they change, live, on a wall; actuators that answer or do not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation
from tests.browser.watch import Watch
from webmacs.model import Role

ROW = 76  # the height of a row in the editor, 4.75rem
DEVICE_MS = 30_000  # the page waits 10 s for a device


class Controller:
    """A controller that asks to be told, see `docs/protocol.md`. What it does with a setpoint is up to the test."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def heard(self, type_: str) -> dict[str, Any]:
        """The next message of that type."""
        while True:
            message: dict[str, Any] = await self._socket.receive_json(timeout=30)
            if message["type"] == type_:
                return message

    async def told(self) -> dict[str, float]:
        """The next setpoints that are any, by event."""
        while not (setpoints := (await self.heard("setpoints"))["setpoints"]):
            pass
        return {one["event_public_id"]: one["value"] for one in setpoints}

    async def report(self, event: str, value: float) -> None:
        """What the output is read back at."""
        datapoints = [{"event_public_id": event, "value": value}]
        await self._socket.send_json({"batch_id": f"{event}-{value}", "datapoints": datapoints})
        assert (await self.heard("ack"))["accepted"] == 1


@asynccontextmanager
async def controller(installation: Installation) -> AsyncIterator[Controller]:
    """One that is connected and greeted."""
    params = {"token": await installation.session(Role.OPERATOR), "agent": "1"}
    url = f"{installation.address}/ws/controller/telemetry"
    async with aiohttp.ClientSession() as client, client.ws_connect(url, params=params) as socket:
        made = Controller(socket)
        await made.heard("hello")
        yield made


async def new_dashboard(
    installation: Installation, *widgets: dict[str, Any], role: Role = Role.OPERATOR, name: str = "Hall"
) -> str:
    """The public id of a global one with those widgets, which `role` owns."""
    body = {"name": name, "is_global": True}
    made = await installation.rest("POST", "/dashboards", body, role=role)
    for widget in widgets:
        await installation.rest("POST", f"/dashboards/{made['public_id']}/widgets", widget, role=role)
    public_id: str = made["public_id"]
    return public_id


async def places(installation: Installation, dashboard: str) -> dict[str, tuple[int, int, int, int]]:
    """Where the server has the widgets, by title: column, row, width, height."""
    found = await installation.rest("GET", f"/dashboards/{dashboard}", role=Role.OPERATOR)
    return {one["title"]: (one["x"], one["y"], one["w"], one["h"]) for one in found["widgets"]}


def actuator(event: str, title: str = "Heater") -> dict[str, Any]:
    return {"widget_type": "actuator_toggle", "title": title, "event_public_id": event, "w": 4, "h": 3}


def note(title: str, **place: int) -> dict[str, Any]:
    return {"widget_type": "text_note", "title": title, "config_json": '{"text": "Mind the gap"}', **place}


def widget(page: Page, title: str) -> Locator:
    """A widget, as it is looked at or built."""
    return page.get_by_role("article", name=title, exact=True)


def item(page: Page, title: str) -> Locator:
    """A widget that can be moved."""
    return page.get_by_role("group", name=re.compile(rf"^{title}\. Column"))


async def expect_at(page: Page, title: str, place: tuple[int, int, int, int]) -> None:
    """The editor says that the widget is there."""
    x, y, w, h = place
    said = f"{title}. Column {x + 1}, row {y + 1}, {w} wide, {h} high."
    await expect(item(page, title)).to_have_attribute("aria-label", re.compile(re.escape(said)))


async def pull(page: Page, handle: Locator, columns: int, rows: int) -> None:
    """Drag by the mouse, so many columns and rows on the grid."""
    await handle.scroll_into_view_if_needed()
    box, board = await handle.bounding_box(), await page.locator(".grid-stack").bounding_box()
    assert box is not None
    assert board is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + columns * board["width"] / 12, y + rows * ROW, steps=12)
    await page.mouse.up()


async def add(page: Page, kind: str, *events: str, title: str | None = None, **fields: str) -> None:
    """A widget, by the dialog."""
    await page.get_by_role("button", name=re.compile("^Add (a|the first) widget$")).first.click()
    dialog = page.get_by_role("dialog", name="Add a widget")
    await dialog.get_by_role("radio", name=re.compile(f"^{kind}")).check()
    if events:
        await dialog.get_by_role("button", name="Choose what it shows").click()
        picker = page.get_by_role("dialog", name="Choose events")
        for event in events:
            await picker.get_by_text(event, exact=True).click()
        if kind == "Line chart":
            await picker.get_by_role("button", name="Done").click()
        await expect(picker).to_have_count(0)
    for label, text in fields.items():
        await dialog.get_by_role("textbox", name=label).fill(text)
    if title is not None:
        await dialog.get_by_label("Title").fill(title)
    await dialog.get_by_role("button", name="Add", exact=True).click()
    await expect(dialog).to_have_count(0)


async def test_a_dashboard_is_built_by_mouse_and_keyboard_and_kept(installation: Installation, visit: Visit) -> None:
    await installation.add_events("Inlet", "Outlet")
    await installation.add_events("Valve", direction="output", unit="%")
    page = await visit(Role.OPERATOR)
    await page.goto("/dashboards")
    await page.get_by_role("button", name="New dashboard").click()
    await page.get_by_label("Name").fill("Reactor hall")
    await page.get_by_role("button", name="Create").click()
    await page.wait_for_url("**/dashboards/*?edit=1")
    dashboard = page.url.rpartition("/")[2].partition("?")[0]

    await add(page, "Line chart", "Inlet", "Outlet", title="Both")
    await add(page, "Gauge", "Inlet")
    await add(page, "Value", "Outlet")
    await add(page, "Actuator", "Valve")
    await add(page, "Note", title="Mind", Text="Wear goggles")
    places_then = {
        "Both": (0, 0, 6, 4),
        "Inlet": (6, 0, 3, 3),
        "Outlet": (9, 0, 3, 3),
        "Valve": (6, 3, 3, 3),
        "Mind": (0, 4, 4, 2),
    }
    for title, place in places_then.items():
        await expect_at(page, title, place)
    await assert_no_barriers(page)

    await pull(page, item(page, "Valve").get_by_role("heading"), -3, 3)
    await expect_at(page, "Valve", (3, 6, 3, 3))
    await item(page, "Outlet").hover()
    await pull(page, item(page, "Outlet").locator(".ui-resizable-se"), -1, 2)
    await expect_at(page, "Outlet", (9, 0, 2, 5))
    await item(page, "Mind").focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight"):
        await page.keyboard.press(key)
    await expect_at(page, "Mind", (2, 4, 5, 2))
    await expect(item(page, "Mind")).to_be_focused()

    await expect(page.get_by_text("All saved")).to_be_visible()
    now = {**places_then, "Valve": (3, 6, 3, 3), "Outlet": (9, 0, 2, 5), "Mind": (2, 4, 5, 2)}
    assert await places(installation, dashboard) == now
    await page.reload()
    for title, place in now.items():
        await expect_at(page, title, place)
    await page.get_by_role("button", name="Done").click()
    await expect(page.get_by_role("button", name="Edit")).to_be_visible()
    for title, (x, y, w, h) in now.items():
        box = page.locator(".place").filter(has=widget(page, title))
        await expect(box).to_have_css("grid-column", f"{x + 1} / span {w}")
        await expect(box).to_have_css("grid-row", f"{y + 1} / span {h}")


async def test_what_is_pushed_aside_is_saved_as_well_and_a_widget_is_changed_and_removed(
    installation: Installation, visit: Visit
) -> None:
    dashboard = await new_dashboard(installation, note("One", x=0, y=0, w=4, h=2), note("Two", x=4, y=0, w=4, h=2))
    page = await visit(Role.OPERATOR)
    await page.goto(f"/dashboards/{dashboard}?edit=1")
    await item(page, "One").focus()
    for _ in range(4):
        await page.keyboard.press("ArrowRight")
    await expect_at(page, "One", (4, 0, 4, 2))
    await expect_at(page, "Two", (4, 2, 4, 2))
    await expect(page.get_by_text("All saved")).to_be_visible()
    assert await places(installation, dashboard) == {"One": (4, 0, 4, 2), "Two": (4, 2, 4, 2)}

    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Edit One")
    await dialog.get_by_label("Text").fill("Mind your head")
    await dialog.get_by_label("Title").fill("First")
    await dialog.get_by_role("button", name="Save").click()
    await expect(widget(page, "First")).to_contain_text("Mind your head")
    await page.get_by_role("button", name="Remove Two").click()
    await page.get_by_role("dialog", name="Remove the widget?").get_by_role("button", name="Remove").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(widget(page, "First")).to_be_visible()
    await expect(widget(page, "Two")).to_have_count(0)
    assert await places(installation, dashboard) == {"First": (4, 0, 4, 2)}


async def test_widgets_show_live_telemetry(installation: Installation, page: Page) -> None:
    inlet, outlet = await installation.add_events("Inlet", "Outlet")
    chart = f'{{"events": ["{inlet}", "{outlet}"]}}'
    dashboard = await new_dashboard(
        installation,
        {"widget_type": "line_chart", "title": "Both", "event_public_id": inlet, "config_json": chart, "w": 6},
        {
            "widget_type": "gauge",
            "title": "Gauge",
            "event_public_id": inlet,
            "config_json": '{"warn_high": 60}',
            "x": 6,
        },
        {"widget_type": "stat_card", "title": "Value", "event_public_id": outlet, "y": 3},
        note("Mind", x=6, y=3, w=4, h=2),
    )
    await page.goto(f"/dashboards/{dashboard}")
    await expect(widget(page, "Mind")).to_contain_text("Mind the gap")
    await expect(widget(page, "Gauge")).to_contain_text("no reading yet")
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 42.5, outlet: 8.25})
        await expect(widget(page, "Gauge").get_by_test_id("value")).to_have_text("42.50")
        await expect(widget(page, "Value").get_by_test_id("value")).to_have_text("8.250")
        for event, shown in (("Inlet", "42.50"), ("Outlet", "8.250")):
            key = widget(page, "Both").get_by_role("button", name=event)
            await expect(key).to_contain_text(shown)
        await telemetry.send({inlet: 75.0, outlet: 9.5})
        await expect(widget(page, "Gauge")).to_contain_text("75.00")
        await expect(widget(page, "Gauge")).to_contain_text("out of its limits")
        await expect(widget(page, "Value")).to_contain_text("+1.250")
        await expect(widget(page, "Value")).to_contain_text("max 9.500")
        await expect(widget(page, "Both").get_by_role("button", name="Inlet")).to_contain_text("75.00")


async def test_a_setpoint_is_heard_by_the_controller_and_confirmed_by_what_it_reads_back(
    installation: Installation, visit: Visit
) -> None:
    (heater,) = await installation.add_events("Heater power", direction="output", unit="%")
    dashboard = await new_dashboard(installation, actuator(heater))
    page = await visit(Role.OPERATOR)
    async with controller(installation) as device:
        await device.report(heater, 10)
        await page.goto(f"/dashboards/{dashboard}")
        box = widget(page, "Heater")
        await expect(box.get_by_test_id("value")).to_have_text("10.00")
        number = box.get_by_label("Heater power, by number")
        await number.fill("101")
        await expect(box.get_by_role("button", name="Set")).to_be_disabled()
        await number.fill("42.5")
        await box.get_by_role("button", name="Set").click()
        assert await device.told() == {heater: 42.5}
        await expect(box.get_by_role("status")).to_have_text("Set to 42.5 %; waiting for the device.")
        await expect(box.get_by_test_id("value")).to_have_text("10.00")  # that is still what is known of it
        await device.report(heater, 42.51)
        await expect(box.get_by_test_id("value")).to_have_text("42.51")
        await expect(box.get_by_role("status")).to_have_text("")
        await assert_no_barriers(page)


async def test_a_device_that_does_not_answer_is_not_taken_to_have_done_it(
    installation: Installation, visit: Visit
) -> None:
    (heater,) = await installation.add_events("Heater power", direction="output", unit="%")
    page = await visit(Role.OPERATOR)
    await page.goto(f"/dashboards/{await new_dashboard(installation, actuator(heater))}")
    box = widget(page, "Heater")
    await box.get_by_label("Heater power, by number").fill("42.5")
    await box.get_by_role("button", name="Set").click()
    await expect(box.get_by_role("status")).to_have_text("Set to 42.5 %; waiting for the device.")
    await expect(box.get_by_role("status")).to_contain_text("but the device has not reported it.", timeout=DEVICE_MS)
    await expect(box.get_by_test_id("value")).to_have_text("\N{EN DASH}")
    await assert_no_barriers(page)


async def test_on_a_wall_it_takes_a_second_tap_to_switch(installation: Installation, visit: Visit) -> None:
    (pump,) = await installation.add_events("Pump", direction="output", unit="on")
    await installation.rest("PUT", f"/events/{pump}", {"max_value": 1})
    dashboard = await new_dashboard(installation, actuator(pump, "Feed"), name="Shop floor")
    page = await visit(Role.OPERATOR)
    async with controller(installation) as device:
        await device.report(pump, 0)
        await page.goto(f"/dashboards/{dashboard}")
        await page.get_by_role("button", name="Full screen").click()
        await page.wait_for_url("**/wall")
        await expect(page.get_by_role("heading", name="Shop floor")).to_be_visible()
        await expect(page.get_by_role("navigation")).to_have_count(0)
        switch = widget(page, "Feed").get_by_role("switch", name="Pump")
        await expect(switch).to_have_text("Switch on")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
        await switch.click()
        await expect(switch).to_have_text("Tap again to switch on")
        assert not [url for url in sent if url.endswith("/datapoints")]
        await assert_no_barriers(page)
        await switch.click()
        assert await device.told() == {pump: 1.0}
        await device.report(pump, 1)
        await expect(switch).to_be_checked()
        await expect(switch).to_have_text("Switch off")
        await page.keyboard.press("Escape")
        await page.wait_for_url(f"**/dashboards/{dashboard}")


async def test_a_viewer_sees_a_global_dashboard_and_changes_nothing(installation: Installation, visit: Visit) -> None:
    (heater,) = await installation.add_events("Heater power", direction="output", unit="%")
    dashboard = await new_dashboard(installation, actuator(heater), note("Mind", x=4))
    await installation.rest("POST", "/dashboards", {"name": "My own", "is_global": False}, role=Role.OPERATOR)
    page = await visit(Role.VIEWER)
    await page.goto("/dashboards")
    await expect(page.get_by_role("link", name="Hall")).to_be_visible()
    await expect(page.get_by_role("link", name="My own")).to_have_count(0)
    await expect(page.get_by_role("button", name="New dashboard")).to_have_count(0)
    await expect(page.get_by_role("button", name="More about Hall")).to_have_count(0)
    await page.goto(f"/dashboards/{dashboard}?edit=1")
    await expect(widget(page, "Mind")).to_contain_text("Mind the gap")
    await expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    await expect(page.get_by_role("button", name="Add a widget")).to_have_count(0)
    await expect(item(page, "Mind")).to_have_count(0)
    await expect(widget(page, "Heater").get_by_role("button", name="Set")).to_be_disabled()
    await expect(widget(page, "Heater")).to_contain_text("Operators may set it.")


async def test_a_layout_that_cannot_be_saved_is_kept_and_saved_by_trying_again(
    installation: Installation, visit: Visit, watch: Watch
) -> None:
    watch.allow("net::ERR_FAILED")
    dashboard = await new_dashboard(installation, note("Mind", w=4, h=2))
    page = await visit(Role.OPERATOR)
    await page.goto(f"/dashboards/{dashboard}?edit=1")

    async def refuse(route: Route) -> None:
        await (route.abort() if route.request.method == "PUT" else route.continue_())

    pattern = re.compile("/widgets/")
    await page.route(pattern, refuse)
    await item(page, "Mind").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    await expect(page.get_by_text("All saved")).to_have_count(0)
    await page.get_by_role("button", name="Done").click()
    await expect(page.get_by_role("alert").filter(has_text="Not everything is saved")).to_be_visible()
    await expect_at(page, "Mind", (1, 0, 4, 2))
    assert await places(installation, dashboard) == {"Mind": (0, 0, 4, 2)}
    await page.unroute(pattern, refuse)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("All saved")).to_be_visible()
    assert await places(installation, dashboard) == {"Mind": (1, 0, 4, 2)}
