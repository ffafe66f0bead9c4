"""For those who write plugins: what every device must do, as tests to inherit. Needs pytest, and nothing else of it.

    from webmacs.plugins.conformance import DeviceContract
    from weather_station import WeatherStation

    class TestWeatherStation(DeviceContract):
        device_class = WeatherStation
        hardware = False  # only in demo mode, as there is no station here

A device that needs something to talk to gets its configuration from a fixture, `config_json`, that starts it first.
`docs/plugins.md` shows both.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import entry_points
from typing import Any, ClassVar, Final, TypeVar

import pytest

from webmacs.errors import ConfigError, DeviceError
from webmacs.model import Direction
from webmacs.plugins.description import ChannelDescription, PluginDescription, check_channels
from webmacs.plugins.device import Device, Sample

T = TypeVar("T")

HEALTH_S: Final = 1.0
ROUNDS: Final = 3
MOMENTS: Final = (0, 1, 2, 5, 20)  # turns of the event loop after which a call is cancelled
UNKNOWN: Final = "no such channel"


class DeviceContract:
    """Inherit it in a class called `Test…` and give it `device_class`.

    `hardware`: whether there is something to talk to, so that what is asked in demo mode is asked of it, too.
    `timeout_s`: how long a call may take. `writable`: of the channels that can be set, those that a test may set; None
    for all of them.
    """

    device_class: ClassVar[type[Device]]
    hardware: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 10.0
    writable: ClassVar[tuple[str, ...] | None] = None

    @pytest.fixture
    def config_json(self) -> str | None:
        """The configuration of the instance; override it to give one, or to start what the device talks to."""
        return None

    @pytest.fixture
    def config(self, config_json: str | None) -> Any:
        """The same as a `Config`."""
        return self.device_class.configured(config_json)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each test with `demo` is for demo mode and, with `hardware`, for the device itself."""
        if "demo" in metafunc.fixturenames:
            modes = {"demo": True} | ({"hardware": False} if self.hardware else {})
            metafunc.parametrize("demo", list(modes.values()), ids=list(modes))

    # -- what it says of itself --------------------------------------------------------------------------------------

    def test_it_is_installed_under_its_own_id(self) -> None:
        """The entry point has the id of the description; a class that comes with a test alone has none."""
        description = self.device_class.description
        assert isinstance(description, PluginDescription)
        own = [point for point in entry_points(group="webmacs.plugins") if point.attr == self.device_class.__name__]
        found = [point.name for point in own if point.module == self.device_class.__module__]
        assert found in ([], [description.id])

    def test_its_channels_can_be_channels_of_one_instance(self, config: Any) -> None:
        channels = self.device_class.channels_of(config)
        assert channels
        assert all(isinstance(channel, ChannelDescription) for channel in channels)
        check_channels(self.device_class.description.id, channels)
        assert [one.channel_id for one in self.device_class.channels_of(config)] == [one.channel_id for one in channels]

    def test_a_key_that_it_does_not_know_is_refused_by_name(self, config_json: str | None) -> None:
        wrong = {**json.loads(config_json or "{}"), "no_such_key": "CANARY"}
        with pytest.raises(ConfigError, match="no_such_key") as error:
            self.device_class.configured(json.dumps(wrong))
        assert "CANARY" not in str(error.value)

    def test_making_one_touches_nothing_and_it_need_not_be_opened(self, config: Any, demo: bool) -> None:
        device = self.device_class(config, demo=demo)
        assert set(device.channels) == {channel.channel_id for channel in self.device_class.channels_of(config)}
        self._run(device.close)

    # -- open and close ----------------------------------------------------------------------------------------------

    def test_it_can_be_opened_and_closed_again_and_again(self, config: Any, demo: bool) -> None:
        device = self.device_class(config, demo=demo)

        async def rounds() -> None:
            for _ in range(ROUNDS):
                await self._within(device.open())
                await self._read(device)
                await self._within(device.close())
                await self._within(device.close())

        self._run(rounds)

    def test_it_can_be_closed_whenever_opening_is_given_up(self, config: Any, demo: bool) -> None:
        async def opened_and_cancelled() -> None:
            device = self.device_class(config, demo=demo)
            for moments in MOMENTS:
                await self._cancelled(device.open(), moments)
                await self._within(device.close())
            async with self._open(device):
                await self._read(device)

        self._run(opened_and_cancelled)

    def test_it_can_be_read_and_closed_after_reading_was_given_up(self, config: Any, demo: bool) -> None:
        async def read_and_cancelled() -> None:
            device = self.device_class(config, demo=demo)
            async with self._open(device):
                for moments in MOMENTS:
                    await self._cancelled(self._read(device), moments)
                await self._read_at_last(device)

        self._run(read_and_cancelled)

    # -- reading -----------------------------------------------------------------------------------------------------

    def test_every_value_is_finite_and_of_a_channel_that_was_asked_for(self, config: Any, demo: bool) -> None:
        async def read() -> None:
            device = self.device_class(config, demo=demo)
            async with self._open(device):
                samples = await self._read(device)
                assert samples or not any(channel.readable for channel in device.channels.values())
                self._check(device, samples)
                if samples and not device.pushes:
                    one = samples[0].channel_id
                    alone = list(await self._within(device.read([one])))
                    assert {sample.channel_id for sample in alone} <= {one}

        self._run(read)

    def test_a_channel_that_it_does_not_have_is_refused(self, config: Any, demo: bool) -> None:
        async def refused() -> None:
            device = self.device_class(config, demo=demo)
            async with self._open(device):
                with pytest.raises(DeviceError):
                    await self._within(device.write(UNKNOWN, 0.0))
                for channel in device.channels.values():
                    if not channel.settable:
                        with pytest.raises(DeviceError):
                            await self._within(device.write(channel.channel_id, channel.min_value))
                if not device.pushes:
                    with pytest.raises(DeviceError):
                        await self._within(device.read([UNKNOWN]))
                await self._read(device)  # and it has done no harm

        self._run(refused)

    # -- writing -----------------------------------------------------------------------------------------------------

    def test_what_is_written_is_read_back(self, config: Any, demo: bool) -> None:
        async def written() -> None:
            device = self.device_class(config, demo=demo)
            async with self._open(device):
                for channel in self._written(device):
                    for value in _values(channel):
                        back = await self._within(device.write(channel.channel_id, value))
                        assert back is None or math.isclose(back, value, rel_tol=0.01, abs_tol=0.01)

        self._run(written)

    def test_a_value_that_the_channel_cannot_have_is_refused(self, config: Any, demo: bool) -> None:
        async def refused() -> None:
            device = self.device_class(config, demo=demo)
            async with self._open(device):
                for channel in self._written(device):
                    for value in (math.nan, math.inf, channel.max_value + 1.0 + abs(channel.max_value) * 1e-6):
                        with pytest.raises(DeviceError):
                            await self._within(device.write(channel.channel_id, value))

        self._run(refused)

    # -- health ------------------------------------------------------------------------------------------------------

    def test_it_says_how_it_is_within_a_second(self, config: Any, demo: bool) -> None:
        async def asked() -> None:
            device = self.device_class(config, demo=demo)
            await asyncio.wait_for(device.health(), HEALTH_S)  # whatever it says: it is not open
            async with self._open(device):
                await self._read(device)
                health = await asyncio.wait_for(device.health(), HEALTH_S)
                assert health.ok, health.message
                assert "\n" not in health.message

        self._run(asked)

    # -- how it is asked ---------------------------------------------------------------------------------------------

    def _run(self, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(body())

    async def _within(self, call: Awaitable[T]) -> T:
        async with asyncio.timeout(self.timeout_s):
            return await call

    @asynccontextmanager
    async def _open(self, device: Device) -> AsyncIterator[None]:
        await self._within(device.open())
        try:
            yield
        finally:
            await self._within(device.close())

    async def _read(self, device: Device) -> list[Sample]:
        """A value of each input: by asking, or the first that comes of each."""
        wanted = {channel.channel_id for channel in device.channels.values() if channel.readable}
        if not device.pushes:
            return list(await self._within(device.read(sorted(wanted)))) if wanted else []
        found: dict[str, Sample] = {}
        async with asyncio.timeout(self.timeout_s):
            samples = device.samples()
            async for sample in samples:
                found[sample.channel_id] = sample
                if wanted <= found.keys():
                    break
            if inspect.isasyncgen(samples):
                await samples.aclose()
        return list(found.values())

    async def _read_at_last(self, device: Device) -> None:
        """A device may mend itself first."""
        async with asyncio.timeout(self.timeout_s):
            while True:
                with suppress(DeviceError):
                    await self._read(device)
                    return
                await asyncio.sleep(0.05)

    async def _cancelled(self, call: Coroutine[Any, Any, Any], moments: int) -> None:
        """Give a call up after so many turns of the loop, unless it has ended by then."""
        task = asyncio.ensure_future(call)
        for _ in range(moments):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, DeviceError):
            await self._within(task)

    def _check(self, device: Device, samples: list[Sample]) -> None:
        for sample in samples:
            channel = device.channels.get(sample.channel_id)
            assert channel is not None, f"{sample.channel_id} is no channel of the device"
            assert channel.direction is not Direction.OUTPUT, f"{sample.channel_id} was not asked for"
            assert math.isfinite(sample.value), f"{sample.channel_id} is {sample.value}"
            assert sample.time_ns is None or sample.time_ns > 0

    def _written(self, device: Device) -> Iterator[ChannelDescription]:
        for channel in device.channels.values():
            if channel.settable and (self.writable is None or channel.channel_id in self.writable):
                yield channel


def _values(channel: ChannelDescription) -> list[float]:
    """Two that differ, and the safe one at the end."""
    last = channel.min_value if channel.safe_value is None else channel.safe_value
    return [channel.max_value, channel.min_value, last]
