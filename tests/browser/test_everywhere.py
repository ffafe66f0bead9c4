"""Every page there is: nothing keeps anybody out, nothing is wider than a phone, nothing is complained of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation
from webmacs.model import Role

ROUTER = Path(__file__).parents[2] / "frontend" / "src" / "router.ts"
PAGES = [
    path
    for path in re.findall(r"path: '(/[^']*)'", ROUTER.read_text("utf-8"))
    if path not in {"/", "/login"} and "(" not in path
]


async def furnished(installation: Installation) -> dict[str, str]:
    """Something of everything; an id for each page that shows one thing."""
    inlet, _ = await installation.add_events("Temperature of the reactor's jacket, at its inlet", "Outlet")
    await installation.rest("POST", "/experiments", {"name": "Heating curve 1"})
    run = await installation.found("/experiments", "Heating curve 1")
    await installation.rest("POST", f"/experiments/{run}/notes", {"text": "Valve 2 opened"})
    rule = {"name": "Hot", "event_public_id": inlet, "operator": "gt", "threshold": 20, "action_type": "log"}
    await installation.rest("POST", "/rules", rule)
    url = "https://example.org/a/rather/long/path/that/does/not/fit"
    await installation.rest("POST", "/webhooks", {"url": url, "events": ["sensor.reading"], "enabled": False})
    await installation.rest("POST", "/tokens", {"name": "Wall", "scope": "read"})
    board = (await installation.rest("POST", "/dashboards", {"name": "Hall"}))["public_id"]
    for kind in ("line_chart", "gauge", "stat_card", "actuator_toggle", "text_note"):
        body = {"widget_type": kind, "title": kind, "event_public_id": inlet, "config_json": '{"text": "Note"}'}
        await installation.rest("POST", f"/dashboards/{board}/widgets", body)
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 33.0})
    return {
        "dashboards": board,
        "experiments": run,
        "rules": await installation.found("/rules", "Hot"),
        "webhooks": await installation.found("/webhooks", url, "url"),
        "devices": (await installation.rest("GET", "/plugins"))["data"][0]["public_id"],
        "events": inlet,
    }


async def settled(page: Page) -> None:
    """What a page shows is there."""
    await expect(page.get_by_role("heading", level=1).first).to_be_attached()
    await expect(page.get_by_text("Loading …")).to_have_count(0)
    await page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_no_page_has_barriers(installation: Installation, visit: Visit, *, phone: bool, dark: bool) -> None:
    ids = await furnished(installation)
    page = await visit(Role.ADMIN, phone=phone, dark=dark)
    assert len(PAGES) > 18
    for path in PAGES:
        kind = path.split("/")[1]
        await page.goto(path.replace(":id", ids.get(kind, "")))
        await settled(page)
        await assert_no_barriers(page)
        if phone:
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path


async def test_what_is_not_there_is_said(installation: Installation, visit: Visit) -> None:
    page = await visit(Role.VIEWER)
    await page.goto("/nowhere")
    await expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    await page.goto("/users")
    await expect(page.get_by_text("This page is for administrators.")).to_be_visible()
    assert installation.address in page.url
