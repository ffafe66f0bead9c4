"""What holds of every page, whatever it shows: no barriers, not wider than the screen, nothing to complain of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation, ago
from tests.browser.watch import Watch
from webmacs.model import Role

ROUTER = Path(__file__).parents[2] / "frontend" / "src" / "router.ts"
LONG: Final = "REACTOR_JACKET_TEMPERATURE_UPPER_THIRD_CALIBRATED_IN_SPRING"
"""A name with no place to break it, as machines have them."""
URL: Final = f"http://127.0.0.1:9/{LONG.lower()}"

SHOWN: Final = {
    "/live": "Inlet",
    "/start": "First steps",
    "/dashboards": "Hall",
    "/dashboards/:id": "Wear goggles",
    "/dashboards/:id?edit=1": "Wear goggles",
    "/dashboards/:id/wall": "Wear goggles",
    "/experiments": "Running still",
    "/experiments/:id": "Stirred by hand",
    "/rules": "Too hot",
    "/rules/:id": "Would have fired",
    "/webhooks": URL,
    "/webhooks/:id": "webmacs.test",
    "/devices": "Rig of Inlet",
    "/devices/:id": "Channels",
    "/events": "Inlet",
    "/events/:id": "Inlet",
    "/users": "operator@example.org",
    "/tokens": "Report",
    "/account": "admin@example.org",
    "/logs": "does not answer",
    "/logs?view=audit": "Hall",
    "/there/is/no/such/page": "There is nothing here",
}
"""The pages of an administrator, and what is on each when it is there."""


async def furnish(installation: Installation) -> dict[str, str]:
    """Something of everything; the ids of one of each, by the path of its page."""
    inlet, long = await installation.add_events("Inlet", LONG)
    (heater,) = await installation.add_events("Heater", direction="output", unit="%")
    rest = installation.rest
    async with installation.telemetry() as telemetry:
        for seconds in range(600, 0, -20):
            await telemetry.send({inlet: 20 + seconds % 70, long: 12345.678, heater: 50}, at=ago(seconds))
        await rest("POST", "/experiments", {"name": f"First {LONG}"})
        experiment = await installation.found("/experiments", f"First {LONG}")
        await rest("POST", f"/experiments/{experiment}/notes", {"text": f"Stirred by hand {LONG}"})
        await telemetry.send({inlet: 30})
        await rest("PUT", f"/experiments/{experiment}/stop")
        await rest("POST", "/experiments", {"name": "Running still"})
        running = await installation.found("/experiments", "Running still")
        await rest("POST", f"/experiments/{running}/notes", {"text": "Cloudy"})

    dashboard = (await rest("POST", "/dashboards", {"name": f"Hall {LONG}", "is_global": True}))["public_id"]
    for widget in (
        {"widget_type": "line_chart", "title": LONG, "event_public_id": long, "w": 6, "h": 4},
        {"widget_type": "gauge", "title": "Inlet", "event_public_id": inlet, "x": 6},
        {"widget_type": "stat_card", "title": LONG, "event_public_id": long, "x": 10, "w": 2},
        {"widget_type": "actuator_toggle", "title": "Heater", "event_public_id": heater, "y": 4},
        {"widget_type": "text_note", "title": "Mind", "config_json": f'{{"text": "Wear goggles {LONG}"}}', "y": 7},
    ):
        await rest("POST", f"/dashboards/{dashboard}/widgets", widget)

    rule = {
        "name": f"Too hot {LONG}",
        "event_public_id": inlet,
        "operator": "gt",
        "threshold": 60,
        "action_type": "log",
    }
    await rest("POST", "/rules", rule)
    await rest("POST", "/webhooks", {"url": URL, "events": ["sensor.threshold_exceeded", "experiment.started"]})
    webhook = await installation.found("/webhooks", URL, "url")
    await rest("POST", f"/webhooks/{webhook}/test")
    await rest("POST", "/tokens", {"name": f"Report {LONG}", "scope": "read"})
    await rest("POST", "/logging", {"content": f"{LONG} does not answer", "logging_type": "error"})
    return {
        "/dashboards": dashboard,
        "/experiments": experiment,
        "/rules": await installation.found("/rules", f"Too hot {LONG}"),
        "/webhooks": webhook,
        "/devices": await installation.found("/plugins", "Rig of Inlet", "instance_name"),
        "/events": inlet,
    }


def test_every_page_of_the_router_is_looked_at() -> None:
    paths = set(re.findall(r"path: '([^']+)'", ROUTER.read_text("utf-8")))
    assert paths - {"/", "/login", "/:nothing(.*)*"} == {path.partition("?")[0] for path in SHOWN} - {
        "/there/is/no/such/page"
    }


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_no_page_has_barriers_or_is_wider_than_the_screen(
    installation: Installation, visit: Visit, phone: bool, dark: bool
) -> None:
    ids = await furnish(installation)
    inlet = ids["/events"]
    somebody, nobody = await visit(phone=phone, dark=dark), await visit(None, phone=phone, dark=dark)
    wide: list[str] = []
    async with installation.readings(inlet, every_s=0.5):
        for page, path, shown in (
            (nobody, "/login", "Sign in"),
            *((somebody, path, shown) for path, shown in SHOWN.items()),
        ):
            place = path.replace(":id", ids.get(path.partition("/:id")[0], ""))
            await page.goto(place)
            await expect(page.get_by_text(shown).filter(visible=True).first).to_be_visible()
            await expect(page.get_by_text("Loading \N{HORIZONTAL ELLIPSIS}").filter(visible=True)).to_have_count(0)
            await expect(page.get_by_role("heading", level=1), path).to_have_count(1)
            await assert_no_barriers(page)
            if not await page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                wide.append(f"{path}: {await page.evaluate('document.documentElement.scrollWidth')}")
    assert not wide


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_who_may_do_less_is_led_nowhere_and_the_server_is_asked_for_nothing_it_refuses(
    installation: Installation, visit: Visit, role: Role
) -> None:
    ids = await furnish(installation)
    page = await visit(role)
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status in {401, 403} else None)
    for path in SHOWN:
        await page.goto(path.replace(":id", ids.get(path.partition("/:id")[0], "")))
        await expect(page.get_by_role("heading", level=1), path).to_have_count(1)
        await page.wait_for_load_state("networkidle")
        await assert_no_barriers(page)
    assert not refused


async def test_a_page_about_what_is_not_there_says_so(installation: Installation, visit: Visit, watch: Watch) -> None:
    watch.allow("status of 404")
    await installation.add_events("Inlet")
    page = await visit()
    for path in SHOWN:
        if path.endswith("/:id"):
            await page.goto(path.replace(":id", "nothing-like-this"))
            said = re.compile("is not there|[Tt]here is no|cannot be shown")
            await expect(page.get_by_role("heading", name=said), path).to_be_visible()
            await expect(page.get_by_role("heading", level=1), path).to_have_count(1)
            await assert_no_barriers(page)
