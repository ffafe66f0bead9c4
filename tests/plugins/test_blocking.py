"""Devices whose methods block: one call after the other, in one thread, and nobody is held up by one that hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import ClassVar

import pytest

from webmacs.errors import DeviceError
from webmacs.model import Direction
from webmacs.plugins.base import BlockingDevice, ChannelDescription, DeviceConfig, PluginDescription, Sample
from webmacs.plugins.conformance import DeviceContract


class Scale(BlockingDevice):
    """Weighs; hangs, fails and counts as a test wants."""

    description: ClassVar = PluginDescription(
        *("scale", "Scale", "1", "ACME", "", None),
        (
            ChannelDescription("weight", "Weight", Direction.INPUT, "g", 0.0, 5000.0),
            ChannelDescription("zero", "Zero", Direction.OUTPUT, "", 0.0, 1.0),
        ),
    )
    close_timeout_s = 0.2

    def __init__(self, config: DeviceConfig | None = None, *, demo: bool = False) -> None:
        super().__init__(config or DeviceConfig(), demo=demo)
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.fails: Exception | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.threads.add(threading.current_thread().name)
        self.goes_on.wait(30)
        if self.fails is not None:
            raise self.fails

    def open_blocking(self) -> None:
        self._called("open")

    def close_blocking(self) -> None:
        self._called("close")

    def read_blocking(self, channel_ids: Sequence[str]) -> Iterable[Sample]:
        channels = self.known(channel_ids)
        self._called("read")
        return (Sample(one.channel_id, 1.0) for one in channels)

    def write_blocking(self, channel_id: str, value: float) -> float:
        self.settable(channel_id, value)
        self._called("write")
        return value


class TestScale(DeviceContract):
    device_class = Scale


async def test_all_calls_are_made_in_one_thread_which_is_the_devices_own() -> None:
    scale = Scale()
    await scale.open()
    assert list(await scale.read(["weight"])) == [Sample("weight", 1.0)]
    assert await scale.write("zero", 1.0) == 1.0
    await scale.close()
    assert scale.calls == ["open", "read", "write", "close"]
    assert scale.threads == {"device scale"}


async def test_calls_made_at_once_wait_for_one_another() -> None:
    scale = Scale()
    await scale.open()
    await asyncio.gather(*(scale.read(["weight"]) for _ in range(5)))
    await scale.close()
    assert scale.calls == ["open", *["read"] * 5, "close"]


async def test_what_it_raises_reaches_the_caller() -> None:
    scale = Scale()
    scale.fails = DeviceError("no scale at /dev/ttyUSB0")
    with pytest.raises(DeviceError, match="ttyUSB0"):
        await scale.open()
    scale.fails = None
    await scale.open()
    for error in (ZeroDivisionError("a bug"), StopIteration()):
        scale.fails = error
        with pytest.raises((ZeroDivisionError, DeviceError)):
            await scale.read(["weight"])
    scale.fails = None
    assert await scale.write("zero", 0.0) == 0.0
    await scale.close()


async def test_a_device_that_is_not_open_says_so() -> None:
    scale = Scale()
    with pytest.raises(DeviceError, match="not open"):
        await scale.read(["weight"])
    await scale.open()
    await scale.close()
    with pytest.raises(DeviceError, match="not open"):
        await scale.write("zero", 1.0)


async def test_a_call_that_was_given_up_holds_up_the_next_one_and_nothing_else() -> None:
    scale = Scale()
    await scale.open()
    scale.goes_on.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(scale.read(["weight"]), 0.05)
    following = asyncio.create_task(scale.write("zero", 1.0))
    await asyncio.sleep(0.05)
    assert (following.done(), scale.calls) == (False, ["open", "read"])
    scale.goes_on.set()
    assert await asyncio.wait_for(following, 5) == 1.0
    await scale.close()


async def test_calls_given_up_while_one_hangs_are_never_made() -> None:
    scale = Scale()
    await scale.open()
    scale.goes_on.clear()
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scale.read(["weight"]), 0.01)
    scale.goes_on.set()
    await scale.write("zero", 1.0)
    await scale.close()
    assert scale.calls == ["open", "read", "write", "close"]


async def test_closing_does_not_wait_for_a_call_that_hangs_and_no_second_thread_begins() -> None:
    scale = Scale()
    await scale.open()
    scale.goes_on.clear()
    reading = asyncio.create_task(scale.read(["weight"]))
    await asyncio.sleep(0.02)
    reading.cancel()
    await asyncio.wait_for(scale.close(), 5)
    with pytest.raises(DeviceError, match="still waits in a call from before"):
        await scale.open()
    with pytest.raises(DeviceError, match="not open"):
        await scale.read(["weight"])
    assert sum(thread.name == "device scale" for thread in threading.enumerate()) == 1
    scale.goes_on.set()
    await scale.open()  # it has answered
    assert list(await scale.read(["weight"])) == [Sample("weight", 1.0)]
    await scale.close()


async def test_one_that_waits_for_its_turn_while_it_is_closed_is_told() -> None:
    scale = Scale()
    await scale.open()
    scale.goes_on.clear()
    first = asyncio.create_task(scale.read(["weight"]))
    second = asyncio.create_task(scale.read(["weight"]))
    await asyncio.sleep(0.02)
    closing = asyncio.create_task(scale.close())
    await asyncio.sleep(0.02)
    scale.goes_on.set()
    assert list(await first) == [Sample("weight", 1.0)]
    with pytest.raises(DeviceError, match="closed meanwhile"):
        await second
    await closing


HANGS = """
import asyncio, time
from tests.plugins.test_blocking import Scale

async def main():
    scale = Scale()
    await scale.open()
    scale.goes_on.clear()
    try:
        await asyncio.wait_for(scale.read(["weight"]), 0.05)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


def test_a_process_ends_while_a_call_hangs() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("given up\n", "", 0)
