"""Dashboards of one's own: built by mouse and keyboard, shown, on a wall; actuators on them."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.async_api import Locator, Page, Route, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation
from tests.browser.watch import Watch
from webmacs.model import Role


async def begin(page: Page, name: str = "Reactor hall") -> str:
    """A new dashboard, being built: its public id."""
    await page.goto("/dashboards")
    await page.get_by_role("button", name="New dashboard").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("button", name="Done")).to_be_visible()
    return page.url.rpartition("/")[2].partition("?")[0]


async def add(page: Page, kind: str, *events: str, text: str = "") -> None:
    """Add a widget by the dialog."""
    await page.get_by_role("button", name=re.compile("^Add (a|the first) widget")).first.click()
    form = page.get_by_role("dialog", name="Add a widget")
    await form.get_by_role("radio", name=re.compile(f"^{kind} ")).check()
    if events:
        await form.get_by_role("button", name="Choose what it shows").click()
        chooser = page.get_by_role("dialog", name="Choose events")
        for event in events:
            await chooser.get_by_role("searchbox").fill(event)
            several = kind == "Line chart"
            await chooser.get_by_role("checkbox" if several else "radio", name=re.compile(f"^{event} ")).click()
        if kind == "Line chart":
            await chooser.get_by_role("button", name="Done").click()
        await expect(chooser).to_have_count(0)
    if text:
        await form.get_by_role("textbox", name="Text").fill(text)
    await form.get_by_role("button", name="Add", exact=True).click()
    await expect(form).to_have_count(0)


def widget(page: Page, title: str) -> Locator:
    return page.get_by_role("article", name=title)


async def drag(page: Page, handle: Locator, by: tuple[float, float]) -> None:
    """Drag as a hand does: press, move in steps, let go."""
    box = await handle.bounding_box()
    assert box is not None
    x, y = box["x"] + min(40, box["width"] / 2), box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    for part in range(1, 11):
        await page.mouse.move(x + by[0] * part / 10, y + by[1] * part / 10)
    await page.mouse.up()


async def places(
    installation: Installation, board: str, owner: Role = Role.OPERATOR
) -> dict[str, tuple[int, int, int, int]]:
    """Where the widgets are, as the server has it."""
    found = await installation.rest("GET", f"/dashboards/{board}", role=owner)
    return {one["title"]: (one["x"], one["y"], one["w"], one["h"]) for one in found["widgets"]}


async def board_with(installation: Installation, *widgets: dict[str, Any], is_global: bool = True) -> str:
    """A dashboard of the administrator's, by the API."""
    board = await installation.rest("POST", "/dashboards", {"name": "Hall", "is_global": is_global})
    for one in widgets:
        await installation.rest("POST", f"/dashboards/{board['public_id']}/widgets", one)
    return str(board["public_id"])


async def test_a_dashboard_is_built_by_drag(installation: Installation, visit: Visit) -> None:
    await installation.add_events("Inlet", "Outlet")
    await installation.add_events("Heater", direction="output", unit="%")
    page = await visit(Role.OPERATOR)
    board = await begin(page)
    await add(page, "Line chart", "Inlet", "Outlet")
    await add(page, "Gauge", "Inlet")
    await add(page, "Value", "Outlet")
    await add(page, "Actuator", "Heater")
    await add(page, "Note", text="Keep it below 180 °C.\nOn call: 4711")
    before = await places(installation, board)
    assert len(before) == 5 - 1  # two of them are called as their event, Inlet
    await assert_no_barriers(page)

    column = (await page.locator(".grid-stack").bounding_box() or {"width": 0})["width"] / 12
    row = 76.0
    note = widget(page, "Note")
    await drag(page, note.locator(".handle"), (3 * column, 4 * row))
    await expect(page.get_by_role("status").filter(has_text="All saved")).to_be_visible()
    moved = await places(installation, board)
    assert moved["Note"][:2] == (before["Note"][0] + 3, before["Note"][1] + 4)
    assert {name: place for name, place in moved.items() if name != "Note"} == {
        name: place for name, place in before.items() if name != "Note"
    }

    await page.locator(".grid-stack-item", has=note).hover()
    await drag(page, page.locator(".grid-stack-item", has=note).locator(".ui-resizable-se"), (2 * column, row))
    await expect(page.get_by_role("status").filter(has_text="All saved")).to_be_visible()
    resized = await places(installation, board)
    assert resized["Note"][:2] == moved["Note"][:2]
    assert (resized["Note"][2] > moved["Note"][2], resized["Note"][3] > moved["Note"][3]) == (True, True)

    await page.locator(".grid-stack-item", has=note).focus()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Shift+ArrowUp")
    await expect(page.get_by_role("status").filter(has_text="Saving")).to_be_visible()
    await page.get_by_role("button", name="Done").click()
    await expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()
    x, y, w, h = resized["Note"]
    assert (await places(installation, board))["Note"] == (x - 1, y, w, h - 1)
    await page.reload()
    await expect(widget(page, "Note").get_by_text("On call: 4711")).to_be_visible()
    await expect(page.get_by_role("article")).to_have_count(5)


async def test_widgets_show_what_comes(installation: Installation, visit: Visit) -> None:
    inlet, outlet = await installation.add_events("Inlet", "Outlet")
    board = await board_with(
        installation,
        {"widget_type": "gauge", "title": "Gauge", "event_public_id": inlet, "config_json": '{"warn_high": 50}'},
        {"widget_type": "stat_card", "title": "Card", "event_public_id": outlet, "x": 4},
        {"widget_type": "line_chart", "title": "Chart", "event_public_id": inlet, "y": 3, "w": 6},
        {"widget_type": "text_note", "title": "Note", "config_json": json.dumps({"text": "<b>as it is</b>"}), "x": 8},
        {"widget_type": "gauge", "title": "Empty", "y": 6},
    )
    page = await visit(Role.VIEWER)
    await page.goto(f"/dashboards/{board}")
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 33.0, outlet: 44.0})
        await expect(widget(page, "Gauge").get_by_test_id("value")).to_have_text("33.00")
        await expect(widget(page, "Card").get_by_test_id("value")).to_have_text("44.00")
        await expect(widget(page, "Chart")).to_contain_text("33.00")
        await telemetry.send({inlet: 66.0})
        await expect(widget(page, "Gauge")).to_contain_text("out of its limits")
    await expect(widget(page, "Note")).to_contain_text("<b>as it is</b>")
    await expect(widget(page, "Empty")).to_contain_text("No event was chosen")
    await expect(page.get_by_role("button", name="Edit", exact=True)).to_have_count(0)


async def test_an_actuator_is_set_and_reports_back(installation: Installation, visit: Visit) -> None:
    (heater,) = await installation.add_events("Heater", direction="output", unit="%")
    board = await board_with(
        installation, {"widget_type": "actuator_toggle", "title": "Heater", "event_public_id": heater}
    )
    page = await visit(Role.OPERATOR)
    await page.goto(f"/dashboards/{board}")
    one = widget(page, "Heater")
    async with installation.telemetry() as telemetry:
        await telemetry.send({heater: 10.0})
        await expect(one.get_by_test_id("value")).to_have_text("10.00")
        await one.get_by_label("Heater, by number").fill("140")
        await expect(one.get_by_role("button", name="Set")).to_be_disabled()
        await one.get_by_label("Heater, by number").fill("55")
        await one.get_by_role("button", name="Set").click()
        await expect(one.get_by_test_id("value")).to_have_text("55.00")
        await telemetry.send({heater: 54.0})  # and what the device makes of it
        await expect(one.get_by_test_id("value")).to_have_text("54.00")
    newest = await installation.rest("GET", "/datapoints?page_size=5")
    assert 55.0 in [point["value"] for point in newest["data"]]


async def test_on_a_wall_an_actuator_takes_a_second_tap(installation: Installation, visit: Visit) -> None:
    (valve,) = await installation.add_events("Valve", direction="output", unit="1")
    await installation.rest("PUT", f"/events/{valve}", {"max_value": 1})
    board = await board_with(
        installation, {"widget_type": "actuator_toggle", "title": "Valve", "event_public_id": valve}
    )
    page = await visit(Role.OPERATOR)
    await page.goto(f"/dashboards/{board}/wall")
    switch = page.get_by_role("switch", name="Valve")
    async with installation.telemetry() as telemetry:
        await telemetry.send({valve: 0.0})
        await expect(switch).to_have_text("Switch on")
        await switch.click()
        await expect(switch).to_have_text("Tap again to switch on")
        await expect(page.get_by_test_id("value")).to_have_text("Off")
        await switch.click()
        await expect(page.get_by_test_id("value")).to_have_text("On")
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(re.compile(f"/dashboards/{board}$"))


async def test_a_layout_that_could_not_be_saved_is_kept(installation: Installation, visit: Visit, watch: Watch) -> None:
    watch.allow("ERR_FAILED")
    board = await board_with(installation, {"widget_type": "text_note", "title": "Note"})
    page = await visit(Role.ADMIN)
    await page.goto(f"/dashboards/{board}")
    await page.get_by_role("button", name="Edit", exact=True).click()

    async def refuse(route: Route) -> None:
        await (route.abort() if route.request.method == "PUT" else route.continue_())

    await page.route("**/widgets/*", refuse)
    await page.locator(".grid-stack-item").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
    assert (await places(installation, board, Role.ADMIN))["Note"] == (0, 0, 4, 3)
    await page.unroute("**/widgets/*")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("status").filter(has_text="All saved")).to_be_visible()
    assert (await places(installation, board, Role.ADMIN))["Note"] == (1, 0, 4, 3)


async def test_limits_of_a_gauge_are_given_in_its_form(installation: Installation, visit: Visit) -> None:
    (inlet,) = await installation.add_events("Inlet")
    theirs = {"widget_type": "gauge", "title": "Gauge", "event_public_id": inlet, "config_json": '{"theirs": 1}'}
    board = await board_with(installation, theirs)
    page = await visit(Role.ADMIN)
    await page.goto(f"/dashboards/{board}?edit=1")
    await page.get_by_role("button", name="Edit Gauge").click()
    form = page.get_by_role("dialog", name="Edit Gauge")
    await form.get_by_label("Warn below").fill("60")
    await form.get_by_label("Warn above").fill("50")
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_text("It is less than the upper limit.")).to_be_visible()
    await form.get_by_label("Warn below").fill("")
    await form.get_by_role("button", name="Save").click()
    await expect(form).to_have_count(0)
    (found,) = (await installation.rest("GET", f"/dashboards/{board}"))["widgets"]
    assert json.loads(found["config_json"]) == {"theirs": 1, "warn_high": 50}
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 66.0})
        await expect(widget(page, "Gauge")).to_contain_text("out of its limits")


async def test_a_widget_that_somebody_else_removed_holds_nothing_up(
    installation: Installation, visit: Visit, watch: Watch
) -> None:
    watch.allow("404")
    board = await board_with(
        installation,
        {"widget_type": "text_note", "title": "First"},
        {"widget_type": "text_note", "title": "Second", "x": 6},
    )
    first = (await installation.rest("GET", f"/dashboards/{board}"))["widgets"][0]["public_id"]
    page = await visit(Role.ADMIN)
    await page.goto(f"/dashboards/{board}?edit=1")
    await expect(page.locator(".grid-stack-item")).to_have_count(2)
    await installation.rest("DELETE", f"/dashboards/{board}/widgets/{first}")
    for one in ("First", "Second"):
        await page.locator(".grid-stack-item", has=widget(page, one)).focus()
        await page.keyboard.press("ArrowDown")
    await expect(page.get_by_text("First is gone: somebody has removed it meanwhile.")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="All saved")).to_be_visible()
    assert await places(installation, board, Role.ADMIN) == {"Second": (6, 1, 4, 3)}
    await page.get_by_role("button", name="Done").click()
    await expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()


async def test_what_ends_the_full_screen_leaves_the_wall(installation: Installation, visit: Visit) -> None:
    board = await board_with(installation, {"widget_type": "text_note", "title": "Note"})
    page = await visit(Role.VIEWER)
    await page.goto(f"/dashboards/{board}")
    await page.get_by_role("button", name="Full screen").click()
    await expect(page).to_have_url(re.compile("/wall$"))
    assert await page.evaluate("document.fullscreenElement !== null")
    await page.evaluate("document.exitFullscreen()")  # as a browser does at Escape, of which it tells nobody
    await expect(page).to_have_url(re.compile(f"/dashboards/{board}$"))


async def test_a_device_that_does_something_else_is_noticed(installation: Installation, visit: Visit) -> None:
    (heater,) = await installation.add_events("Heater", direction="output", unit="%")
    (inlet,) = await installation.add_events("Inlet")
    board = await board_with(
        installation,
        {"widget_type": "actuator_toggle", "title": "Heater", "event_public_id": heater},
        {"widget_type": "actuator_toggle", "title": "No actuator", "event_public_id": inlet, "x": 4},
    )
    page = await visit(Role.OPERATOR)
    await page.goto(f"/dashboards/{board}")
    one = widget(page, "Heater")
    async with installation.telemetry() as telemetry:
        await telemetry.send({heater: 10.0, inlet: 20.0})
        await one.get_by_label("Heater, by number").fill("55")
        await one.get_by_role("button", name="Set").click()
        await expect(one.get_by_test_id("value")).to_have_text("55.00")  # the command itself, come back
        await telemetry.send({heater: 10.0})
        await expect(one.get_by_test_id("value")).to_have_text("10.00")
        await expect(one.get_by_role("status")).to_have_text(
            re.compile(r"^Set to 55 % at .*something else is reported")
        )
    await expect(widget(page, "No actuator")).to_contain_text("Inlet is a sensor: there is nothing to set.")
    await expect(widget(page, "No actuator").get_by_role("button")).to_have_count(0)


async def test_on_a_phone_dashboards_are_looked_at(installation: Installation, visit: Visit) -> None:
    board = await board_with(
        installation,
        {"widget_type": "text_note", "title": "Left", "w": 6},
        {"widget_type": "text_note", "title": "Right", "x": 6, "w": 6},
    )
    page = await visit(Role.ADMIN, phone=True)
    for path in (f"/dashboards/{board}?edit=1", f"/dashboards/{board}/wall"):
        await page.goto(path)
        await expect(page.get_by_role("article")).to_have_count(2)
        left, right = [await widget(page, one).bounding_box() for one in ("Left", "Right")]
        assert left is not None
        assert right is not None
        assert (left["x"], left["width"]) == (right["x"], right["width"])
        assert right["y"] >= left["y"] + left["height"]
        await expect(page.locator(".grid-stack")).to_have_count(0)
        await assert_no_barriers(page)
