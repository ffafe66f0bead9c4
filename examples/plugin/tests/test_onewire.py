"""The thermometer and its relay, in a directory that looks like the kernel's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from webmacs_onewire.device import OneWire

from webmacs.errors import ConfigError
from webmacs.plugins.base import DeviceError
from webmacs.plugins.conformance import DeviceContract

SENSOR = "28-0316a2795fff"
GOOD = "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n"
COLD = "5e ff 4b 46 7f ff 02 10 b6 : crc=b6 YES\n5e ff 4b 46 7f ff 02 10 b6 t=-10125\n"
WRONG = GOOD.replace("YES", "NO")
POWERED_ON = "50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n"
TRULY_85 = "50 05 4b 46 7f ff 10 10 bd : crc=bd YES\n50 05 4b 46 7f ff 10 10 bd t=85000\n"


class Bench:
    """The files of a thermometer and of a relay."""

    def __init__(self, directory: Path) -> None:
        self.bus, self.relay = directory / "devices", directory / "value"
        self.thermometer(SENSOR)
        (self.bus / "w1_bus_master1").mkdir()
        self.relay.write_text("0\n")

    def thermometer(self, name: str) -> None:
        (self.bus / name).mkdir(parents=True)
        self.says(GOOD, name)

    def says(self, text: str, name: str = SENSOR) -> None:
        (self.bus / name / "w1_slave").write_text(text)

    def config_json(self, **more: str) -> str:
        return json.dumps({"directory": str(self.bus), "relay": str(self.relay), **more})

    @asynccontextmanager
    async def opened(self, **more: str) -> AsyncIterator[OneWire]:
        device = OneWire(OneWire.configured(self.config_json(**more)))
        try:
            await device.open()
            yield device
        finally:
            await device.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class TestOneWire(DeviceContract):
    device_class = OneWire

    @pytest.fixture
    def config_json(self, bench: Bench) -> str:
        return bench.config_json()


class TestOneWireWithoutRelay(DeviceContract):
    device_class = OneWire

    @pytest.fixture
    def config_json(self, bench: Bench) -> str:
        return json.dumps({"directory": str(bench.bus)})


def test_a_controller_finds_it_under_its_id() -> None:
    (found,) = entry_points(group="webmacs.plugins", name="onewire")
    assert found.load() is OneWire


# -- the thermometer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "value"), [(GOOD, 23.125), (COLD, -10.125), (TRULY_85, 85.0)])
async def test_a_temperature_is_in_degrees(bench: Bench, text: str, value: float) -> None:
    async with bench.opened() as device:
        bench.says(text)
        assert [sample.value for sample in await device.read(["temperature"])] == [value]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (WRONG, "checksum is wrong"),
        (POWERED_ON, "without power"),
        ("", "does not answer"),
        ("Hello\n", "not what w1_therm writes"),
        (GOOD.replace("t=23125", "t=127937"), "which it cannot measure"),
    ],
)
async def test_what_is_no_temperature_is_none_and_health_says_why_until_there_is_one(
    bench: Bench, text: str, why: str
) -> None:
    async with bench.opened() as device:
        bench.says(text)
        with pytest.raises(DeviceError, match=f"{SENSOR}.*{why}"):
            await device.read(["temperature"])
        health = await device.health()
        assert not health.ok
        assert why in health.message
        bench.says(GOOD)
        await device.read(["temperature"])
        assert (await device.health()).ok


async def test_a_thermometer_that_is_pulled_out_and_put_back_is_read_again(bench: Bench) -> None:
    async with bench.opened() as device:
        (bench.bus / SENSOR / "w1_slave").rename(bench.bus / "away")
        with pytest.raises(DeviceError, match="look at its wires"):
            await device.read(["temperature"])
        (bench.bus / "away").rename(bench.bus / SENSOR / "w1_slave")
        assert [sample.value for sample in await device.read(["temperature"])] == [23.125]


async def test_without_a_thermometer_it_says_what_to_look_at(bench: Bench) -> None:
    with pytest.raises(DeviceError, match="w1-gpio and w1-therm"):
        async with bench.opened(directory=str(bench.bus / "nowhere")):
            pass


async def test_of_several_thermometers_one_has_to_be_named(bench: Bench) -> None:
    bench.thermometer("28-0000000000aa")
    bench.says(COLD, "28-0000000000aa")
    with pytest.raises(DeviceError, match=f"28-0000000000aa, {SENSOR}"):
        async with bench.opened():
            pass
    async with bench.opened(sensor="28-0000000000aa") as device:
        assert [sample.value for sample in await device.read(["temperature"])] == [-10.125]


def test_the_name_of_a_thermometer_leads_nowhere_else(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="sensor"):
        OneWire.configured(bench.config_json(sensor="28-../../etc"))


# -- the relay -------------------------------------------------------------------------------------------------------


def test_there_is_a_relay_where_its_file_is_named() -> None:
    channels = {
        text: [one.channel_id for one in OneWire(OneWire.configured(text)).channels.values()]
        for text in ("{}", '{"relay": "/sys/class/gpio/gpio17/value"}')
    }
    assert list(channels.values()) == [["temperature"], ["temperature", "relay"]]


async def test_a_relay_that_is_switched_has_it_in_its_file(bench: Bench) -> None:
    async with bench.opened() as device:
        assert await device.write("relay", 1.0) == 1.0
        assert bench.relay.read_text() == "1\n"
        assert [sample.value for sample in await device.read(["relay"])] == [1.0]


async def test_a_relay_is_on_or_off_and_nothing_between(bench: Bench) -> None:
    async with bench.opened() as device:
        with pytest.raises(DeviceError, match="0 or 1"):
            await device.write("relay", 0.5)
    assert bench.relay.read_text() == "0\n"


async def test_a_relay_whose_line_is_not_exported_is_not_made(bench: Bench) -> None:
    bench.relay.unlink()
    with pytest.raises(DeviceError, match="exported"):
        async with bench.opened():
            pass
    assert not bench.relay.exists()


async def test_a_temperature_is_told_also_when_the_relay_is_gone(bench: Bench) -> None:
    async with bench.opened() as device:
        bench.relay.unlink()
        assert [sample.channel_id for sample in await device.read(["temperature", "relay"])] == ["temperature"]
        with pytest.raises(DeviceError, match="exported"):
            await device.write("relay", 1.0)
        assert not (await device.health()).ok


# -- demo mode -------------------------------------------------------------------------------------------------------


async def test_in_demo_mode_the_temperature_wanders_and_no_file_is_touched(bench: Bench) -> None:
    seconds = iter([0.0, 30.0])
    config = OneWire.configured(bench.config_json(directory="/nowhere"))
    device = OneWire(config, demo=True, monotonic=lambda: next(seconds))
    await device.open()
    values = [sample.value for _ in range(2) for sample in await device.read(["temperature"])]
    assert await device.write("relay", 1.0) == 1.0
    await device.close()
    assert values == [22.0, 25.0]
    assert bench.relay.read_text() == "0\n"
