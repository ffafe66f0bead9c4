"""What docs/modbus.md and docs/mqtt.md invite to try: their files, their devices, a value read and an output set."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import Client

from tests.plugins.broker import Broker, free_ports
from webmacs.errors import DeviceError
from webmacs.plugins.base import Device
from webmacs.plugins.modbus.device import Modbus
from webmacs.plugins.mqtt.device import Mqtt

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE_S = 20.0


def configured(name: str, plugin: type[Device], port: int) -> Device:
    """The device of a file for `webmacs apply`, with another port."""
    (entry,) = tomllib.loads((EXAMPLES / name).read_text("utf-8"))["plugins"]
    assert entry["plugin_id"] == plugin.description.id
    return plugin(plugin.Config.model_validate({**entry["config"], "port": port}))


@contextmanager
def tank(port: int) -> Iterator[subprocess.Popen[str]]:
    """The example's Modbus server."""
    command = [sys.executable, str(EXAMPLES / "modbus_server.py"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert "listens" in process.stdout.readline()
            yield process
        finally:
            process.kill()


async def until_open(device: Device) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await device.open()
            except DeviceError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_the_tank_of_the_modbus_page_is_read_and_heated() -> None:
    (port,) = free_ports(1)
    with tank(port) as process:
        device = configured("modbus.toml", Modbus, port)
        await until_open(device)
        try:
            found = {sample.channel_id: sample.value for sample in await device.read(["temperature", "level"])}
            assert found == {"temperature": pytest.approx(21.0, abs=0.1), "level": 1.75}
            assert await device.write("heater", 1.0) == 1.0
            assert process.stdout is not None
            assert process.stdout.readline().startswith("heater on at 21.")
            async with asyncio.timeout(PATIENCE_S):
                while found["temperature"] < 21.5:
                    (sample,) = await device.read(["temperature"])
                    found["temperature"] = sample.value
        finally:
            await device.close()


async def test_the_greenhouse_of_the_mqtt_page_is_heard_and_its_fan_is_set(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    try:
        device = configured("mqtt.toml", Mqtt, broker.ports.open)
        await until_open(device)
        try:
            heard: dict[str, float] = {}

            async def listen() -> None:
                async for sample in device.samples():
                    heard[sample.channel_id] = sample.value

            listening = asyncio.create_task(listen())
            messages: dict[str, Any] = {
                "greenhouse/climate": json.dumps({"temperature": 21.5, "at": "2026-11-28T12:00:00Z"}),
                "greenhouse/door": "open",
            }
            async with Client("127.0.0.1", broker.ports.open) as greenhouse:
                for topic, payload in messages.items():
                    await greenhouse.publish(topic, payload)
            async with asyncio.timeout(PATIENCE_S):
                while len(heard) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert heard == {"temperature": 21.5, "door": 1.0}
            listening.cancel()
        finally:
            await device.close()
    finally:
        broker.stop()
