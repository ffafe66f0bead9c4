"""Devices and first steps: from an empty server to the first live reading, adoption, what a device's page does."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Locator, Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation
from tests.browser.watch import Watch
from webmacs.controller.client import connect
from webmacs.model import Role


@asynccontextmanager
async def running(program: str, directory: Path) -> AsyncIterator[None]:
    """A Python program as somebody runs it in a terminal, for as long."""
    file = directory / "send.py"
    file.write_text(program)
    process = await asyncio.create_subprocess_exec(sys.executable, file, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def sent(installation: Installation, event: str, value: float) -> AsyncIterator[None]:
    """Readings that come over a telemetry socket, by a token that is good for any."""
    new = {"name": "Rig", "scope": "ingest"}
    token = (await installation.rest("POST", "/tokens", new))["token"]

    async def send() -> None:
        async with connect(installation.address, token) as client:
            while True:
                await client.send({event: value})
                await asyncio.sleep(0.2)

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def shown(page: Page, label: str) -> Locator:
    """The text that is meant to be copied."""
    return page.locator(f'pre[aria-label="{label}"]')


async def choose_a_script(page: Page) -> None:
    """The first two steps, as they are offered."""
    await page.goto("/live")
    await page.wait_for_url("**/start")  # an administrator of an empty server is led there
    await page.get_by_role("button", name="A script or controller of my own").click()
    await page.get_by_role("button", name="Create and go on").click()
    await expect(page.get_by_text("Waiting for the first reading")).to_be_visible()


async def test_first_steps_lead_from_an_empty_server_to_the_first_live_reading(page: Page, tmp_path: Path) -> None:
    await page.goto("/live")
    await page.wait_for_url("**/start")
    await expect(page.get_by_role("button", name="A computer itself")).to_be_visible()
    await assert_no_barriers(page)
    await page.get_by_role("button", name="A script or controller of my own").click()
    await page.get_by_label("Name of what is measured").fill("Kiln temperature")
    await assert_no_barriers(page)
    await page.get_by_role("button", name="Create and go on").click()
    await expect(page.get_by_text("Waiting for the first reading")).to_be_visible()
    await assert_no_barriers(page)
    program = await shown(page, "Python").inner_text()
    assert '"kiln-temperature"' in program
    async with running(program, tmp_path):  # as it is shown: address, token and event are in it
        await expect(page.get_by_role("heading", name="It is live")).to_be_visible()
        await expect(page.get_by_test_id("live-value").first).to_have_text(re.compile(r"^\d"))
        await expect(page.get_by_role("heading", name="The first readings")).to_be_visible()
        await assert_no_barriers(page)
        await page.get_by_role("link", name="Watch it live").click()
        await page.wait_for_url("**/live")
        await expect(page.get_by_role("link", name="Kiln temperature")).to_be_visible()


async def test_first_steps_can_be_left_and_taken_up_again(page: Page) -> None:
    await choose_a_script(page)
    first = await shown(page, "Python").inner_text()
    await page.goto("/devices")
    await page.get_by_role("link", name="Guide me").click()
    await expect(page.get_by_text("Waiting for the first reading")).to_be_visible()
    await page.get_by_role("button", name="Show the commands with a new token").click()
    await expect(shown(page, "Python")).to_contain_text("wm_")
    assert await shown(page, "Python").inner_text() != first  # the one that was shown is kept nowhere
    await page.get_by_role("link", name="What to measure").click()
    await expect(page.get_by_role("button", name="Just try it")).to_be_visible()


async def test_a_browser_sends_readings_itself(visit: Visit) -> None:
    page = await visit(phone=True, dark=True)
    await page.goto("/start")
    await page.get_by_role("button", name="Just try it").click()
    await page.get_by_role("button", name="Create and send").click()
    await expect(page.get_by_role("heading", name="It is live")).to_be_visible()
    await assert_no_barriers(page)
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_readings_under_a_wrong_id_are_noticed_and_adopted_on_the_way(page: Page, tmp_path: Path) -> None:
    await choose_a_script(page)
    program = await shown(page, "Python").inner_text()
    async with running(program.replace('"temperature"', '"tempreature"'), tmp_path):
        await expect(page.get_by_text("Readings arrive, under an id that nothing is linked to")).to_be_visible()
        await page.get_by_role("button", name="Adopt tempreature").click()
        await expect(page.get_by_role("heading", name="It is live")).to_be_visible()


async def test_an_id_that_arrives_in_vain_is_adopted_by_one_click(installation: Installation, page: Page) -> None:
    async with sent(installation, "rig/pressure", 23.5):
        await page.goto("/devices")
        adopt = page.get_by_role("button", name="Adopt rig/pressure")
        await expect(adopt).to_be_visible()
        await assert_no_barriers(page)
        await adopt.click()
        await expect(adopt).to_have_count(0)
        adopted = page.locator('[data-adopted="rig/pressure"]')
        await expect(adopted.get_by_test_id("live-value")).to_have_text("23.50")
        device = page.locator('[data-device="Adopted readings"]')
        await expect(device).to_contain_text("1 of 1 channels linked")
    event = await installation.rest("GET", "/events/rig%2Fpressure")
    assert (event["min_value"], event["max_value"]) == (0, 50)


async def test_a_device_is_added_connected_changed_and_deleted(page: Page, watch: Watch) -> None:
    watch.allow("422")  # a configuration that is refused
    await page.goto("/devices")
    await page.get_by_role("button", name="Add a device").click()
    await page.get_by_role("radio", name="Simulated Device").check()
    await page.get_by_label("Name", exact=True).fill("Boiler")
    config = page.get_by_label("Configuration (JSON)")
    await config.fill('{"speed": ')
    await expect(page.get_by_text("Not JSON yet")).to_be_visible()
    await expect(page.get_by_role("button", name="Add the device")).to_be_disabled()
    await config.fill('{"spede": 2}')
    await assert_no_barriers(page)
    await page.get_by_role("button", name="Add the device").click()
    await expect(page.get_by_text("spede: unknown key")).to_be_visible()
    await config.fill('{"speed": 2}')
    await page.get_by_role("button", name="Add the device").click()

    await page.get_by_role("button", name="Make the token").click()
    await expect(shown(page, "Controller")).to_contain_text("webmacs controller")
    await expect(shown(page, "Controller")).to_contain_text("wm_")
    await assert_no_barriers(page)
    await page.get_by_role("button", name="Done").click()

    await page.get_by_role("button", name="Actions for Humidity").click()
    await page.get_by_role("menuitem", name="Unlink").click()
    await page.get_by_role("row", name="Humidity").get_by_role("button", name="Link to an event").click()
    await page.get_by_role("radio", name="Boiler \N{EN DASH} Humidity").click()
    await expect(page.get_by_role("link", name="Boiler \N{EN DASH} Humidity")).to_be_visible()
    await page.get_by_label("Name", exact=True).fill("Kiln")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Kiln", level=1)).to_be_visible()
    await assert_no_barriers(page)

    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("All that was measured stays")).to_be_visible()
    await page.get_by_role("button", name="Delete the device").click()
    await page.wait_for_url("**/devices")
    await expect(page.get_by_text("No devices yet")).to_be_visible()


async def test_who_only_watches_is_offered_nothing_to_change(installation: Installation, visit: Visit) -> None:
    await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    async with sent(installation, "rig/pressure", 23.5):
        await page.goto("/devices")
        await expect(page.get_by_text("An administrator can adopt them")).to_be_visible()
        await expect(page.get_by_role("button", name="Add a device")).to_have_count(0)
        await expect(page.get_by_role("button", name="Adopt rig/pressure")).to_have_count(0)
        await expect(page.get_by_role("switch", name="Rig of Inlet enabled")).to_be_disabled()
        await assert_no_barriers(page)
    await page.get_by_role("link", name="Rig of Inlet").click()
    await expect(page.get_by_role("heading", name="Channels")).to_be_visible()
    await expect(page.get_by_role("heading", name="Settings")).to_have_count(0)
    await assert_no_barriers(page)
