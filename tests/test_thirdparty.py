"""Stages and plugins that somebody else has written, installed by entry point, in a server of its own process."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cli.process import started
from tests.plant import SECRET, Plant, furnish
from webmacs.config import load_settings
from webmacs.extensions import load_storage
from webmacs.model import Role, Write
from webmacs.pipeline.runner import REFUSED
from webmacs.storage import records
from webmacs.storage.base import Storage

ROOT = Path(__file__).parent.parent
PACKAGE = Path(__file__).parent / "thirdparty"
STAGES = ["validate", "filter", "fahrenheit", "persist", "ledger", "broadcast", "sleeper"]

FUNCTION = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF NEW.value = 212 THEN RAISE 'no'; END IF; RETURN NEW; END $$
"""
FAIL_AT_212 = {
    "sqlite": [
        "CREATE TRIGGER f BEFORE INSERT ON datapoints WHEN NEW.value = 212 BEGIN SELECT RAISE(ABORT, 'no'); END"
    ],
    "postgresql": [FUNCTION, "CREATE TRIGGER f BEFORE INSERT ON datapoints FOR EACH ROW EXECUTE FUNCTION fail()"],
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which the package is installed, as pip does it; nothing is fetched."""
    source, target = tmp_path_factory.mktemp("thirdparty") / "source", tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


class Site:
    """A server in another process, its storage seen from beside it, and a client."""

    def __init__(self, address: str, plant: Plant, storage: Storage, client: aiohttp.ClientSession) -> None:
        self.address, self.plant, self.storage, self.client = address, plant, storage, client
        self._headers = {"Authorization": f"Bearer {plant.tokens[Role.ADMIN]}"}

    async def get(self, path: str) -> Any:
        async with self.client.get(f"{self.address}/api/v1/{path}", headers=self._headers) as response:
            assert response.status == 200
            return await response.json()

    async def post(self, path: str, body: object) -> None:
        async with self.client.post(f"{self.address}/api/v1/{path}", headers=self._headers, json=body) as response:
            assert response.status == 201, await response.text()

    async def socket(self, path: str, role: Role) -> aiohttp.ClientWebSocketResponse:
        opened: aiohttp.ClientWebSocketResponse = await self.client.ws_connect(
            f"{self.address}/ws/{path}", params={"token": self.plant.tokens[role]}
        )
        return opened

    async def controller(self) -> Controller:
        return Controller(await self.socket("controller/telemetry", Role.OPERATOR), self.plant)

    async def browser(self) -> aiohttp.ClientWebSocketResponse:
        opened = await self.socket("datapoints/stream", Role.VIEWER)
        assert (await opened.receive_json(timeout=5))["type"] == "connected"
        return opened

    async def values(self) -> list[float]:
        """Of the first event, in order of time."""
        snapshot = await records.snapshot(self.storage, 0)
        event = snapshot.events[self.plant.linked[0]]
        return [point.value for point in await self.storage.history(snapshot, event.id, limit=10_000)]

    async def ledger(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.storage.fetch("SELECT readings, highest FROM ledger ORDER BY highest")]

    async def metric(self, line: str) -> float:
        async with self.client.get(f"{self.address}/metrics", headers=self._headers) as response:
            lines = (await response.text()).splitlines()
        return next(float(found.removeprefix(line)) for found in lines if found.startswith(f"{line} "))


class Controller:
    """Sends batches of the first event and waits for their answers."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, plant: Plant) -> None:
        self._socket, self._event = socket, plant.linked[0]
        self._sent = 0

    async def send(self, *values: float) -> dict[str, Any]:
        self._sent += 1
        items = [{"value": value, "event_public_id": self._event} for value in values]
        await self._socket.send_json({"datapoints": items, "batch_id": f"batch-{self._sent}"})
        answer: dict[str, Any] = await self._socket.receive_json(timeout=10)
        assert answer["batch_id"] == f"batch-{self._sent}"
        return answer


@asynccontextmanager
async def serving(storage_url: str, installed: Path, directory: Path) -> AsyncIterator[Site]:
    config = directory / "webmacs.toml"
    lines = (
        *("[server]", "port = 0", "[auth]", f'secret_key = "{SECRET}"', "[storage]", f'url = "{storage_url}"'),
        *("[pipeline]", f"stages = {STAGES}", "observer_queue_rows = 10"),
    )
    config.write_text("\n".join(lines), encoding="utf-8")
    config.chmod(0o600)
    storage = load_storage(load_settings(config, {}))
    await storage.open()
    try:
        plant = await furnish(storage)
        async with started("serve", "--config", config, cwd=directory, PYTHONPATH=f"{installed}:{ROOT}") as command:
            said = (await command.says("listens on")).split()
            address = said[said.index("on") + 1].rstrip(",")
            async with aiohttp.ClientSession() as client:
                yield Site(address, plant, storage, client)
    finally:
        await storage.close()


@pytest.fixture
async def site(storage_url: str, installed: Path, tmp_path: Path) -> AsyncIterator[Site]:
    """A server with all three stages, on each storage in turn."""
    async with serving(storage_url, installed, tmp_path) as running:
        yield running


async def test_what_the_gate_makes_of_a_value_is_what_is_stored_and_shown(site: Site) -> None:
    browser, controller = await site.browser(), await site.controller()
    answer = await controller.send(20.0)
    assert (answer["type"], answer["accepted"]) == ("ack", 1)
    message = await browser.receive_json(timeout=10)
    assert [point["value"] for point in message["datapoints"]] == [68.0]
    assert await site.values() == [68.0]


async def test_the_rows_of_the_recorder_commit_with_the_readings(site: Site) -> None:
    controller = await site.controller()
    for number in range(3):
        await controller.send(number * 10.0, number * 5.0)
    assert await site.ledger() == [(2, 32.0), (2, 50.0), (2, 68.0)]
    assert len(await site.values()) == 6


async def test_when_the_commit_fails_neither_readings_nor_rows_are_there(site: Site) -> None:
    await site.storage.write(*(Write(statement) for statement in FAIL_AT_212[site.storage.scheme]))
    controller = await site.controller()
    answer = await controller.send(0.0, 100.0)
    assert (answer["type"], answer["message"], answer["retry"]) == ("error", REFUSED, False)
    assert (await controller.send(10.0))["type"] == "ack"
    assert (await site.values(), await site.ledger()) == ([50.0], [(1, 50.0)])


@pytest.mark.promise("F11")
async def test_rows_that_the_recorders_own_table_refuses_lose_no_readings(site: Site) -> None:
    controller = await site.controller()
    assert (await controller.send(0.0, 5.0, 10.0, 15.0))["accepted"] == 4
    assert (await controller.send(20.0))["accepted"] == 1
    assert (len(await site.values()), await site.ledger()) == (5, [(1, 68.0)])
    assert await site.metric("webmacs_contributions_left_out_total") == 1


@pytest.mark.promise("F12")
async def test_the_observer_sleeps_for_a_minute_and_nobody_notices(site: Site) -> None:
    browser, controller = await site.browser(), await site.controller()
    slowest_s = 0.0
    for number in range(100):
        began = time.monotonic()
        answer = await controller.send(float(number))
        slowest_s = max(slowest_s, time.monotonic() - began)
        assert answer["accepted"] == 1
    last = 99 * 1.8 + 32.0
    shown = 0.0
    while shown != last:
        message = await browser.receive_json(timeout=10)
        shown = message["datapoints"][0]["value"]
    assert slowest_s < 5.0  # a commit on a busy machine, and no minute
    assert len(await site.values()) == 100
    assert (
        await site.metric('webmacs_observer_overflows_total{stage="sleeper"}') >= 80
    )  # it slept, and what waited was bounded


async def test_the_plugin_is_there_beside_our_own_and_the_one_that_is_broken_is_not(site: Site) -> None:
    available = await site.get("plugins/available")
    assert [plugin["id"] for plugin in available] == ["modbus", "mqtt", "revpi", "simulated", "system", "scale"]
    assert available[-1] == {
        "id": "scale",
        "name": "Laboratory Scale",
        "version": "1.0",
        "vendor": "Example",
        "description": "Weighs up to 5 kg",
        "url": "https://example.org/scale",
    }
    packages = await site.get("plugins/packages")
    assert [(package["package_name"], package["plugin_ids"]) for package in packages] == [
        ("webmacs", ["modbus", "mqtt", "revpi", "simulated", "system"]),
        ("webmacs-example-stages", ["scale", "unfinished"]),
    ]


async def test_an_instance_of_the_plugin_has_its_channels_and_measures(site: Site) -> None:
    await site.post("plugins", {"plugin_id": "scale", "instance_name": "Bench"})
    *_, bench = (await site.get("plugins"))["data"]
    channels = bench["channel_mappings"]
    assert [(one["channel_id"], one["direction"], one["unit"]) for one in channels] == [
        ("weight", "input", "g"),
        ("zero", "output", ""),
    ]
    await site.post("datapoints", {"value": 100, "event_public_id": channels[0]["event_public_id"]})
    assert (await site.get(f"plugins/{bench['public_id']}"))["status"] == "connected"
