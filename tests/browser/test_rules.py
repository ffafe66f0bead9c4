"""A rule from its preview to its alarm."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation, ago
from webmacs.model import Role


async def choose(page: Page, event: str) -> None:
    await page.get_by_role("button", name="Choose an event").click()
    chooser = page.get_by_role("dialog")
    await chooser.get_by_role("searchbox").fill(event)
    await chooser.get_by_role("radio", name=event).click()
    await expect(chooser).to_have_count(0)


async def test_a_rule_is_made_and_fires(installation: Installation, visit: Visit) -> None:
    (inlet,) = await installation.add_events("Inlet")
    page = await visit(Role.OPERATOR)
    async with installation.telemetry() as telemetry:
        for minute in range(30, 0, -1):  # above for a while in the middle, twice
            value = 90.0 if minute in {20, 10} else 20.0
            await telemetry.send({inlet: value}, at=ago(60 * minute))
        await page.goto("/rules")
        await page.get_by_role("link", name="Make the first rule").click()
        await choose(page, "Inlet")
        await page.get_by_label("Threshold").fill("80")
        await expect(page.get_by_text("Would have fired 2 times")).to_be_visible()
        await expect(page.get_by_text("2 of 30 readings match")).to_be_visible()
        await page.get_by_label("Threshold").fill("95")
        await expect(page.get_by_text("Would never have fired")).to_be_visible()
        await page.get_by_label("Threshold").fill("80")
        await expect(page.get_by_text("Now: 20.00 °C, which is not above 80 °C.")).to_be_visible()
        await expect(page.get_by_label("Name")).to_have_value("Inlet above 80 °C")
        await assert_no_barriers(page)
        await page.get_by_role("button", name="Save").click()
        await expect(page).to_have_url(re.compile("/rules$"))
        row = page.get_by_role("row", name=re.compile("Inlet above 80 °C"))
        await expect(row).to_contain_text("never")
        await telemetry.send({inlet: 91.0})
        await expect(row).to_contain_text("ago")
        await assert_no_barriers(page)
    await page.goto("/logs")
    await expect(page.get_by_text(re.compile("Inlet above 80 °C.*91"))).to_be_visible()


async def test_what_is_wrong_is_said_at_its_field(installation: Installation, visit: Visit) -> None:
    await installation.add_events("Inlet")
    page = await visit(Role.OPERATOR)
    await page.goto("/rules/new")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Choose what the rule watches.")).to_be_visible()
    await expect(page.get_by_text("Enter a number.")).to_be_visible()
    await choose(page, "Inlet")
    await page.get_by_label("Fires when the value is").select_option(label="within")
    await page.get_by_label("From").fill("20,5")
    await page.get_by_label("To", exact=True).fill("10")
    await expect(page.get_by_text("Must be 20.5 or more.")).to_be_visible()
    await page.get_by_label("To", exact=True).fill("30")
    await page.get_by_role("button", name="Save").click()
    (rule,) = (await installation.rest("GET", "/rules"))["data"]
    assert (rule["operator"], rule["threshold"], rule["threshold_high"]) == ("between", 20.5, 30.0)


async def test_a_rule_is_changed_switched_off_and_deleted(installation: Installation, visit: Visit) -> None:
    (inlet,) = await installation.add_events("Inlet")
    body = {"name": "Hot", "event_public_id": inlet, "operator": "gt", "threshold": 80, "action_type": "log"}
    await installation.rest("POST", "/rules", body)
    page = await visit(Role.OPERATOR)
    await page.goto("/rules")
    await page.get_by_role("link", name="Hot").click()
    await page.get_by_label("Threshold").fill("70")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Inlet is above 70 °C")).to_be_visible()
    await page.get_by_role("switch", name="Hot is on").click()
    await expect(page.get_by_role("switch", name="Hot is on")).not_to_be_checked()
    (rule,) = (await installation.rest("GET", "/rules"))["data"]
    assert (rule["threshold"], rule["enabled"]) == (70.0, False)
    await page.get_by_role("button", name="More about Hot").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="No rules yet")).to_be_visible()
