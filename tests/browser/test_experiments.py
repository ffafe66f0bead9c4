"""An experiment from its start to its file, and its notes."""

from __future__ import annotations

import csv
import re
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import FILE, Installation
from webmacs.model import Role


async def start(page: Page, name: str) -> None:
    await page.goto("/experiments")
    await page.get_by_role("button", name="Start an experiment").first.click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_role("button", name="Start", exact=True).click()


async def test_an_experiment_is_run_and_exported(installation: Installation, visit: Visit, tmp_path: Path) -> None:
    inlet, outlet = await installation.add_events("Inlet", "Outlet")
    page = await visit(Role.OPERATOR)
    async with installation.telemetry() as telemetry:
        await telemetry.send({inlet: 1.0, outlet: 1.0})  # before it: none of its readings
        await start(page, "Heating curve 1")
        await expect(page.get_by_role("link", name=re.compile("Heating curve 1"))).not_to_have_count(0)
        for number in range(40):
            await telemetry.send({inlet: 20.0 + number, outlet: 60.0 - number})
        await page.get_by_label("Note", exact=True).fill("valve 2 opened")
        await page.get_by_role("button", name="Add the note").click()
        await page.goto("/experiments")
        await page.get_by_role("link", name="Open").click()
        await expect(page.get_by_text("valve 2 opened")).to_be_visible()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name=re.compile("^Stop")).click()
        await expect(page.get_by_role("button", name="Rename")).to_be_visible()
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
        await telemetry.send({inlet: 99.0, outlet: 99.0})  # after it: none of its readings either
    await page.reload()
    chart = page.get_by_role("region", name=re.compile("Chart"))
    await expect(chart.get_by_text("Inlet")).to_be_visible()
    await expect(chart.get_by_text("59.00")).to_be_visible()  # the last value of it, not the newest of all
    await assert_no_barriers(page)

    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="All readings (CSV)").click()
    download = await waiting.value
    assert re.fullmatch(r"experiment_Heating_curve_1_\w+\.csv", download.suggested_filename)
    await download.save_as(tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        stored = database.execute("SELECT event, value FROM readings WHERE experiment = 'Heating curve 1'").fetchall()
    assert sorted((row["event_name"], float(row["value"])) for row in rows) == sorted(stored)
    assert len(rows) == 80


async def test_notes_are_changed_and_deleted(installation: Installation, visit: Visit) -> None:
    (inlet,) = await installation.add_events("Inlet")
    page = await visit(Role.OPERATOR)
    await start(page, "Batch 7")
    async with installation.readings(inlet):
        await page.get_by_role("link", name="Open").click()
        await expect(page.get_by_role("heading", level=1, name="Batch 7")).to_be_visible()  # each page has such a field
        await page.get_by_label("Note", exact=True).fill("sample taken")
        await page.get_by_role("button", name="Add the note").click()
        more = page.get_by_role("button", name="More about the note")
        await more.click()
        await page.get_by_role("menuitem", name="Edit").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("textbox").first.fill("sample 1 taken")
        await dialog.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("sample 1 taken")).to_be_visible()
        run = await installation.found("/experiments", "Batch 7")
        ((note),) = (await installation.rest("GET", f"/experiments/{run}/notes"))["data"]
        assert note["text"] == "sample 1 taken"
        await more.click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("No notes yet")).to_be_visible()


async def test_a_second_experiment_waits_for_the_first(installation: Installation, visit: Visit) -> None:
    await installation.add_events("Inlet")
    page = await visit(Role.OPERATOR)
    await start(page, "First")
    await expect(page.get_by_role("button", name="First is running: stop it")).to_be_visible()
    await expect(page.get_by_role("button", name="Start an experiment")).to_have_count(0)


async def test_a_viewer_looks_and_does_not_touch(installation: Installation, visit: Visit) -> None:
    await installation.add_events("Inlet")
    await installation.rest("POST", "/experiments", {"name": "First"})
    page = await visit(Role.VIEWER)
    await page.goto("/experiments")
    await page.get_by_role("link", name="Open").click()
    await expect(page.get_by_role("heading", level=1, name="First")).to_be_visible()
    for name in ("Stop", "Rename", "Add the note"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)


async def test_an_event_is_added_and_changed(installation: Installation, visit: Visit) -> None:
    page = await visit(Role.OPERATOR)
    await page.goto("/events")
    await page.get_by_role("button", name="Add an event").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Jacket temperature")
    await dialog.get_by_role("button", name="Add").click()
    await expect(dialog.get_by_role("alert").first).to_be_visible()  # a unit has to be given
    await dialog.get_by_label("Unit").fill("°C")
    await dialog.get_by_role("button", name="Add").click()
    await page.get_by_role("link", name="Jacket temperature").click()
    await expect(page.get_by_role("heading", level=1, name="Jacket temperature")).to_be_visible()
    await assert_no_barriers(page)
    (event,) = (await installation.rest("GET", "/events"))["data"]
    assert (event["name"], event["unit"]) == ("Jacket temperature", "°C")


async def test_a_note_is_about_the_moment_that_is_pointed_at(installation: Installation, visit: Visit) -> None:
    (inlet,) = await installation.add_events("Inlet")
    await installation.rest("POST", "/experiments", {"name": "Batch 8"})
    experiment = await installation.found("/experiments", "Batch 8")
    async with installation.telemetry() as telemetry:
        for number in range(20):
            await telemetry.send({inlet: 20.0 + number})
    await installation.rest("PUT", f"/experiments/{experiment}/stop")
    page = await visit(Role.OPERATOR)
    await page.goto(f"/experiments/{experiment}")
    chart = page.get_by_role("region", name="Chart: Batch 8")
    await expect(chart.get_by_text("39.00")).to_be_visible()
    await chart.locator(".u-over").click()  # in its middle
    await expect(page.get_by_label("Time of the note")).to_be_visible()
    await page.get_by_label("Note", exact=True).fill("half of it")
    await page.get_by_label("Note", exact=True).press("Enter")
    await expect(page.get_by_role("button", name="At its end")).to_be_visible()
    run = await installation.rest("GET", f"/experiments/{experiment}")
    (note,) = (await installation.rest("GET", f"/experiments/{experiment}/notes"))["data"]
    began, ended, at = (
        datetime.fromisoformat(text) for text in (run["started_on"], run["stopped_on"], note["timestamp"])
    )
    assert abs((at - began) / (ended - began) - 0.5) < 0.02
    await page.get_by_role("button", name="look at it in the chart").click()
    await expect(page.get_by_role("button", name="Show all")).to_be_enabled()  # a part of it is shown now


async def test_events_are_many_and_one_is_deleted_with_its_readings(installation: Installation, visit: Visit) -> None:
    made = await installation.add_events(*(f"Channel {number:03}" for number in range(20)))
    for number in range(20, 120):
        event = {"name": f"Channel {number:03}", "unit": "°C", "min_value": 0, "max_value": 100, "type": "sensor"}
        await installation.rest("POST", "/events", event)
    rule = {"name": "Too warm", "event_public_id": made[7], "operator": "gt", "threshold": 80, "action_type": "log"}
    await installation.rest("POST", "/rules", rule)
    page = await visit(Role.OPERATOR)
    async with installation.telemetry() as telemetry:
        await telemetry.send(dict.fromkeys(made, 42.5))
        await page.goto("/events")
        await expect(page.get_by_role("row")).to_have_count(101)  # a hundred at first, and the heads
        await page.get_by_role("button", name="Show 20 more of 20").click()
        await expect(page.get_by_role("row")).to_have_count(121)
        await page.get_by_label("Search events").fill("channel 007")
        await expect(page.get_by_role("row")).to_have_count(2)
        await expect(page.get_by_role("row").last).to_contain_text("42.50 °C")
        await assert_no_barriers(page)
        await page.get_by_role("link", name="Channel 007").click()
        await expect(page.get_by_text("above 80 °C")).to_be_visible()
        await telemetry.send({made[7]: 43.5})
        await expect(page.get_by_role("region", name="Now")).to_contain_text("43.50")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete it with its readings").click()
    await page.wait_for_url("**/events")
    await expect(page.get_by_text("119 events")).to_be_visible()
    assert (await installation.rest("GET", "/rules"))["total"] == 0


async def test_on_a_phone_the_pages_are_as_wide_as_the_phone(installation: Installation, visit: Visit) -> None:
    name = "Inlet of the reactor with a long name, second floor"
    (inlet,) = await installation.add_events(name)
    await installation.rest("POST", "/experiments", {"name": "Words, as people give who mean to find it again"})
    (experiment,) = (await installation.rest("GET", "/experiments"))["data"]
    page = await visit(Role.OPERATOR, phone=True, dark=True)
    async with installation.readings(inlet):
        for path, seen in {
            "/experiments": page.get_by_test_id("elapsed"),
            f"/experiments/{experiment['public_id']}": page.get_by_text("Running for"),
            "/events": page.get_by_role("link", name=name, exact=True),
            f"/events/{inlet}": page.get_by_role("region", name="Now"),
        }.items():
            await page.goto(path)
            await expect(seen).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") == 390, path
            await assert_no_barriers(page)
