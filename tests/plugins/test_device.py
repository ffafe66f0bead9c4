"""What a plugin's author gets from the base class: configuration that is checked, and refusals that say why."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from typing import ClassVar

import pytest

from webmacs.errors import ConfigError, DeviceError
from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, DeviceConfig, PluginDescription

LEVEL = ChannelDescription("level", "Level", Direction.INPUT, "m", 0.0, 4.0)
PUMP = ChannelDescription("pump", "Pump", Direction.OUTPUT, "%", 0.0, 100.0)


class TankConfig(DeviceConfig):
    password: int = 0
    levels: int = 1


class Tank(Device):
    description: ClassVar = PluginDescription("tank", "Tank", "1", "ACME", "", None, (LEVEL, PUMP))
    Config = TankConfig

    @classmethod
    def channels_of(cls, config: TankConfig) -> Sequence[ChannelDescription]:
        if config.levels == 13:
            raise KeyError("CANARY")
        return (*cls.description.channels, *([LEVEL] * (config.levels - 1)))


class Bare(Device):
    description: ClassVar = PluginDescription("bare", "Bare", "1", "ACME", "", None, (LEVEL, PUMP))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"password": "CANARY"}', "password: Input should be a valid integer"),
        ('{"passwort": "CANARY"}', "passwort: unknown key"),
        ('{"password": 1, "CANARY', "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"levels": 2}', "plugin 'tank' has two channels with the channel_id 'level'"),
        ('{"levels": 13}', "the plugin 'tank' fails on it: KeyError"),
    ],
)
def test_a_configuration_that_is_refused_names_the_key_and_never_the_value(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Tank.configured(text)
    assert said in str(error.value)
    assert "CANARY" not in str(error.value)


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_no_configuration_is_an_empty_one(text: str | None) -> None:
    assert Tank.configured(text) == TankConfig()


@pytest.mark.parametrize(
    ("channel_id", "value", "said"),
    [
        ("plump", 1.0, "the device has no channel 'plump'; there are level, pump"),
        ("level", 1.0, "channel 'level' is an input and cannot be set"),
        ("pump", 101.0, "channel 'pump' cannot be set to 101.0: it goes from 0.0 to 100.0"),
        ("pump", math.nan, "channel 'pump' cannot be set to nan"),
    ],
)
def test_what_cannot_be_set_is_refused_with_its_reason(channel_id: str, value: float, said: str) -> None:
    with pytest.raises(DeviceError) as error:
        Tank(TankConfig()).settable(channel_id, value)
    assert str(error.value).startswith(said)


def test_channels_that_there_are_not_are_left_out_unless_there_is_none_else() -> None:
    tank = Tank(TankConfig())
    assert tank.known(["level", "plump"]) == [LEVEL]
    assert tank.known([]) == []
    with pytest.raises(DeviceError, match="no channel 'plump'"):
        tank.known(["plump"])


def test_of_many_channels_some_are_named() -> None:
    many = tuple(ChannelDescription(f"c{n}", f"C{n}", Direction.INPUT, "", 0.0, 1.0) for n in range(30))

    class Rack(Device):
        description: ClassVar = PluginDescription("rack", "Rack", "1", "ACME", "", None, many)

    with pytest.raises(DeviceError, match=r"there are c0, c1, c2, c3, c4, c5, c6, c7 and 22 more$"):
        Rack(DeviceConfig()).known(["x"])


async def test_a_plugin_that_only_describes_its_device_says_so_when_it_is_asked() -> None:
    bare = Bare(DeviceConfig())
    await bare.open()
    assert (await bare.health()).ok
    with pytest.raises(DeviceError, match="'bare' cannot read"):
        await bare.read(["level"])
    with pytest.raises(DeviceError, match="'bare' cannot set anything"):
        await bare.write("pump", 1.0)
    with pytest.raises(DeviceError, match="does not say by itself"):
        bare.samples()
    await bare.close()


IMPORTS = """
import sys
from webmacs.extensions import find_plugins
assert set(find_plugins().plugins) >= {"modbus", "mqtt", "revpi", "simulated", "system"}
print(sorted({"pymodbus", "aiomqtt", "paho", "psutil", "serial", "pytest"} & set(sys.modules)))
"""


def test_a_server_loads_nothing_that_devices_are_talked_to_with() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
