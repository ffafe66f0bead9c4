"""Readings at 1 kHz while server, link and controller are killed and started again at random: each is stored once."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.controller.process import ControllerProcess
from tests.controller.stored import stored_rows
from tests.faults.process import ServerProcess
from tests.plant import furnish, settings_for
from tests.promises import LONG, Figure
from tests.proxy import Proxy, proxy_to
from webmacs.controller.limits import SpoolLimits
from webmacs.controller.spool import Spool
from webmacs.extensions import load_storage
from webmacs.model import Role
from webmacs.storage.base import Storage

CHANNELS = 10  # each read every 10 ms
CHAOS_S = 600.0 if LONG else 8.0
CATCH_UP_S = 180.0 if LONG else 60.0
SETTLE_S = 2.0


class Accidents:
    """What happens to whom, at random; each is repaired before the next one."""

    def __init__(
        self, server: ServerProcess, proxy: Proxy, controller: ControllerProcess, chance: random.Random
    ) -> None:
        self._server, self._proxy, self._controller, self._chance = server, proxy, controller, chance
        self.met = Counter[str]()

    async def go_on(self, seconds: float) -> None:
        """Let them happen for so long."""
        ends = time.monotonic() + seconds
        kinds = [self._server_killed, self._link_cut, self._link_stalled, self._controller_killed]
        left: list[Callable[[], Awaitable[None]]] = []
        while time.monotonic() < ends:
            left = left or self._chance.sample(kinds, len(kinds))  # each comes once, then all of them again
            await asyncio.sleep(self._chance.uniform(0.2, 1.5))
            await left.pop()()

    async def _server_killed(self) -> None:
        self.met["server killed"] += 1
        await self._server.end()
        await asyncio.sleep(self._chance.uniform(0, 1))
        await self._server.start()
        if self._chance.random() < 0.5:
            await self._server.until_it_listens()

    async def _link_cut(self) -> None:
        self.met["link cut"] += 1
        self._proxy.cut()

    async def _link_stalled(self) -> None:
        self.met["link stalled"] += 1
        self._proxy.stall()
        await asyncio.sleep(self._chance.uniform(0, 2))
        if self._chance.random() < 0.5:
            self._proxy.cut()
        self._proxy.resume()

    async def _controller_killed(self) -> None:
        self.met["controller killed"] += 1
        await self._controller.end()
        await self._controller.start()


@pytest.mark.promise("F16")
async def test_every_reading_that_was_kept_is_stored_once_with_its_own_time(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    (tmp_path / "server").mkdir()
    storage = load_storage(settings_for(storage_url, tmp_path))
    await storage.open()
    server = ServerProcess(storage_url, tmp_path / "server")
    try:
        plant = await furnish(storage, events=CHANNELS)
        async with proxy_to(server.port) as proxy:
            address, token = f"http://127.0.0.1:{proxy.port}", plant.tokens[Role.ADMIN]
            controller = ControllerProcess(address, token, tmp_path)
            await server.start()
            await server.until_it_listens()
            await controller.start()
            try:
                accidents = Accidents(server, proxy, controller, random.Random())
                await until_it_measures(controller)
                began = time.monotonic()
                await accidents.go_on(CHAOS_S)
                await server.until_it_listens()
                took_s = await caught_up(storage, controller)
                assert await controller.end(signal.SIGTERM) == 0, controller.said()
            finally:
                await controller.end()
        rows = await stored_rows(storage)
        seconds = time.monotonic() - began
    finally:
        await server.end()
        await storage.close()
    measured, promised = controller.measured(), controller.promised()
    times = {row.value: row.time_us for row in rows}
    assert promised.keys() - times.keys() == set(), "lost"
    assert len(rows) == len(times), "stored twice"
    assert times.keys() - measured.keys() == set(), "made up"
    assert {value for value, time_us in times.items() if time_us != measured[value]} == set(), "at another time"
    assert left_in(controller.spool) == 0
    assert "Traceback" not in controller.said(), controller.said()
    backend = storage_url.partition(":")[0]
    happened = ", ".join(f"{what} {count} times" for what, count in sorted(accidents.met.items()))
    figure(
        f"{backend}: {len(promised):,} readings kept in {seconds:.0f} s; {happened}; lost 0, stored twice 0, at another"
        f" time 0; the last is stored {took_s:.1f} s after all is well"
    )


async def until_it_measures(controller: ControllerProcess) -> None:
    """Before the first reading is kept, nothing can be lost."""
    async with asyncio.timeout(30):
        while not controller.promised():  # noqa: ASYNC110 - a process tells nobody
            await asyncio.sleep(0.1)


async def caught_up(storage: Storage, controller: ControllerProcess) -> float:
    """Wait until all is stored that was kept by now; how long that took."""
    began = time.monotonic()
    await asyncio.sleep(SETTLE_S)
    there = controller.promised().keys()
    async with asyncio.timeout(CATCH_UP_S):
        while there - {row.value for row in await stored_rows(storage)}:  # noqa: ASYNC110 - a table tells nobody
            await asyncio.sleep(0.5)
    return time.monotonic() - began


def left_in(directory: Path) -> int:
    """Readings that still wait in a spool that nobody uses."""
    spool = Spool(directory, SpoolLimits(10**9, 100, 65536), bytes(16))
    spool.open()
    try:
        return spool.depth
    finally:
        spool.close()
