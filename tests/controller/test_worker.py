"""A worker on its way out, when what it does there fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.controller.conftest import until
from tests.controller.devices import Bench
from tests.controller.fakes import FakeClock
from tests.controller.pretender import instance
from webmacs.config import ControllerSettings
from webmacs.controller.frames import Reading
from webmacs.controller.instances import Instance, enabled_instances
from webmacs.controller.outputs import Key, Order, Outputs, Policy
from webmacs.controller.worker import Worker


def described() -> Instance:
    (found,) = enabled_instances([instance()])
    return found


class Broken(Outputs):
    """They do not know what is safe."""

    def safe_orders(self, instance: str, reason: str) -> list[Order]:
        raise RuntimeError("a bug")


async def stopped(bench: Bench, *, kind: type[Outputs] = Outputs, report_fails: bool = False) -> Worker:
    """One that had its outputs at 50, told to stop."""
    loop = asyncio.get_running_loop()
    outputs = kind(Policy(60.0, 0.0, 30.0), loop.time())
    outputs.server_there()
    leaving = False

    def report(_reading: Reading) -> None:
        if leaving and report_fails:
            raise RuntimeError("the spool has gone")

    worker = Worker(
        described(),
        ControllerSettings(poll_interval_s=0.05),
        outputs,
        FakeClock(),
        lambda _found: None,
        report,
        lambda _instance: None,
        lambda: None,
        bench.find,
    )
    worker.start()
    await until(lambda: bool(bench.measured))
    for channel in ("heater", "valve"):
        outputs.given(Key("one", channel), 50.0, 1, 0.0, loop.time())
    worker.wake()
    await until(lambda: {"heater=50", "valve=50"} <= set(bench.log))
    leaving = True
    await worker.stop()
    return worker


async def test_what_cannot_be_told_keeps_no_output_from_being_made_safe(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = bench.find("rig").description.channels
    both = tuple(replace(one, safe_value=0.0) if one.channel_id == "valve" else one for one in channels)
    find = bench.find

    def with_two(plugin_id: str) -> type:
        rig = find(plugin_id)
        rig.description = replace(rig.description, channels=both)
        return rig

    monkeypatch.setattr(bench, "find", with_two)
    await stopped(bench, report_fails=True)
    assert {"heater=0", "valve=0"} <= set(bench.log)
    assert bench.log[-1] == "close"


async def test_a_device_is_not_opened_again_when_its_closing_fails_on_the_way_out(bench: Bench) -> None:
    worker = await stopped(bench, kind=Broken)
    await asyncio.sleep(0.1)
    assert (bench.log.count("open"), bench.log[-1]) == (1, "close")
    assert worker._task is None
