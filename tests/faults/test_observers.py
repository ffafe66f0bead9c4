"""Observers that hang, in a server with a controller at a steady pace and a browser that looks on."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.browsers import crowd
from tests.faults.installation import installed
from tests.faults.pace import p99, paced
from tests.faults.process import ServerProcess
from tests.promises import LONG, Figure
from webmacs.model import Role

SECONDS = 20.0 if LONG else 2.0
QUEUE_ROWS = 20
DEADLINE_S = 0.5
SLOWEST_MS = 5000.0  # a commit on a busy machine, and not the sleep of anybody
HANGING = ("sleeping", "sleepingnewest")
USUAL = ("validate", "filter", "persist", "webhook", "rules")
STAGES = (*USUAL, *(f"tests.faults.hanging:{name}" for name in ("Sleeping", "SleepingNewest")), "broadcast")
SETTINGS = {
    "PIPELINE__STAGES": json.dumps(STAGES),
    "PIPELINE__OBSERVER_QUEUE_ROWS": str(QUEUE_ROWS),
    "PIPELINE__OBSERVER_DEADLINE_S": str(DEADLINE_S),
    "SERVER__SHUTDOWN_TIMEOUT_S": "2",
}


@pytest.mark.promise("F12")
async def test_observers_that_hang_hold_up_neither_readings_nor_the_others(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    (tmp_path / "hanging").mkdir()
    hanging = ServerProcess(storage_url, tmp_path / "hanging", **SETTINGS)
    async with installed(storage_url, tmp_path) as site:
        without = await paced(site, SECONDS)
        await site.server.end(signal.SIGTERM)
        await hanging.start()
        try:
            await hanging.until_it_listens()
            other, token = replace(site, server=hanging), site.plant.tokens[Role.VIEWER]
            async with crowd(hanging.address, token, watching=1, stuck=0) as browsers:
                with_them = await paced(other, SECONDS, first=len(without))
                (browser,) = browsers.watching
                await browser.until_it_sees(len(without) + len(with_them) - 1.0)
            missed = {name: await other.counted(f'observer_overflows_total{{stage="{name}"}}') for name in HANGING}
            late = [await other.counted(f'stage_failures_total{{stage="{name}"}}') for name in HANGING]
            seen = await other.counted('observer_overflows_total{stage="broadcast"}')
            code, stopped_s = await hanging.end(signal.SIGTERM)
        finally:
            await hanging.end()
        await site.server.start()
        await site.server.until_it_listens()
    figure(
        f"{site.storage.scheme}: p99 of {len(without):,} acknowledgements {p99(without)}, with two observers that"
        f" hang {p99(with_them)}; overflows {', '.join(f'{name} {count:,}' for name, count in missed.items())},"
        f" broadcast {seen}; it stopped after {stopped_s:.1f} s, exit {code}"
    )
    assert max(with_them) < SLOWEST_MS
    assert all(count > 0 for count in missed.values())
    assert all(count > 0 for count in late)
    assert (seen, code) == (0, 0)
    assert browser.values == sorted(browser.values)


@pytest.mark.promise("F12", "F9")
async def test_an_observer_that_does_not_hear_that_it_is_cancelled_does_not_keep_the_server_from_ending(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    (tmp_path / "stubborn").mkdir()
    stages = json.dumps((*USUAL, "tests.faults.hanging:Stubborn", "broadcast"))
    stubborn = ServerProcess(storage_url, tmp_path / "stubborn", **(SETTINGS | {"PIPELINE__STAGES": stages}))
    async with installed(storage_url, tmp_path) as site:
        await site.server.end(signal.SIGTERM)
        await stubborn.start()
        try:
            await stubborn.until_it_listens()
            assert await paced(replace(site, server=stubborn), 1.0)
            code, stopped_s = await stubborn.end(signal.SIGTERM)
        finally:
            await stubborn.end()
        said = stubborn.said()
        await site.server.start()
        await site.server.until_it_listens()
    figure(f"{site.storage.scheme}: one that cannot be cancelled is left behind after {stopped_s:.1f} s, exit {code}")
    assert code == 0, said
    assert "does not end when it is cancelled" in said
