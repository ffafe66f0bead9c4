"""Devices and first steps: from an empty server to the first live reading, adoption, what a device's page does."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import ADMINISTRATOR, PASSWORD, Installation, audit

expect = pytest.importorskip("playwright.sync_api").expect
Start = Callable[[str], object]

SENDER = """
import time
from webmacs.controller.client import connect_blocking

with connect_blocking({address!r}, {token!r}) as client:
    while True:
        client.send({{{event!r}: 23.5}})
        time.sleep(0.3)
"""


def ask(installation: Installation, path: str, body: object, token: str | None = None) -> Any:
    """What the server answers to a POST."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(f"{installation.address}/api/v1/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def a_token(installation: Installation) -> str:
    """One that sends readings of anything."""
    jwt = ask(installation, "auth/login", {"email": ADMINISTRATOR, "password": PASSWORD})["access_token"]
    return str(ask(installation, "tokens", {"name": "Rig", "scope": "ingest"}, jwt)["token"])


def test_first_steps_lead_from_an_empty_server_to_the_first_live_reading(page: Any, started: Start) -> None:
    page.wait_for_url("**/start")  # an administrator of an empty server is led there
    assert audit(page) == []
    page.get_by_role("button", name="A script or controller of my own").click()
    page.get_by_label("Name of what is measured").fill("Kiln temperature")
    assert audit(page) == []
    page.get_by_role("button", name="Create and go on").click()
    expect(page.get_by_text("Waiting for the first reading")).to_be_visible()
    assert audit(page) == []
    program = page.get_by_label("Python").locator("visible=true").last.inner_text()
    assert '"kiln-temperature"' in program
    started(program)  # as it is shown: token, address and event are in it
    expect(page.get_by_role("heading", name="It is live")).to_be_visible()
    value = page.get_by_test_id("live-value").first
    expect(value).to_have_text(re.compile(r"^\d"))
    assert audit(page) == []
    page.get_by_role("link", name="Watch it live").click()
    page.wait_for_url("**/live")
    expect(page.get_by_role("link", name="Kiln temperature")).to_be_visible()


def test_first_steps_can_be_left_and_taken_up_again(page: Any) -> None:
    page.get_by_role("button", name="A script or controller of my own").click()
    page.get_by_role("button", name="Create and go on").click()
    expect(page.get_by_text("Waiting for the first reading")).to_be_visible()
    first = page.get_by_label("Python").locator("visible=true").last.inner_text()
    page.goto("/devices")
    page.get_by_role("link", name="Guide me").click()
    expect(page.get_by_text("Waiting for the first reading")).to_be_visible()
    page.get_by_role("button", name="Show the commands with a new token").click()
    again = page.get_by_label("Python").locator("visible=true").last
    expect(again).to_contain_text("wm_")
    assert again.inner_text() != first  # the one that was shown is kept nowhere


def test_this_browser_sends_readings_itself(page: Any) -> None:
    page.get_by_role("button", name="Just try it").click()
    page.get_by_role("button", name="Create and send").click()
    expect(page.get_by_role("heading", name="It is live")).to_be_visible()


def test_readings_under_a_wrong_id_are_noticed_and_adopted_on_the_way(page: Any, started: Start) -> None:
    page.get_by_role("button", name="A script or controller of my own").click()
    page.get_by_role("button", name="Create and go on").click()
    program = page.get_by_label("Python").locator("visible=true").last.inner_text()
    started(program.replace('"temperature"', '"tempreature"'))
    expect(page.get_by_text("Readings arrive, under an id that nothing is linked to")).to_be_visible()
    page.get_by_role("button", name="Adopt tempreature").click()
    expect(page.get_by_role("heading", name="It is live")).to_be_visible()


def test_an_id_that_arrives_in_vain_is_adopted_by_one_click(
    page: Any, installation: Installation, started: Start
) -> None:
    started(SENDER.format(address=installation.address, token=a_token(installation), event="rig/pressure"))
    page.goto("/devices")
    adopt = page.get_by_role("button", name="Adopt rig/pressure")
    expect(adopt).to_be_visible()
    assert audit(page) == []
    adopt.click()
    expect(adopt).to_have_count(0)
    adopted = page.locator('[data-adopted="rig/pressure"]')
    expect(adopted.get_by_test_id("live-value")).to_have_text("23.50")
    expect(page.locator('[data-device="Adopted readings"]')).to_contain_text("1 of 1 channels linked")


def test_a_device_is_added_connected_changed_and_deleted(page: Any) -> None:
    page.goto("/devices")
    page.get_by_role("button", name="Add a device").click()
    page.get_by_role("radio", name="Simulated Device").check()
    page.get_by_label("Name", exact=True).fill("Boiler")
    config = page.get_by_label("Configuration (JSON)")
    config.fill('{"speed": ')
    expect(page.get_by_text("Not JSON yet")).to_be_visible()
    expect(page.get_by_role("button", name="Add the device")).to_be_disabled()
    config.fill('{"spede": 2}')
    page.get_by_role("button", name="Add the device").click()
    expect(page.get_by_text("spede: unknown key")).to_be_visible()
    config.fill('{"speed": 2}')
    page.get_by_role("button", name="Add the device").click()

    page.get_by_role("button", name="Make the token").click()
    expect(page.get_by_label("Controller", exact=True).locator("visible=true").last).to_contain_text("wm_")
    assert audit(page) == []
    page.get_by_role("button", name="Done").click()

    page.get_by_role("button", name="Actions for Humidity").click()
    page.get_by_role("menuitem", name="Unlink").click()
    page.get_by_role("row", name="Humidity").get_by_role("button", name="Link to an event").click()
    page.get_by_role("radio", name="Boiler \N{EN DASH} Humidity").click()
    expect(page.get_by_role("link", name="Boiler \N{EN DASH} Humidity")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Kiln")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Kiln", level=1)).to_be_visible()
    assert audit(page) == []

    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("All that was measured stays")).to_be_visible()
    page.get_by_role("button", name="Delete the device").click()
    page.wait_for_url("**/devices")
    expect(page.get_by_text("No devices yet")).to_be_visible()
