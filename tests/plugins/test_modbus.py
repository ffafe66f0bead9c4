"""Modbus against a real server in a process of its own: on TCP, on a serial line, silent, dead and back again."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.modbus_server import SILENCE_S, SLOW
from webmacs.errors import DeviceError
from webmacs.plugins.conformance import DeviceContract
from webmacs.plugins.modbus.device import Modbus

REAL = {"min_value": -1e6, "max_value": 1e6}
TEMPERATURE = {"channel_id": "temperature", "address": 0, "type": "int16", "scale": 0.1, "unit": "°C"}
COUNT = {"channel_id": "count", "address": 2, "type": "int32"}
LEVEL = {"channel_id": "level", "address": 4, "type": "float32", **REAL}
SETPOINT = {
    "channel_id": "setpoint",
    "address": 10,
    "type": "float32",
    "direction": "bidirectional",
    "max_value": 100.0,
}
SETPOINT |= {"min_value": 0.0, "safe_value": 0.0}
PUMP = {"channel_id": "pump", "table": "coil", "address": 4, "direction": "output", "safe_value": 0.0}
DOOR = {"channel_id": "door", "table": "discrete", "address": 2}
TOTAL = {"channel_id": "total", "table": "input", "address": 10, "type": "uint32"}
ALL = (TEMPERATURE, COUNT, LEVEL, SETPOINT, PUMP, DOOR, TOTAL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.plugins.modbus_server", "--log", str(log), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def tcp(log: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with serving(log, "--port", str(port)) as process:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield process


@contextmanager
def line() -> Iterator[tuple[str, str]]:
    """Two ends of a serial line, by name: what is written to one comes out of the other."""
    masters, slaves = zip(os.openpty(), os.openpty(), strict=True)
    for end in (*masters, *slaves):
        tty.setraw(end)
    stopped = threading.Event()

    def carry() -> None:
        while not stopped.is_set():
            for end in select.select(masters, [], [], 0.05)[0]:
                os.write(masters[1 - masters.index(end)], os.read(end, 1024))

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield os.ttyname(slaves[0]), os.ttyname(slaves[1])
    finally:
        stopped.set()
        thread.join()
        for end in (*masters, *slaves):
            os.close(end)


class Site:
    """A server on TCP, and what it was asked."""

    def __init__(self, log: Path, port: int) -> None:
        self.log, self.port = log, port

    def config(self, *channels: dict[str, Any], **keys: object) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "timeout_s": 1.0, "retry_s": 0.05, **keys, "channels": channels}

    @asynccontextmanager
    async def open(self, *channels: dict[str, Any], **keys: object) -> AsyncIterator[Modbus]:
        device = Modbus(Modbus.configured(json.dumps(self.config(*channels, **keys))))
        await device.open()
        self.log.write_text("")
        try:
            yield device
        finally:
            await device.close()

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("modbus") / "log", free_port())
    with tcp(found.log, found.port):
        yield found


async def values(device: Modbus, *channel_ids: str) -> dict[str, float]:
    return {one.channel_id: one.value for one in await device.read(channel_ids or list(device.channels))}


async def values_at_last(device: Modbus) -> dict[str, float]:
    async with asyncio.timeout(30):
        while True:
            with suppress(DeviceError):
                return await values(device)
            await asyncio.sleep(0.02)


async def until_it_answers(config: dict[str, Any]) -> None:
    device = Modbus(Modbus.configured(json.dumps(config)))
    await device.open()
    assert await values_at_last(device) == {"level": 21.5}
    await device.close()


@pytest.fixture(scope="module")
def end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One end of a serial line that has a server at the other."""
    log = tmp_path_factory.mktemp("line") / "log"
    with line() as (near, far), serving(log, "--line", far):
        config = {"serial": {"port": near}, "timeout_s": 0.3, "retry_s": 0.05, "channels": [LEVEL]}
        asyncio.run(until_it_answers(config))
        yield near


class TestModbusOnTcp(DeviceContract):
    device_class = Modbus

    @pytest.fixture
    def config_json(self, site: Site) -> str:
        return json.dumps(site.config(*ALL))


class TestModbusOnASerialLine(DeviceContract):
    device_class = Modbus

    @pytest.fixture
    def config_json(self, end: str) -> str:
        return json.dumps({"serial": {"port": end}, "timeout_s": 1.0, "retry_s": 0.05, "channels": ALL})


# -- reading ---------------------------------------------------------------------------------------------------------


async def test_every_table_and_type_is_read(site: Site) -> None:
    small = {"channel_id": "small", "address": 1}
    swapped = [
        {"channel_id": "words", "address": 6, "type": "float32", "word_order": "little", **REAL},
        {"channel_id": "bytes", "address": 8, "type": "float32", "byte_order": "little", **REAL},
    ]
    coil = {"channel_id": "coil", "table": "coil", "address": 3}
    async with site.open(TEMPERATURE, small, COUNT, LEVEL, *swapped, coil, DOOR, TOTAL) as device:
        assert await values(device) == {
            "temperature": -5.0,
            "small": 60_000.0,
            "count": -100_000.0,
            "level": 21.5,
            "words": 21.5,
            "bytes": 21.5,
            "coil": 1.0,
            "door": 1.0,
            "total": 4e9,
        }
        assert (await device.health()).ok


async def test_neighbours_are_read_with_one_request(site: Site) -> None:
    async with site.open(TEMPERATURE, LEVEL, SETPOINT, TOTAL) as device:
        await values(device)
        assert site.asked == ["1 3 0 12", "1 4 10 2"]
    async with site.open(TEMPERATURE, LEVEL, SETPOINT, TOTAL, max_gap=3) as device:
        await values(device)
        assert site.asked == ["1 3 0 6", "1 3 10 2", "1 4 10 2"]


async def test_a_gap_that_the_device_does_not_have_is_left_out_from_then_on(site: Site) -> None:
    channels = [{"channel_id": f"r{at}", "address": at} for at in (20, 22)]
    async with site.open(*channels) as device:
        assert await values(device) == {"r20": 21.0, "r22": 23.0}
        assert await values(device) == {"r20": 21.0, "r22": 23.0}
        assert (await device.health()).ok
        assert len(device._apart) == 1


async def test_what_the_device_refuses_is_left_out_and_named(site: Site) -> None:
    async with site.open(LEVEL, {"channel_id": "nowhere", "address": 5_000}) as device:
        assert await values(device) == {"level": 21.5}
        health = await device.health()
        assert not health.ok
        assert "1 of 2 channels: nowhere: device 1" in health.message
        assert "asked for holding 5000: it has no such address (exception 2)" in health.message
        with pytest.raises(DeviceError, match="it has no such address"):
            await values(device, "nowhere")


async def test_what_is_no_number_is_left_out_and_named(site: Site) -> None:
    nan = {"channel_id": "broken", "table": "input", "address": 4, "type": "float32", **REAL}
    async with site.open(LEVEL, nan) as device:
        assert await values(device) == {"level": 21.5}
        assert "broken: its registers hold nan" in (await device.health()).message


async def test_several_devices_share_a_connection(site: Site) -> None:
    channels = [{"channel_id": f"d{number}", "device_id": number, "address": 20} for number in (1, 2)]
    async with site.open(*channels) as device:
        assert await values(device) == {"d1": 21.0, "d2": 22.0}


# -- silence ---------------------------------------------------------------------------------------------------------


async def test_a_device_that_does_not_answer_costs_the_others_one_wait_and_is_then_left_alone(site: Site) -> None:
    channels = [{"channel_id": f"d{number}", "device_id": number, "address": 20} for number in (1, 2, 3)]
    loop = asyncio.get_running_loop()
    async with site.open(*channels, timeout_s=0.3, retry_s=30.0) as device:
        began = loop.time()
        assert await values(device) == {"d1": 21.0, "d2": 22.0}
        assert loop.time() - began >= 0.3
        assert "d3: device 3 at" in (await device.health()).message
        for _ in range(20):
            assert await values(device) == {"d1": 21.0, "d2": 22.0}
        assert sum(line.startswith("3 ") for line in site.asked) == 1


async def test_an_answer_that_comes_too_late_is_nobody_elses(site: Site) -> None:
    slow = {"channel_id": "slow", "address": SLOW}
    async with site.open(slow, LEVEL, timeout_s=0.1) as device:
        for _ in range(3):
            with pytest.raises(DeviceError, match=f"does not answer, asked for holding {SLOW}"):
                await values(device, "slow")
            await asyncio.sleep(0.06)
            assert await values(device, "level") == {"level": 21.5}
            await asyncio.sleep(SILENCE_S / 6)


async def test_a_server_that_dies_is_found_again_when_it_is_back(tmp_path: Path) -> None:
    own = Site(tmp_path / "log", free_port())
    with tcp(own.log, own.port) as process:
        async with own.open(LEVEL, timeout_s=0.5) as device:
            assert await values(device) == {"level": 21.5}
            process.kill()
            process.wait()
            with pytest.raises(DeviceError, match=r"does not answer|no connection to 127\.0\.0\.1:"):
                await values(device)
            await asyncio.sleep(0.06)
            with pytest.raises(DeviceError, match=r"no connection to 127\.0\.0\.1:.*is it there, and switched on"):
                await values(device)
            assert not (await device.health()).ok
            with tcp(own.log, own.port):
                assert await values_at_last(device) == {"level": 21.5}
                assert (await device.health()).ok


async def test_a_server_that_is_not_there_is_no_device(tmp_path: Path) -> None:
    own = Site(tmp_path / "log", free_port())
    with pytest.raises(DeviceError, match="no connection to"):
        async with own.open(LEVEL):
            pass


async def test_a_server_that_takes_connections_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        own = Site(tmp_path / "log", silent.getsockname()[1])
        async with own.open(LEVEL, timeout_s=0.1) as device:
            with pytest.raises(DeviceError, match="does not answer"):
                await asyncio.wait_for(values(device), 5)


# -- writing ---------------------------------------------------------------------------------------------------------


async def test_what_is_written_is_there_afterwards_and_is_read_back(site: Site) -> None:
    single = {"channel_id": "single", "address": 13, "type": "int16", "scale": 0.1, "direction": "bidirectional"}
    async with site.open(SETPOINT, PUMP, single) as device:
        assert await device.write("setpoint", 37.5) == 37.5
        assert await device.write("single", -1.26) == pytest.approx(-1.3)  # as near as its register can be
        assert await device.write("pump", 1.0) == 1.0
        assert await device.write("pump", 0.0) == 0.0
        assert await values(device, "setpoint", "single") == {"setpoint": 37.5, "single": pytest.approx(-1.3)}
    codes = [int(line.split()[1]) for line in site.asked]
    assert {16, 6, 5} <= set(codes)
    async with site.open(SETPOINT) as another:
        assert await values(another) == {"setpoint": 37.5}


async def test_what_the_device_does_not_take_is_said(site: Site) -> None:
    fixed = {"channel_id": "fixed", "address": 40, "direction": "output"}
    async with site.open(fixed, SETPOINT) as device:
        with pytest.raises(DeviceError, match="asked for holding 40: it has no such address"):
            await device.write("fixed", 8.0)
        with pytest.raises(DeviceError, match=r"cannot be set to 101\.0: it goes from 0\.0 to 100\.0"):
            await device.write("setpoint", 101.0)


async def test_what_its_registers_cannot_hold_is_refused_before_it_is_sent(site: Site) -> None:
    wide = {"channel_id": "wide", "address": 13, "direction": "output", "max_value": 1e6}
    async with site.open(wide) as device:
        with pytest.raises(DeviceError, match=r"channel 'wide': 70000\.0 is 70000 in its registers"):
            await device.write("wide", 70_000.0)
        assert site.asked == []


async def test_without_pymodbus_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setitem(sys.modules, "pymodbus.client", None)
    with pytest.raises(DeviceError, match=r"pip install 'webmacs\[modbus\]'"):
        async with site.open(LEVEL):
            pass
