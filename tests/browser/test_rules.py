"""Rules: made with what they would have done before one's eyes, fired by telemetry, changed, switched off."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation, ago
from tests.browser.watch import Watch
from webmacs.model import Role

PAST = [(600, 50.0), (500, 85.0), (490, 86.0), (300, 79.0), (200, 95.0), (100, 60.0)]
"""Readings of the last ten minutes: how many seconds ago, and the value."""


async def new_rule(installation: Installation, event: str, name: str = "Too hot", **more: Any) -> None:
    """One that writes into the log above 80."""
    rule = {"name": name, "event_public_id": event, "operator": "gt", "threshold": 80, "action_type": "log", **more}
    await installation.rest("POST", "/rules", rule)


def row(page: Page, name: str = "Too hot") -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def preview(page: Page) -> Locator:
    return page.get_by_role("region", name="Preview")


async def choose(page: Page, event: str) -> None:
    await page.get_by_role("button", name="Choose an event").click()
    await page.get_by_role("dialog").get_by_text(event, exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_rule_is_made_beside_what_it_would_have_done_and_then_fires(
    installation: Installation, visit: Visit
) -> None:
    (inlet,) = await installation.add_events("Inlet")
    page = await visit(Role.OPERATOR)
    async with installation.telemetry() as telemetry:
        for seconds, value in PAST:
            await telemetry.send({inlet: value}, at=ago(seconds))
        await page.goto("/rules")
        await page.get_by_role("link", name="Make the first rule").click()
        await expect(preview(page)).to_contain_text("Choose an event to see its last hour here.")
        await choose(page, "Inlet")
        threshold = page.get_by_label("Threshold")
        await threshold.fill("80")
        # 85, 86 and 95 match; between the first two there is less than the minute of "How often"
        verdict = preview(page).get_by_role("status")
        await expect(verdict).to_have_text("Would have fired 2 times; 3 of 6 readings match.")
        await page.get_by_label("How often").select_option("with every reading")
        await expect(verdict).to_have_text("Would have fired 3 times; 3 of 6 readings match.")
        await threshold.fill("90")
        await expect(verdict).to_have_text("Would have fired once; 1 of 6 readings match.")
        await threshold.fill("100")
        await expect(verdict).to_have_text("Would never have fired; 0 of 6 readings match.")
        await page.get_by_label("Fires when the value is").select_option("outside")
        await page.get_by_label("From").fill("55")
        await page.get_by_label("To", exact=True).fill("85,5")
        await expect(verdict).to_have_text("Would have fired 3 times; 3 of 6 readings match.")
        await expect(page.get_by_label("Name")).to_have_value("Inlet outside 55 to 85.5 °C")
        await assert_no_barriers(page)
        await page.get_by_label("Name").fill("Out of bounds")
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_url("**/rules")
        rule = row(page, "Out of bounds")
        await expect(rule).to_contain_text("Inlet is outside 55 to 85.5 °C")
        await expect(rule).to_contain_text("never")
        await assert_no_barriers(page)

        await telemetry.send({inlet: 70.0})
        await telemetry.send({inlet: 91.5})
        await expect(rule).to_contain_text(re.compile(r"\d s ago"))  # by itself
        await expect(rule).not_to_contain_text("never")
    await page.goto("/logs")
    entry = page.get_by_role("listitem").filter(has_text="Out of bounds")
    await expect(entry).to_have_count(1)
    await expect(entry).to_contain_text("Warning")
    await expect(entry).to_contain_text("91.5")


async def test_without_readings_the_preview_says_so(installation: Installation, visit: Visit) -> None:
    (inlet,) = await installation.add_events("Inlet")
    page = await visit(Role.OPERATOR)
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 85.0}, at=ago(2 * 3600))
    await page.goto(f"/rules/new?event={inlet}")
    await page.get_by_label("Threshold").fill("80")
    verdict = preview(page).get_by_role("status")
    await expect(verdict).to_have_text("There were no readings in that time.")
    await preview(page).get_by_label("in the last").select_option("6 hours")
    await expect(verdict).to_have_text("Would have fired once; 1 of 1 readings match.")


async def test_what_is_wrong_is_said_at_its_field(installation: Installation, visit: Visit, watch: Watch) -> None:
    watch.allow("status of 409")  # a name that is taken
    (inlet,) = await installation.add_events("Inlet")
    await new_rule(installation, inlet)
    page = await visit(Role.OPERATOR)
    await page.goto("/rules/new")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Choose what the rule watches.")).to_be_visible()
    threshold, name = page.get_by_label("Threshold"), page.get_by_label("Name")
    await expect(threshold).to_have_accessible_description("Enter a number.")
    await expect(name).to_have_accessible_description("Give the rule a name; alarms are called by it.")
    await assert_no_barriers(page)
    await choose(page, "Inlet")
    await threshold.fill("hot")
    await page.get_by_role("button", name="Save").click()
    await expect(threshold).to_have_accessible_description("Enter a number.")
    await page.get_by_label("Fires when the value is").select_option("within")
    await page.get_by_label("From").fill("20")
    await page.get_by_label("To", exact=True).fill("10")
    await expect(page.get_by_label("To", exact=True)).to_have_accessible_description("Must be 20 or more.")
    await page.get_by_label("To", exact=True).fill("30")
    await name.fill("Too hot")
    await page.get_by_role("button", name="Save").click()
    await expect(name).to_have_accessible_description(re.compile("Too hot"))
    await expect(name).to_have_attribute("aria-invalid", "true")
    await name.fill("Warm")
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url("**/rules")
    await expect(row(page, "Warm")).to_contain_text("Inlet is within 20 to 30 °C")


async def test_a_rule_is_changed_switched_off_and_deleted(installation: Installation, visit: Visit) -> None:
    (inlet,) = await installation.add_events("Inlet")
    await new_rule(installation, inlet, cooldown_seconds=45)
    page = await visit(Role.OPERATOR)
    await page.goto("/rules")
    await page.get_by_role("link", name="Too hot").click()
    await expect(page.get_by_label("Threshold")).to_have_value("80")
    await expect(page.get_by_label("How often").locator("option:checked")).to_have_text("at most every 45 seconds")
    await page.get_by_label("Threshold").fill("60.5")
    await page.get_by_label("Name").fill("Hot")
    await page.get_by_role("radio", name="call the webhooks").check()
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url("**/rules")
    await expect(row(page, "Hot")).to_contain_text("Inlet is above 60.5 °C")
    await expect(row(page, "Hot")).to_contain_text("calls webhooks")
    await page.get_by_role("switch", name="Hot is on").click()
    await expect(page.get_by_text("Hot is off.")).to_be_visible()
    await expect(page.get_by_role("switch", name="Hot is on")).not_to_be_checked()
    rule = await installation.found("/rules", "Hot")
    stored = await installation.rest("GET", f"/rules/{rule}")
    wanted = {"threshold": 60.5, "cooldown_seconds": 45, "action_type": "webhook", "enabled": False}
    assert {name: stored[name] for name in wanted} == wanted

    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 99.0})
    assert (await installation.rest("GET", f"/rules/{rule}"))["last_triggered_at"] is None
    await page.get_by_role("button", name="More about Hot").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No rules yet")).to_be_visible()
