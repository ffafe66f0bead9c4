"""Webhooks: added, tried and followed to their end, against receivers that are real."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.installation import Installation
from tests.browser.watch import Watch
from tests.webhooks.receivers import OK, Connection, listening, reply, saying

KIND = "sensor.threshold_exceeded"
SOON_MS = 30_000  # the outbox is looked at every 2 s, the page every 2 s


@pytest.fixture
def server_settings() -> dict[str, str]:
    return {"WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]', "WEBHOOKS__FIRST_RETRY_S": "3600"}


def delivery(page: Page, kind: str = "webmacs.test") -> Locator:
    return page.get_by_role("row").filter(has_text=kind)


async def new_webhook(installation: Installation, url: str) -> str:
    await installation.rest("POST", "/webhooks", {"url": url, "events": [KIND]})
    return await installation.found("/webhooks", url, "url")


async def test_a_webhook_is_added_and_a_test_arrives(installation: Installation, page: Page) -> None:
    async with listening(OK) as receiver:
        await page.goto("/webhooks")
        await page.get_by_role("button", name="Add the first webhook").click()
        dialog = page.get_by_role("dialog", name="Add a webhook")
        await dialog.get_by_role("button", name="Save").click()
        address = dialog.get_by_label("Address")
        await expect(address).to_have_accessible_description("Enter the address that is to be called.")
        await address.fill("ftp://example.org")
        await expect(address).to_have_accessible_description("The address must begin with https:// or http://.")
        await assert_no_barriers(page)
        await address.fill(receiver.url())
        await dialog.get_by_role("checkbox", name="experiment.started").check()
        await dialog.get_by_label("Secret").fill("a secret that is long enough")
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog).to_have_count(0)
        listed = page.get_by_role("row").filter(has_text=receiver.url())
        await expect(listed).to_contain_text("none yet")
        await expect(listed).to_contain_text("experiment.started")
        await assert_no_barriers(page)

        await page.get_by_role("link", name=receiver.url()).click()
        await page.get_by_role("button", name="Send test").click()
        await expect(delivery(page)).to_contain_text("delivered", timeout=SOON_MS)
        await expect(delivery(page)).to_contain_text("HTTP 200")
        (request,) = receiver.requests
        assert request.line == "POST /hook HTTP/1.1"
        assert json.loads(request.body)["type"] == "webmacs.test"
        assert request.headers["webhook-signature"].startswith("v1,")
        await assert_no_barriers(page)

        await installation.rest("POST", "/experiments", {"name": "Run"})
        await expect(delivery(page, "experiment.started")).to_contain_text("delivered", timeout=SOON_MS)
        await page.get_by_role("button", name="All webhooks").click()
        await expect(listed).to_contain_text("delivered")


async def test_what_a_receiver_answers_is_shown_and_is_delivered_again(installation: Installation, page: Page) -> None:
    async with listening(OK) as receiver:
        webhook = await new_webhook(installation, receiver.url())
        await page.goto(f"/webhooks/{webhook}")
        await expect(page.get_by_text("Nothing here yet.")).to_be_visible()
        await page.get_by_role("button", name="Send test").click()
        await expect(delivery(page)).to_contain_text("delivered", timeout=SOON_MS)
        await delivery(page).get_by_role("button", name="More about the delivery").click()
        await page.get_by_role("menuitem", name="Deliver again").click()
        await receiver.until(lambda: len(receiver.requests) == 2)
        first, second = receiver.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        await expect(delivery(page)).to_contain_text("delivered", timeout=SOON_MS)
        await expect(delivery(page)).to_have_count(1)


async def test_a_receiver_that_fails_is_seen_while_it_is_tried_again(installation: Installation, page: Page) -> None:
    async with listening(saying(reply(500, body=b"out of paper"))) as receiver:
        webhook = await new_webhook(installation, receiver.url())
        await page.goto(f"/webhooks/{webhook}")
        await page.get_by_role("button", name="Send test").click()
        await expect(delivery(page)).to_contain_text("500", timeout=SOON_MS)
        await expect(delivery(page)).to_contain_text("under way")
        await expect(delivery(page).get_by_role("cell").nth(3)).to_have_text("1")
        await assert_no_barriers(page)
        await delivery(page).get_by_role("button", name="More about the delivery").click()
        await expect(page.get_by_role("menuitem", name="Deliver again")).to_be_disabled()
        await page.keyboard.press("Escape")
        await page.get_by_label("Show").select_option("given up")
        await expect(delivery(page)).to_have_count(0)
        await page.get_by_label("Show").select_option("under way")
        await expect(delivery(page)).to_have_count(1)


class TestGivenUp:
    """After so many attempts."""

    @pytest.fixture
    def server_settings(self) -> dict[str, str]:
        return {"WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]', "WEBHOOKS__ATTEMPTS": "1"}

    async def test_what_was_given_up_is_delivered_again_when_the_receiver_is_well(
        self, installation: Installation, page: Page
    ) -> None:
        well = False

        async def behave(connection: Connection) -> None:
            await connection.send(reply(200 if well else 500))

        async with listening(behave) as receiver:
            webhook = await new_webhook(installation, receiver.url())
            await page.goto(f"/webhooks/{webhook}")
            await page.get_by_role("button", name="Send test").click()
            await expect(delivery(page)).to_contain_text("given up", timeout=SOON_MS)
            await expect(delivery(page)).to_contain_text("500")
            well = True
            await delivery(page).get_by_role("button", name="More about the delivery").click()
            await page.get_by_role("menuitem", name="Deliver again").click()
            await expect(delivery(page)).to_contain_text("delivered", timeout=SOON_MS)
            await expect(delivery(page)).to_contain_text("HTTP 200")


async def test_a_webhook_that_is_off_is_not_tried_and_is_deleted(
    installation: Installation, page: Page, watch: Watch
) -> None:
    watch.allow("status of 404")  # its deliveries may be asked for as it goes
    async with listening(OK) as receiver:
        await new_webhook(installation, receiver.url())
        await page.goto("/webhooks")
        await page.get_by_role("switch", name=f"{receiver.url()} is on").click()
        await expect(page.get_by_text("The webhook is off.")).to_be_visible()
        await page.get_by_role("link", name=receiver.url()).click()
        await expect(page.get_by_role("button", name="Send test")).to_be_disabled()
        await expect(page.get_by_text("Is switched off.")).to_be_visible()
        await page.get_by_role("button", name="All webhooks").click()
        await page.get_by_role("button", name=f"More about {receiver.url()}").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("Nobody is called yet")).to_be_visible()
        assert receiver.connections == 0
