"""A browser for all tests of this room, and for each test a server of its own.

All of them share one event loop, as the browser belongs to the loop that it was started on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.browser.installation import Installation, make_blank
from tests.browser.watch import Watch
from tests.parts import require, require_dashboard
from webmacs.model import Role

ROOM = Path(__file__).parent
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever a page asks for, it stays here
]
PATIENCE_MS = 15_000
"""How long is waited for what must come, on a machine that has much else to do."""

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}

Visit = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROOM in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's chromium, started once."""
    program = require("chromium", "apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file that each installation begins with."""
    return await make_blank(tmp_path_factory.mktemp("blank"))


@pytest.fixture
def dashboard() -> Path:
    """The files that the server serves: those that are delivered, unless a module says otherwise."""
    return require_dashboard()


@pytest.fixture
def server_settings() -> dict[str, str]:
    """Settings of the server, as `SECTION__KEY`: the defaults, unless a module says otherwise."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def installation(
    tmp_path: Path, blank: Path, dashboard: Path, server_settings: dict[str, str]
) -> AsyncIterator[Installation]:
    """A server that listens, with an account of each role and nothing else. That it ends well is checked."""
    async with aiohttp.ClientSession() as client:
        made = Installation(tmp_path, blank, dashboard, server_settings, client)
        try:
            await made.start()
            yield made
        finally:
            await made.close()


@pytest.fixture
def watch(installation: Installation) -> Watch:
    """What was noted of the pages of this test; it can be told what to allow."""
    return Watch(installation.address)


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser, installation: Installation, watch: Watch) -> AsyncIterator[Visit]:
    """Opens a browser window of somebody with that role, or of nobody: `await visit(Role.VIEWER, phone=True)`.

    Each has a storage of its own; nothing is loaded yet, and `page.goto("/live")` is enough. Options are those of
    `Browser.new_context`. When the test is over, no page may have been in any trouble that `watch` was not told of.
    """
    contexts: list[BrowserContext] = []

    async def visit(role: Role | None = Role.ADMIN, *, phone: bool = False, dark: bool = False, **options: Any) -> Page:
        kept = [] if role is None else [{"name": "webmacs.token", "value": await installation.session(role)}]
        options = {
            "base_url": installation.address,
            "color_scheme": "dark" if dark else "light",
            "reduced_motion": "reduce",
            "locale": "en-GB",
            "timezone_id": "Europe/Berlin",
            "storage_state": {"cookies": [], "origins": [{"origin": installation.address, "localStorage": kept}]},
            **(PHONE if phone else DESKTOP),
            **options,
        }
        context = await chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        await watch.attach(context)
        return await context.new_page()

    yield visit
    for context in contexts:
        await context.close()
    watch.check()


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Visit) -> Page:
    """A window of an administrator who is signed in."""
    return await visit()
