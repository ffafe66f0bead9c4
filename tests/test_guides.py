"""What docs/modbus.md and docs/mqtt.md invite to try: their files, devices and commands; values read, outputs set."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import Client

from tests.parts import require
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


PROGRAM = str(Path(sys.executable).parent / "webmacs")


@contextmanager
def started(*arguments: str, directory: Path, log: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours, what it says going to a file."""
    with (directory / log).open("wb") as said:
        process = subprocess.Popen([PROGRAM, *arguments], cwd=directory, stdout=said, stderr=said)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def until_said(what: str, path: Path) -> str:
    """All of a log, once it has that in it."""
    end = time.monotonic() + PATIENCE_S
    while what not in (said := path.read_text("utf-8")):
        assert time.monotonic() < end, f"{path.name} does not say {what!r}:\n{said}"
        time.sleep(0.05)
    return said


def test_the_commands_of_the_modbus_page_heat_the_tank_and_a_stop_makes_all_outputs_safe(tmp_path: Path) -> None:
    """Beside the greenhouse, which is stopped at the same moment."""
    require("curl", "apt-get install curl")
    page = (ROOT / "docs" / "modbus.md").read_text("utf-8")
    (block,) = re.findall(r"(?s)<!-- tour -->\n```sh\n(.*?)```", page)
    (answer,) = re.findall(r"output set: .* value=1\.0 reason='setpoint' ", page)
    port, tank_port = free_ports(2)
    (tmp_path / "webmacs.toml").write_text(f'[server]\nport = {port}\n[storage]\nurl = "sqlite:///webmacs.db"\n')
    (tmp_path / "controller.toml").write_text(
        f'[controller]\nserver_url = "http://127.0.0.1:{port}"\ntoken_file = "controller.token"\n'
    )
    broker = Broker(tmp_path)
    for name, old, new in (("modbus", 5020, tank_port), ("mqtt", 1883, broker.ports.open)):
        text = (EXAMPLES / f"{name}.toml").read_text("utf-8").replace(f"port = {old}", f"port = {new}")
        (tmp_path / f"{name}.toml").write_text(text, "utf-8")

    def run(*command: str, told: str = "") -> str:
        done = subprocess.run(
            command, cwd=tmp_path, input=told, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    add = ("user", "add", "admin@example.org", "--role", "admin", "--password-stdin", "--config", "webmacs.toml")
    run(PROGRAM, *add, told="a passphrase of the guide\n")
    for name in ("modbus", "mqtt"):
        run(PROGRAM, "apply", f"{name}.toml", "--config", "webmacs.toml")
    token = run(PROGRAM, "token", "issue", "admin@example.org", "--config", "webmacs.toml")
    (tmp_path / "controller.token").write_text(token)
    broker.start()
    with ExitStack() as stack:
        stack.callback(broker.stop)
        device = stack.enter_context(tank(tank_port))
        stack.enter_context(started("serve", "--config", "webmacs.toml", directory=tmp_path, log="serve.log"))
        controller = stack.enter_context(
            started("controller", "--plain", "--config", "controller.toml", directory=tmp_path, log="controller.log")
        )
        log = tmp_path / "controller.log"
        until_said("2 instances", log)
        script = block.replace("localhost:8000", f"localhost:{port}")
        run("sh", "-euc", script)
        run("sh", "-euc", script.replace("Heater", "Fan"))
        assert device.stdout is not None
        assert device.stdout.readline().startswith("heater on at 2")
        assert "read_back=1.0" in until_said(answer, log)
        until_said("instance='Greenhouse' channel='fan' value=1.0 reason='setpoint'", log)
        controller.send_signal(signal.SIGTERM)
        assert controller.wait(PATIENCE_S) == 0
        said = log.read_text("utf-8")
        orders = re.findall(r"output set: instance='(\w+)' .* value=(\S+)", said)
        assert dict(orders) == {"Tank": "0.0", "Greenhouse": "0.0"}, said  # the last of each
        assert "Traceback" not in said
        assert device.stdout.readline().startswith("heater off at ")
