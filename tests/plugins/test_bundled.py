"""The plugins that come with WebMACS, as existing controllers know their channels."""

from __future__ import annotations

from collections import Counter

import pytest

from webmacs.extensions import find_plugins
from webmacs.plugins.base import PluginDescription

PLUGINS = {plugin_id: device.description for plugin_id, device in find_plugins().plugins.items()}


def shape(plugin: PluginDescription) -> tuple[str, ...]:
    return (plugin.name, plugin.version, plugin.vendor)


def test_five_plugins_come_with_it() -> None:
    assert {plugin_id: shape(plugin) for plugin_id, plugin in PLUGINS.items()} == {
        "simulated": ("Simulated Device", "0.2.0", "WebMACS"),
        "system": ("System Monitor", "0.1.0", "WebMACS"),
        "revpi": ("Revolution Pi", "0.1.0", "KUNBUS GmbH"),
        "modbus": ("Modbus", "1.0.0", "WebMACS"),
        "mqtt": ("MQTT", "1.0.0", "WebMACS"),
    }


@pytest.mark.parametrize("plugin_id", ["simulated", "system", "revpi", "modbus", "mqtt"])
def test_each_goes_by_the_id_it_is_installed_under_and_says_what_it_is(plugin_id: str) -> None:
    assert PLUGINS[plugin_id].id == plugin_id
    assert PLUGINS[plugin_id].description


def test_the_channels_of_the_simulated_device() -> None:
    channels = PLUGINS["simulated"].channels
    assert [(one.channel_id, one.direction, one.unit, one.min_value, one.max_value) for one in channels] == [
        ("temp_reactor", "input", "°C", 20, 500),
        ("temp_inlet", "input", "°C", 15, 200),
        ("temp_outlet", "input", "°C", 15, 300),
        ("pressure_chamber", "input", "bar", 0, 6),
        ("pressure_diff", "input", "mbar", 0, 100),
        ("volume_flow", "input", "m³/h", 0, 40),
        ("humidity", "input", "%", 0, 100),
        ("heater_power", "output", "%", 0, 100),
        ("valve_position", "output", "%", 0, 100),
    ]
    assert [one.name for one in channels] == [
        "Temperature Reactor",
        "Temperature Inlet",
        "Temperature Outlet",
        "Pressure Chamber",
        "Pressure Differential",
        "Volume Flow",
        "Humidity",
        "Heater Power",
        "Valve Position",
    ]


def test_the_channels_of_the_system_monitor_and_no_more() -> None:
    channels = PLUGINS["system"].channels
    assert [(one.channel_id, one.name, one.unit, one.max_value) for one in channels] == [
        ("cpu_percent", "CPU Usage", "%", 100),
        ("memory_percent", "Memory Usage", "%", 100),
        ("memory_used_gb", "Memory Used", "GB", 128),
        ("disk_percent", "Disk Usage", "%", 100),
        ("disk_used_gb", "Disk Used", "GB", 10_000),
        ("load_avg_1m", "Load Average (1 min)", "load", 256),
        ("cpu_temp", "CPU Temperature", "°C", 110),
    ]
    assert {(one.direction, one.min_value) for one in channels} == {("input", 0)}


def test_the_channels_of_the_revolution_pi() -> None:
    channels = PLUGINS["revpi"].channels
    assert Counter((one.direction, one.unit, one.min_value, one.max_value) for one in channels) == {
        ("input", "bool", 0, 1): 14,
        ("output", "bool", 0, 1): 14,
    }
    assert (channels[0].channel_id, channels[0].name) == ("Input_1", "Digital Input 1")
    assert (channels[27].channel_id, channels[27].name) == ("Output_14", "Digital Output 14")
