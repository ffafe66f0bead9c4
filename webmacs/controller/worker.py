"""One device at work: opened, read on its beats, set, asked how it is, closed; and opened again when it fails.

All calls of a device are made by one task, one after the other, each with a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from webmacs.config import ControllerSettings
from webmacs.controller.backoff import Backoff
from webmacs.controller.calls import within
from webmacs.controller.clocks import LocalClock
from webmacs.controller.frames import Reading
from webmacs.controller.instances import Instance, State
from webmacs.controller.orders import carry_out
from webmacs.controller.outputs import Key, Order, Outputs
from webmacs.controller.plugins import device_class
from webmacs.controller.schedule import Schedule
from webmacs.errors import ConfigError, DeviceError
from webmacs.plugins.base import Device, Sample
from webmacs.tasks import end

_log = logging.getLogger(__name__)

HEALTH_S: Final = 1.0
MAX_PAUSE_S: Final = 30.0
BEGINNING: Final = "the device is being opened"
OPENING: Final = "open"  # what may be amiss; of outputs, each by itself
READING: Final = "read"
HEALTH: Final = "health"


@dataclass(slots=True)
class Figures:
    """What an instance has done since it is known."""

    readings: int = 0
    missed: int = 0
    """Beats at which the device was still busy."""
    failures: int = 0
    last_ns: int | None = None
    """The wall time of its newest reading."""


class Worker:
    """Runs one instance until it is told to stop. Its channels may change meanwhile."""

    def __init__(
        self,
        instance: Instance,
        settings: ControllerSettings,
        outputs: Outputs,
        clock: LocalClock,
        add: Callable[[Iterable[Reading]], None],
        report: Callable[[Reading], None],
        opened: Callable[[Instance], None],
        changed: Callable[[], None],
        find: Callable[[str], type[Device]] = device_class,
    ) -> None:
        """`add` takes what is measured, `report` what an output was set to; `opened` is called when outputs can be set,
        so that they are given their setpoints, and `changed` when there is something new about how it is doing.
        """
        self.instance, self._settings, self._outputs = instance, settings, outputs
        self._clock, self._add, self._report = clock, add, report
        self._opened, self.changed, self._find = opened, changed, find
        self.figures = Figures()
        self._problems: dict[str, str] = {OPENING: BEGINNING}
        self._events: dict[str, str] = {}
        self._woken = asyncio.Event()
        self._again = False  # the channels have changed
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    # -- from outside ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"device {self.instance.name}")

    async def stop(self) -> None:
        """Set the outputs to their safe values, close the device and end; for as long as shutting down may take."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()  # once: what it does then is not to be broken off
            await asyncio.wait({self._task}, timeout=self._settings.shutdown_timeout_s)
            await end(self._task)
            self._task = None

    @property
    def state(self) -> State:
        """How it is doing."""
        if self._problems:
            return State.INACTIVE if self.message == BEGINNING else State.ERROR
        return State.DEMO if self.instance.demo else State.CONNECTED

    @property
    def message(self) -> str:
        """What is amiss; empty when nothing is."""
        return next(iter(self._problems.values()), "")

    def follow(self, instance: Instance) -> None:
        """The same device has other channels, or another name."""
        self.instance, self._again = instance, True
        self.wake()

    def wake(self) -> None:
        """Look at the outputs: something may be due."""
        self._woken.set()

    # -- its life --------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pauses = Backoff(1.0, MAX_PAUSE_S)
        while not self._stopping:  # an error on the way out takes the place of the cancellation
            try:
                async with self._open(await self._made()) as device:
                    self._problem(OPENING, None)
                    pauses.reset()
                    await self._work(device)
            except DeviceError as error:
                self._problem(OPENING, str(error))
            except Exception as error:  # noqa: BLE001 - a plugin runs whatever its author wrote
                _log.exception("the plugin of %s has failed in a way nobody expected", self.instance.name)
                self._problem(OPENING, f"{type(error).__name__}: {error}")
            if not self._stopping:
                await asyncio.sleep(pauses.pause_s())

    async def _made(self) -> Device:
        """In a thread: a plugin's library may take seconds to import."""
        plugin = await asyncio.to_thread(self._find, self.instance.plugin_id)
        try:
            config = plugin.configured(self.instance.config_json)
        except ConfigError as error:
            raise DeviceError(f"config_json: {error}") from error
        return plugin(config, demo=self.instance.demo)

    @asynccontextmanager
    async def _open(self, device: Device) -> AsyncIterator[Device]:
        """Open inside, its outputs known; afterwards they are safe, and it is closed."""
        try:
            await within(self._settings.device_timeout_s, device.open())
            self._know_channels(device)
            try:
                yield device
            finally:
                for order in self._outputs.safe_orders(self.instance.public_id, "the device is closed"):
                    try:
                        await self._set(device, order)
                    except Exception:  # noqa: BLE001 - whatever it is, the other outputs are to be made safe
                        _log.exception("what %s was set to could not be told", self.instance.name)
        finally:
            for key in self._outputs.of(self.instance.public_id):
                self._outputs.closed(key)
            try:
                await within(self._settings.device_timeout_s, device.close())
            except Exception as error:  # noqa: BLE001 - it is given up, also if it was to end: then nothing may go on
                _log.warning("%s could not be closed: %s: %s", self.instance.name, type(error).__name__, error)

    async def _work(self, device: Device) -> None:
        """Until cancelled. What is lost meanwhile, the device mends by itself."""
        listening = asyncio.create_task(self._listen(device)) if device.pushes else None
        try:
            loop = asyncio.get_running_loop()
            health_at = loop.time() + self._settings.status_interval_s
            schedule = self._schedule(device, loop.time())
            while listening is None or not listening.done():
                if self._again:
                    self._again = False
                    self._know_channels(device)
                    schedule = self._schedule(device, loop.time())
                for order in self._outputs.due(loop.time(), self.instance.public_id):
                    await self._set(device, order)
                due = schedule.due(loop.time())
                if due:
                    await self._read(device, due)
                    self.figures.missed, schedule.missed = self.figures.missed + schedule.missed, 0
                if loop.time() >= health_at:
                    await self._ask_health(device)
                    health_at = loop.time() + self._settings.status_interval_s
                await self._rest(schedule, health_at)
            listening.result()
        finally:
            if listening is not None:
                await end(listening)

    async def _rest(self, schedule: Schedule, health_at: float) -> None:
        """Until the next beat, or until something is due or has happened."""
        now = asyncio.get_running_loop().time()
        moments = (schedule.next_at(), self._outputs.next_at(now, self.instance.public_id), health_at)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(moment for moment in moments if moment is not None)):
                await self._woken.wait()
        self._woken.clear()

    # -- what it does with the device ------------------------------------------------------------------------------

    async def _read(self, device: Device, channel_ids: list[str]) -> None:
        before_wall, before_mono = self._clock.wall_ns(), self._clock.mono_ns()
        try:
            samples = await within(self._settings.device_timeout_s, device.read(channel_ids))
        except DeviceError as error:
            self._problem(READING, str(error))
            return
        half = (self._clock.mono_ns() - before_mono) // 2
        self._take(samples, before_wall + half, before_mono + half)
        self._problem(READING, None)

    async def _listen(self, device: Device) -> None:
        pauses = Backoff(1.0, MAX_PAUSE_S)
        while True:
            try:
                async for sample in device.samples():
                    self._take((sample,), self._clock.wall_ns(), self._clock.mono_ns())
                    self._problem(READING, None)
                    pauses.reset()
            except DeviceError as error:
                self._problem(READING, str(error))
            await asyncio.sleep(pauses.pause_s())

    def _take(self, samples: Iterable[Sample], wall_ns: int, mono_ns: int) -> None:
        """Samples have that time, unless they bring their own."""
        found = []
        for sample in samples:
            event = self._events.get(sample.channel_id)
            if event is None:
                continue
            ahead = 0 if sample.time_ns is None else sample.time_ns - wall_ns
            found.append(Reading(event, float(sample.value), wall_ns + ahead, mono_ns + ahead))
        if found:
            self.figures.readings += len(found)
            self.figures.last_ns = wall_ns
            self._add(found)

    async def _set(self, device: Device, order: Order) -> None:
        """Carry out an order, and tell what the output has now."""
        settings, channel_id = self._settings, order.key.channel_id
        result = await carry_out(
            device,
            order,
            self.instance.name,
            timeout_s=settings.device_timeout_s,
            tolerance=settings.read_back_tolerance,
        )
        self._outputs.done(order, asyncio.get_running_loop().time(), succeeded=result.value is not None)
        self._problem(f"output {channel_id}", result.problem)
        event = next((item.event for item in self.instance.channels if item.channel_id == channel_id), None)
        if event is not None and result.value is not None:
            self._report(Reading(event, float(result.value), self._clock.wall_ns(), self._clock.mono_ns()))

    async def _ask_health(self, device: Device) -> None:
        try:
            health = await within(HEALTH_S, device.health())
        except DeviceError as error:
            self._problem(HEALTH, str(error))
        else:
            self._problem(HEALTH, None if health.ok else health.message or "the device says that it is not well")

    # -- what it knows of it ---------------------------------------------------------------------------------------

    def _schedule(self, device: Device, now: float) -> Schedule:
        intervals = {}
        for channel in self.instance.channels if not device.pushes else ():
            described = device.channels.get(channel.channel_id)
            if channel.readable and described is not None and described.readable:
                intervals[channel.channel_id] = self._interval_s(channel.channel_id, described.interval_s)
        return Schedule(intervals, now)

    def _interval_s(self, channel_id: str, described_s: float | None) -> float:
        given = self._settings.intervals
        named = given.get(f"{self.instance.name}/{channel_id}", given.get(channel_id))
        return named or described_s or self._settings.poll_interval_s

    def _know_channels(self, device: Device) -> None:
        """Those that are linked, and of them as outputs those that the device has."""
        self._events = {channel.channel_id: channel.event for channel in self.instance.channels if channel.readable}
        now = asyncio.get_running_loop().time()
        wanted = {
            Key(self.instance.public_id, channel.channel_id): device.channels[channel.channel_id].safe_value
            for channel in self.instance.channels
            if channel.settable and channel.channel_id in device.channels
        }
        for key in self._outputs.of(self.instance.public_id) - wanted.keys():
            self._outputs.closed(key)
        for key in wanted.keys() - self._outputs.of(self.instance.public_id):
            self._outputs.opened(key, wanted[key], now)
        self._opened(self.instance)

    def _problem(self, source: str, message: str | None) -> bool:
        """What is amiss, or no more; whether that is new."""
        if self._problems.get(source) == message:
            return False
        if message is None:
            del self._problems[source]
        else:
            self._problems[source] = message
            self.figures.failures += 1
            _log.warning("%s: %s", self.instance.name, message)
        self.changed()
        return True
