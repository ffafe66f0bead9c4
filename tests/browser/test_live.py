"""The live page: how it is connected, what it shows of the past, charts, and what it costs to load."""

from __future__ import annotations

import asyncio
import csv
import re
import struct
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, WebSocketRoute, expect

from tests.browser.conftest import Visit
from tests.browser.installation import Installation, ago
from tests.browser.watch import AWAY, Watch
from webmacs.model import Role

FIRST_LOAD_BYTES = 250_000
PATIENCE = 60


def mode(page: Page, name: str) -> Locator:
    return page.locator(f"[data-mode={name}]")


def value(page: Page, event: str) -> Locator:
    return page.locator(f"[data-event='{event}']").get_by_test_id("value")


async def saved(page: Page, directory: Path) -> list[dict[str, str]]:
    """The rows of the file that the chart's CSV button gives."""
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="CSV").click()
    path = directory / "chart.csv"
    await (await waiting.value).save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def until_charted(page: Page, directory: Path, values: set[float]) -> list[dict[str, str]]:
    """The rows of the chart once all these values are among them."""
    for _ in range(PATIENCE):
        rows = await saved(page, directory)
        if values <= {float(row["value"]) for row in rows}:
            return rows
        await asyncio.sleep(0.25)
    raise AssertionError(f"these are not in the chart: {values - {float(row['value']) for row in rows}}")


class Link:
    """The way between a page and the stream, which can be cut; polling is cut with it."""

    def __init__(self, page: Page) -> None:
        self._page, self._sockets, self._open = page, list[WebSocketRoute](), True

    async def lay(self) -> None:
        """Before the page is opened."""
        await self._page.route_web_socket(re.compile("/ws/datapoints/stream"), self._connect)

    async def cut(self) -> None:
        """From now on nothing gets through."""
        self._open = False
        await self._page.route("**/api/v1/datapoints/latest*", lambda route: route.abort())
        for socket in self._sockets:
            await socket.close(code=1011)

    async def mend(self) -> None:
        """It is there again."""
        await self._page.unroute("**/api/v1/datapoints/latest*")
        self._open = True

    async def _connect(self, socket: WebSocketRoute) -> None:
        if self._open:
            socket.connect_to_server()
            self._sockets.append(socket)
        else:
            await socket.close(code=1011)


async def test_a_server_that_is_gone_is_polled_and_its_stream_comes_back(
    installation: Installation, visit: Visit, watch: Watch
) -> None:
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 21.5})
        await expect(mode(page, "websocket")).to_contain_text("Live")
        await expect(value(page, event)).to_have_text("21.50")
    watch.allow(AWAY)
    await installation.stop()
    await expect(mode(page, "polling")).to_contain_text("Polling", timeout=30_000)
    await expect(mode(page, "polling")).to_contain_text("old")  # how old the newest reading is, all the time
    await expect(value(page, event)).to_have_text("21.50")
    await installation.start()
    await expect(mode(page, "websocket")).to_contain_text("Live", timeout=30_000)
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 22.5})
        await expect(value(page, event)).to_have_text("22.50")


async def test_a_chart_is_filled_after_a_gap(
    installation: Installation, visit: Visit, watch: Watch, tmp_path: Path
) -> None:
    watch.allow("datapoints/latest|ERR_FAILED")
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    link = Link(page)
    await link.lay()
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 10.0}, at=ago(50))
        await expect(value(page, event)).to_have_text("10.00")
        await link.cut()
        await expect(mode(page, "polling")).to_be_visible(timeout=30_000)
        for second in range(30, 0, -1):
            await telemetry.send({event: 20.0 + second}, at=ago(second))
        await expect(value(page, event)).to_have_text("10.00")
        await link.mend()
        await expect(mode(page, "websocket")).to_be_visible(timeout=30_000)
        await expect(value(page, event)).to_have_text("21.00")
        rows = await until_charted(page, tmp_path, {10.0, *(20.0 + second for second in range(30, 0, -1))})
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times)


async def test_where_no_socket_gets_through_readings_are_polled(installation: Installation, visit: Visit) -> None:
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    await page.route_web_socket(re.compile("/ws/datapoints/stream"), lambda route: route.close(code=1011))
    await page.goto("/live")
    await expect(mode(page, "polling")).to_be_visible(timeout=30_000)
    async with installation.telemetry() as telemetry:
        for number in (31.0, 32.0):
            await telemetry.send({event: number})
            await expect(value(page, event)).to_have_text(f"{number:.2f}")


async def test_a_chart_that_stands_still_loses_nothing(
    installation: Installation, visit: Visit, tmp_path: Path
) -> None:
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 41.0})
        await until_charted(page, tmp_path, {41.0})
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_text("Paused")).to_be_visible()
        await telemetry.send({event: 42.0})
        await expect(value(page, event)).to_have_text("42.00")
        assert {float(row["value"]) for row in await saved(page, tmp_path)} == {41.0}
        await page.get_by_role("button", name="Go on").click()
        await until_charted(page, tmp_path, {41.0, 42.0})


async def test_a_chart_is_saved_as_a_picture(installation: Installation, visit: Visit, tmp_path: Path) -> None:
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 41.0})
        await until_charted(page, tmp_path, {41.0})
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="PNG").click()
    download = await waiting.value
    assert re.fullmatch(r"Live_chart_.*\.png", download.suggested_filename)
    await download.save_as(tmp_path / "chart.png")
    picture = (tmp_path / "chart.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert picture.startswith(b"\x89PNG")
    assert (width > 800, height > 200, len(picture) > 5_000) == (True, True, True)


async def test_hundreds_of_events_are_searched_and_those_with_a_problem_found(
    installation: Installation, visit: Visit
) -> None:
    events = await installation.add_events(*(f"Sensor {number}" for number in range(90)))
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send(dict.fromkeys(events[:89], 50.0))
        await telemetry.send({events[7]: 140.0})
        await expect(page.get_by_text("90 of 90 events")).to_be_visible()
        await page.get_by_role("combobox", name="Show").select_option(label="With a problem")
        await expect(page.get_by_text("2 of 90 events")).to_be_visible()
        await expect(page.locator(f"[data-event='{events[7]}']")).to_contain_text("out of range")
        await expect(page.locator(f"[data-event='{events[89]}']")).to_contain_text("no reading yet")
        await page.get_by_role("combobox", name="Show").select_option(label="Everything")
        await page.get_by_label("Search events").fill("rig 77")
        await expect(page.get_by_text("1 of 90 events")).to_be_visible()


async def test_times_are_in_the_zone_that_is_said(installation: Installation, visit: Visit) -> None:
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 41.0})
        chart = page.get_by_role("region", name="Chart: Live chart")
        await expect(chart).to_contain_text("Europe/Berlin (UTC+1)")
        await page.get_by_role("button", name=re.compile("Times in")).click()
        await expect(chart).to_contain_text("· UTC")


async def test_the_first_load_is_small(installation: Installation, visit: Visit) -> None:
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.VIEWER)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 41.0})
        await expect(value(page, event)).to_have_text("41.00")
    sizes = await page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map((entry) => [entry.name, entry.transferSize])"
    )
    assert len(sizes) > 4
    assert sum(size for _, size in sizes) < FIRST_LOAD_BYTES, sizes


@pytest.mark.parametrize("dark", [False, True])
async def test_it_fits_on_a_phone(installation: Installation, visit: Visit, tmp_path: Path, *, dark: bool) -> None:
    events = await installation.add_events("Temperature of the reactor's jacket at its inlet", "Flow")
    page = await visit(Role.VIEWER, phone=True, dark=dark)
    await page.goto("/live")
    async with installation.telemetry() as telemetry:
        await telemetry.send(dict.fromkeys(events, 41.0))
        await expect(value(page, events[1])).to_have_text("41.00")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground)[:3])) < 64) is dark
    await page.get_by_role("button", name="Menu", exact=True).tap()
    await expect(page.get_by_role("link", name="Experiments")).to_be_in_viewport()
    await page.screenshot(path=tmp_path / "phone.png")
