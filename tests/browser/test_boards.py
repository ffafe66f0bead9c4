"""Dashboards beside others who change them, on a phone, and out of the full screen again."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.async_api import Locator, Page, expect

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
