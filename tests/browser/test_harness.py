"""What the tests of this room stand on, tried with a dashboard of a few lines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import assert_no_barriers, barriers
from tests.browser.conftest import Visit
from tests.browser.installation import Installation
from tests.browser.watch import AWAY, Watch
from tests.small_bundle import small_bundle
from webmacs.model import Role


@pytest.fixture
def dashboard(tmp_path: Path) -> Path:
    return small_bundle(tmp_path)


async def test_a_reading_that_is_sent_is_seen_on_the_page(installation: Installation, page: Page) -> None:
    event, other = await installation.add_events("Inlet", "Outlet")
    await page.goto("/live")
    await expect(page.locator("#mode")).to_have_text("websocket")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 23.5})
        await expect(page.locator("#value")).to_have_text("23.5")
        await telemetry.send({other: 42.25})
        await expect(page.locator("#value")).to_have_text("42.25")
    async with installation.readings(event, other, every_s=0.05):
        await expect(page.locator("#value")).not_to_have_text("42.25")


async def test_the_style_and_the_files_of_the_page_are_let_through(page: Page) -> None:
    await page.goto("/")
    await expect(page.locator("h1")).to_have_css("color", "rgb(1, 2, 3)")
    assert await page.title() == "Small"


@pytest.mark.parametrize("role", [None, *Role])
async def test_a_visitor_is_who_the_test_says(installation: Installation, visit: Visit, role: Role | None) -> None:
    page = await visit(role)
    await page.goto("/")
    token = await page.evaluate("localStorage.getItem('webmacs.token')")
    if role is None:
        assert token is None
        await expect(page.locator("#mode")).to_have_text("signed out")
    else:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as client,
            client.get(f"{installation.address}/api/v1/auth/me") as response,
        ):
            assert (await response.json())["role"] == role


async def test_a_window_is_as_large_and_as_dark_as_the_test_says(visit: Visit) -> None:
    page = await visit(None, phone=True, dark=True)
    await page.goto("/")
    assert await page.evaluate("[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]") == [390, True]


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_server_that_ends_is_there_again_at_the_same_address(
    installation: Installation, visit: Visit, watch: Watch, end: str
) -> None:
    page = await visit(Role.VIEWER)
    (event,) = await installation.add_events("Inlet")
    await page.goto("/")
    await expect(page.locator("#mode")).to_have_text("websocket")
    first = installation.server.process.pid
    watch.allow(AWAY)
    await (installation.stop() if end == "stop" else installation.kill())
    await expect(page.locator("#mode")).to_have_text("closed")
    with pytest.raises(aiohttp.ClientConnectorError):
        await installation.rest("GET", "/events")
    await installation.start()
    assert installation.server.process.pid != first
    await page.reload()
    await expect(page.locator("#mode")).to_have_text("websocket")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 7.5})
    await expect(page.locator("#value")).to_have_text("7.5")


TROUBLE = {
    "policy: .*inline": "document.body.append(Object.assign(document.createElement('script'), {text: 'x = 1'}))",
    "policy: .*eval": "setTimeout(() => { try { new Function('1')() } catch {} })",
    "policy: .*style": "document.body.setAttribute('style', 'color: red')",
    "policy: .*elsewhere.example": "fetch('https://elsewhere.example/').catch(() => undefined)",
    "policy: .*wss://elsewhere": "try { new WebSocket('wss://elsewhere.example/') } catch {}",
    "policy: .*frame": "document.body.append(Object.assign(document.createElement('iframe'), {src: '/docs'}))",
    "console: no good": "console.error('no good')",
    "console: take care": "console.warn('take care')",
    "exception: .*out of here": "setTimeout(() => { throw new Error('out of here') })",
    "console: .*404": "fetch('/assets/nothing.js')",
}


EVALUATED = """
new Promise((told) => setTimeout(() => { try { new Function('1')(); told(true) } catch { told(false) } }))
"""


@pytest.mark.parametrize(("pattern", "script"), TROUBLE.items(), ids=TROUBLE.keys())
async def test_what_a_page_must_not_do_is_noticed(page: Page, watch: Watch, pattern: str, script: str) -> None:
    await page.goto("/")
    assert watch.troubles == []
    await page.evaluate(f"() => {{ {script} }}")
    async with asyncio.timeout(10):
        while not watch.troubles:  # noqa: ASYNC110 - the browser says it when it likes
            await asyncio.sleep(0.01)
    with pytest.raises(AssertionError, match=pattern):
        watch.check()
    watch.allow(pattern)


async def test_a_page_that_asks_somebody_else_is_noticed_and_gets_nowhere(page: Page, watch: Watch) -> None:
    await page.goto("about:blank")  # which has no policy
    failed = await page.evaluate("fetch('http://elsewhere.example/').then(() => false, () => true)")
    assert failed
    assert "elsewhere: http://elsewhere.example/" in watch.troubles
    watch.allow("elsewhere.example|ERR_NAME_NOT_RESOLVED")


async def test_the_page_s_policy_holds_while_axe_looks_at_it(page: Page, watch: Watch) -> None:
    await page.goto("/")
    await assert_no_barriers(page)
    await assert_no_barriers(page)
    assert watch.troubles == []
    assert await page.evaluate(EVALUATED) is False
    watch.allow("policy: .*eval")


async def test_axe_finds_what_keeps_people_out(page: Page) -> None:
    await page.goto("/")
    await page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    (found,) = await barriers(page)
    assert found.startswith("label: ")
    assert await barriers(page, without=["input"]) == []
