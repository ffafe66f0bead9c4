"""The Revolution Pi in demo mode, which is all that there is of it."""

from __future__ import annotations

import pytest

from webmacs.errors import DeviceError
from webmacs.plugins.conformance import DeviceContract
from webmacs.plugins.revpi import RevPi


class TestRevPi(DeviceContract):
    device_class = RevPi
    hardware = False


async def test_without_demo_mode_it_says_what_serves_one() -> None:
    with pytest.raises(DeviceError, match="set demo_mode"):
        await RevPi(RevPi.configured(None)).open()


async def test_an_output_is_off_until_it_is_switched() -> None:
    device = RevPi(RevPi.configured(None), demo=True)
    assert [sample.value for sample in await device.read(["Output_1", "Output_2"])] == [0.0, 0.0]
    assert await device.write("Output_2", 1.0) == 1.0
    assert [sample.value for sample in await device.read(["Output_1", "Output_2"])] == [0.0, 1.0]
