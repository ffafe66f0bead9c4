"""Webhooks: added, tried on a real receiver, and what came of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from webmacs.model import Role


@dataclass
class Receiver:
    """A real one on this machine; it answers with `status`."""

    url: str = ""
    status: int = 204
    heard: list[str] = field(default_factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append((await request.json())["type"])
        return web.Response(status=self.status)


@pytest.fixture
def server_settings() -> dict[str, str]:
    return {"WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]'}


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/hook"
    yield made
    await runner.cleanup()


async def test_a_webhook_is_added_and_a_test_arrives(receiver: Receiver, visit: Visit) -> None:
    page = await visit(Role.ADMIN)
    await page.goto("/webhooks")
    await page.get_by_role("button", name="Add the first webhook").click()
    form = page.get_by_role("dialog")
    await form.get_by_label("Address").fill("example.org")
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("This is no address")
    await form.get_by_label("Address").fill(receiver.url)
    await form.get_by_role("button", name="Save").click()
    await page.get_by_role("link", name=receiver.url).click()
    await page.get_by_role("button", name="Send test").click()
    await expect(page.get_by_role("row", name=re.compile("webmacs.test"))).to_contain_text("delivered")
    assert receiver.heard == ["webmacs.test"]
    await assert_no_barriers(page)
    await page.get_by_role("button", name="More about the delivery").click()
    await page.get_by_role("menuitem", name="Deliver again").click()
    await expect(page.get_by_text("It is delivered again, under the same id.")).to_be_visible()


async def test_a_receiver_that_refuses_is_shown_with_its_reason(receiver: Receiver, visit: Visit) -> None:
    receiver.status = 500
    page = await visit(Role.ADMIN)
    await page.goto("/webhooks")
    await page.get_by_role("button", name="Add the first webhook").click()
    form = page.get_by_role("dialog")
    await form.get_by_label("Address").fill(receiver.url)
    await form.get_by_role("button", name="Save").click()
    await page.get_by_role("link", name=receiver.url).click()
    await page.get_by_role("button", name="Send test").click()
    row = page.get_by_role("row", name=re.compile("webmacs.test"))
    await expect(row).to_contain_text("HTTP 500")
    await expect(row).to_contain_text("under way")
    await page.goto("/webhooks")
    await page.get_by_role("switch", name=f"{receiver.url} is on").click()
    await page.get_by_role("link", name=receiver.url).click()
    await expect(page.get_by_role("button", name="Send test")).to_be_disabled()
