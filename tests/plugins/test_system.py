"""This computer as a device: what it has is measured, what it has not is left out."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from webmacs.errors import DeviceError
from webmacs.plugins.conformance import DeviceContract
from webmacs.plugins.machine import SOURCES, Speed
from webmacs.plugins.system import EXTRA, System, SystemConfig

COMMON = {"cpu_percent", "memory_percent", "memory_used_gb", "disk_percent", "disk_used_gb", "load_avg_1m"}


class TestSystem(DeviceContract):
    device_class = System


class TestSystemWithMore(DeviceContract):
    device_class = System

    @pytest.fixture
    def config_json(self) -> str:
        return '{"extra": true}'


async def measured(*, extra: bool = False) -> dict[str, float]:
    device = System(SystemConfig(extra=extra))
    await device.open()
    try:
        return {sample.channel_id: sample.value for sample in await device.read(list(device.channels))}
    finally:
        await device.close()


async def test_every_machine_has_the_common_channels() -> None:
    found = await measured()
    assert found.keys() >= COMMON
    assert 0 < found["memory_percent"] < 100
    assert found["disk_used_gb"] > 0
    assert found["memory_used_gb"] == round(found["memory_used_gb"], 3)


def test_there_is_a_source_for_each_channel() -> None:
    assert set(SOURCES) == set(System(SystemConfig(extra=True)).channels)


def test_more_channels_are_there_for_those_who_want_them() -> None:
    assert len(System.channels_of(SystemConfig())) == 7
    assert System.channels_of(SystemConfig(extra=True))[7:] == EXTRA


async def test_a_channel_says_what_the_machine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"coretemp": [SimpleNamespace(current=48.5)]})
    monkeypatch.setattr(psutil, "sensors_battery", lambda: SimpleNamespace(percent=80.0))
    found = await measured(extra=True)
    assert (found["cpu_temp"], found["battery_percent"]) == (48.5, 80.0)


async def test_what_the_machine_has_not_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "sensors_temperatures")
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(current=float("nan")))
    found = await measured(extra=True)
    missing = {"cpu_temp", "battery_percent", "disk_read", "disk_written", "cpu_mhz"}
    assert not found.keys() & missing
    assert found.keys() >= COMMON
    present = {channel.channel_id for channel in System.present()}
    assert not present & missing
    assert present >= COMMON


async def test_only_sensors_of_the_processor_are_its_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"nvme": [SimpleNamespace(current=30.0)]})
    device = System(SystemConfig())
    await device.open()
    with pytest.raises(DeviceError, match="this machine has no CPU Temperature"):
        await device.read(["cpu_temp"])
    await device.close()


async def test_a_sensor_that_goes_away_and_comes_back_is_left_out_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    sensors = {"coretemp": [SimpleNamespace(current=48.5)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors)
    device = System(SystemConfig())
    await device.open()
    channels, seen = ["cpu_temp", "cpu_percent"], []
    for there in (True, False, True):
        if not there:
            gone = sensors.pop("coretemp")
        elif not sensors:
            sensors["coretemp"] = gone
        seen.append([sample.channel_id for sample in await device.read(channels)])
    await device.close()
    assert seen == [channels, ["cpu_percent"], channels]


def test_a_speed_is_in_kilobytes_a_second() -> None:
    times, counts = iter([0.0, 2.0, 3.0]), iter([1_000.0, 9_000.0, 10_000.0])
    speed = Speed(lambda: next(counts), lambda: next(times))
    assert [speed(), speed()] == [4.0, 1.0]


@pytest.mark.parametrize(("later_s", "count"), [(1.0, 10.0), (0.0, 2_000.0)])
def test_a_count_that_began_anew_and_a_clock_that_stands_are_no_speed(later_s: float, count: float) -> None:
    times, counts = iter([0.0, later_s]), iter([1_000.0, count])
    assert Speed(lambda: next(counts), lambda: next(times))() == 0.0
