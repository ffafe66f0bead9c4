"""The dashboard that is delivered, from signing in to the first live value."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import EMAILS, Installation
from tests.browser.watch import AWAY, Watch
from tests.plant import PASSWORD
from webmacs.model import Role


async def sign_in(page: Page, password: str = PASSWORD) -> None:
    await page.get_by_label("E-mail").fill(EMAILS[Role.VIEWER])
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def test_who_signs_in_gets_to_the_page_that_was_asked_for(visit: Visit) -> None:
    page = await visit(None)
    await page.goto("/events")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await assert_no_barriers(page)
    await sign_in(page)
    await expect(page).to_have_url(re.compile("/events$"))
    await expect(page.get_by_role("heading", level=1, name="Events")).to_be_visible()


async def test_a_wrong_password_is_said_and_can_be_typed_again(visit: Visit, watch: Watch) -> None:
    watch.allow("status of 401")
    page = await visit(None)
    await page.goto("/")
    await sign_in(page, "not this one")
    await expect(page.get_by_role("alert")).to_be_visible()
    await sign_in(page)
    await expect(page).to_have_url(re.compile("/live$"))


async def test_a_reading_is_on_the_live_page_as_soon_as_it_is_stored(installation: Installation, visit: Visit) -> None:
    inlet, outlet = await installation.add_events("Inlet", "Outlet")
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 23.5, outlet: 71.25})
        for value in ("23.5", "71.25"):
            await expect(page.get_by_test_id("value").filter(has_text=value)).to_be_visible()
        await telemetry.send({inlet: 24.75})
        await expect(page.get_by_test_id("value").filter(has_text="24.75")).to_be_visible()
    await assert_no_barriers(page)


async def test_the_live_page_goes_on_when_the_server_is_back(
    installation: Installation, visit: Visit, watch: Watch
) -> None:
    (inlet,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 23.5})
        await expect(page.get_by_test_id("value").filter(has_text="23.5")).to_be_visible()
    watch.allow(AWAY)
    await installation.kill()
    await installation.start()
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 24.75})
        await expect(page.get_by_test_id("value").filter(has_text="24.75")).to_be_visible()


async def test_a_wall_signs_in_with_a_token_until_it_is_deleted(
    installation: Installation, visit: Visit, watch: Watch
) -> None:
    watch.allow("status of 401")
    (inlet,) = await installation.add_events("Inlet")
    made = await installation.rest("POST", "/tokens", {"name": "Wall", "scope": "read"}, role=Role.VIEWER)
    page = await visit(None)
    await page.goto("/")
    await page.get_by_role("button", name="Use an API token").click()
    await page.get_by_label("API token").fill("wm_" + "x" * 64)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Invalid or expired token")
    await page.get_by_label("API token").fill(made["token"])
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page).to_have_url(re.compile("/live$"))
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 23.5})
        await expect(page.get_by_test_id("value").filter(has_text="23.5")).to_be_visible()
    await installation.rest("DELETE", f"/tokens/{made['public_id']}", role=Role.VIEWER)
    await expect(page.get_by_role("status").filter(has_text="You were signed out")).to_be_visible()
