"""Take the pictures of the README: `make screenshots`. The demonstration runs for some minutes, with a simulated plant.

Everything is done as a person would, or by the API that the dashboard uses; nothing is drawn by hand.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
MINUTES: Final = 6.0
DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
WALL: Final = (1920, 1080)
DASH: Final = "\N{EN DASH}"
E_MAIL: Final = "admin@webmacs.example"


class Api:
    """Requests as the administrator."""

    def __init__(self, address: str, password: str) -> None:
        self._base, self.token = f"{address}/api/v1", ""
        self.token = self("POST", "auth/login", {"email": E_MAIL, "password": password})["access_token"]

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        """Ask, and parse the answer."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._base}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def events(self) -> dict[str, str]:
        """Ids by name."""
        return {event["name"]: event["public_id"] for event in self("GET", "events?page_size=100")["data"]}


def main() -> None:
    """Run the demonstration, furnish it, wait, take the pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with demonstration() as (address, password), sync_playwright() as playwright:
        api = Api(address, password)
        api("POST", "plugins", {"plugin_id": "simulated", "instance_name": "Reactor"})
        events = api.events()
        heat(api, events)
        board = furnish(api, events)
        run = experiment(api)
        watched(api, run, events)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name, path, size, dark in (
            ("live", "/live", DESK, False),
            ("live-dark", "/live", DESK, True),
            ("live-phone", "/live", PHONE, True),
            ("dashboard", f"/dashboards/{board}", DESK, False),
            ("wall", f"/dashboards/{board}/wall", WALL, True),
            ("experiment", f"/experiments/{run}", DESK, False),
            ("rule", "/rules/new", DESK, False),
        ):
            page = opened(browser, address, api.token, size, dark=dark, charted=charted(events))
            page.goto(address + path)
            if name == "rule":
                fill_in_rule(page)
            page.wait_for_timeout(4000)
            page.screenshot(path=IMAGES / f"{name}.png")
            page.context.close()
            print(f"docs/images/{name}.png")
        browser.close()


@contextmanager
def demonstration() -> Iterator[tuple[str, str]]:
    """`webmacs demo` in a directory of its own: its address and password."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "webmacs", "demo", "--directory", directory, "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := re.search(r"Password\s+(\S+)", line):
                    yield f"http://127.0.0.1:{port}", found[1]
                    break
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def heat(api: Api, events: dict[str, str]) -> None:
    """Switch the plant on: what it measures then is worth a picture."""
    for name, value in (("Heater Power", 55.0), ("Valve Position", 40.0)):
        api("POST", "datapoints", {"value": value, "event_public_id": events[f"Reactor {DASH} {name}"]})


def furnish(api: Api, events: dict[str, str]) -> str:
    """A dashboard with a widget of each kind."""
    board = api("POST", "dashboards", {"name": "Reactor hall", "is_global": True})["public_id"]
    reactor = {
        name.removeprefix(f"Reactor {DASH} "): event for name, event in events.items() if name.startswith("Reactor")
    }
    temperatures = [reactor[f"Temperature {place}"] for place in ("Reactor", "Inlet", "Outlet")]
    note = {"text": "Keep the reactor below 180 °C.\nOn call: ext. 4711"}
    for title, kind, event, place, config in (
        ("Temperatures", "line_chart", temperatures[0], (0, 0, 8, 5), {"events": temperatures, "window": 300_000}),
        ("Chamber pressure", "gauge", reactor["Pressure Chamber"], (8, 0, 4, 4), None),
        ("Volume flow", "stat_card", reactor["Volume Flow"], (8, 4, 4, 3), None),
        ("Heater", "actuator_toggle", reactor["Heater Power"], (0, 5, 4, 3), None),
        ("Valve", "actuator_toggle", reactor["Valve Position"], (4, 5, 4, 3), None),
        ("Shift notes", "text_note", None, (8, 7, 4, 2), note),
    ):
        x, y, w, h = place
        widget = {"widget_type": kind, "title": title, "event_public_id": event, "x": x, "y": y, "w": w, "h": h}
        api("POST", f"dashboards/{board}/widgets", {**widget, "config_json": config and json.dumps(config)})
    return str(board)


def experiment(api: Api) -> str:
    """An experiment of one's own, in place of the demonstration's."""
    for running in api("GET", "experiments")["data"]:
        if running["stopped_on"] is None:
            api("PUT", f"experiments/{running['public_id']}/stop")
    api("POST", "experiments", {"name": "Batch 12"})
    return str(api("GET", "experiments")["data"][-1]["public_id"])


def watched(api: Api, run: str, events: dict[str, str]) -> None:
    """Some minutes of it, with a hand on the heater and notes of what was done."""
    began = time.monotonic()
    steps = [
        (0.3, 75.0, "Heater up to 75 %"),
        (2.0, 40.0, "Sample 1 taken, heater at 40 %"),
        (4.0, 60.0, "Sample 2 taken"),
    ]
    while time.monotonic() - began < MINUTES * 60:
        if steps and time.monotonic() - began > steps[0][0] * 60:
            _, power, words = steps.pop(0)
            api("POST", "datapoints", {"value": power, "event_public_id": events[f"Reactor {DASH} Heater Power"]})
            api("POST", f"experiments/{run}/notes", {"text": words})
        time.sleep(1)


def charted(events: dict[str, str]) -> list[str]:
    """What the live chart shows."""
    return [events[f"Reactor {DASH} {name}"] for name in ("Temperature Reactor", "Temperature Outlet", "Heater Power")]


def opened(
    browser: Browser, address: str, token: str, size: tuple[int, int], *, dark: bool, charted: list[str]
) -> Page:
    """A page of somebody who is signed in and has chosen what the live chart shows."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        base_url=address,
        locale="en-GB",
    )
    kept = json.dumps({"charted": charted, "window": 300_000})
    context.add_init_script(
        f"localStorage.setItem('webmacs.token', {json.dumps(token)});"
        f"localStorage.setItem('webmacs.live', {json.dumps(kept)});"
    )
    return context.new_page()


def fill_in_rule(page: Page) -> None:
    """A rule that is being made, with what it would have done."""
    page.get_by_role("button", name="Choose an event").click()
    page.get_by_placeholder("Search events").fill("temperature reactor")
    page.get_by_role("radio", name="Temperature Reactor").click()
    page.get_by_label("Threshold").fill("110")


if __name__ == "__main__":
    main()
