"""How the pipeline starts and stops."""

from __future__ import annotations

import asyncio

import pytest

from tests.pipeline.fakes import Heard, Noted, Rig, stored
from tests.virtual_time import settle, virtual_time
from webmacs.errors import ShuttingDown
from webmacs.pipeline.base import (
    Refused,
    StageContext,
)
from webmacs.pipeline.queue import NOT_STORED

# -- starting and stopping -------------------------------------------------------------------------------------------


class Told(Noted):
    """A stage that writes its starts and closes into a journal, and may fail at them."""

    def __init__(self, name: str, journal: list[str], *, fails: str = "") -> None:
        super().__init__()
        self.name, self._lines, self._fails = name, journal, fails

    async def start(self, context: StageContext) -> None:
        self._lines.append(f"start {self.name}")
        if self._fails == "start":
            raise RuntimeError("cannot start")

    async def close(self) -> None:
        self._lines.append(f"close {self.name}")
        if self._fails == "close":
            raise RuntimeError("cannot close")
        if self._fails == "end":
            await asyncio.Event().wait()


@virtual_time
async def test_stages_start_in_order_and_close_in_reverse() -> None:
    journal: list[str] = []
    async with Rig(Told("one", journal), Told("two", journal)):
        pass
    assert journal == ["start one", "start two", "close two", "close one"]


@pytest.mark.promise("F11")
@virtual_time
async def test_when_one_cannot_start_those_that_were_started_are_closed() -> None:
    journal: list[str] = []
    rig = Rig(Told("one", journal), Told("two", journal, fails="start"), Told("three", journal))
    with pytest.raises(RuntimeError, match="cannot start"):
        await rig.pipeline.start()
    await rig.pipeline.close(1.0)
    assert journal == ["start one", "start two", "close two", "close one"]


@pytest.mark.promise("F11")
@pytest.mark.parametrize("how", ["close", "end"])
@virtual_time
async def test_a_stage_that_cannot_close_leaves_no_other_open(how: str) -> None:
    journal: list[str] = []
    async with Rig(Told("one", journal), Told("two", journal, fails=how)) as rig:
        pass
    assert journal[2:] == ["close two", "close one"]
    assert rig.counted("stage_failures", stage="two") == 1


@virtual_time
async def test_closing_commits_what_waits_and_tells_everyone() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        rig.storage.hold()
        for number in range(10):
            await rig.send(("a", number))
        asyncio.get_running_loop().call_later(1.0, rig.storage.release)
    assert rig.storage.rows == [("a", float(number)) for number in range(10)]
    assert [outcome for _, outcome in rig.answers] == [stored(1)] * 10
    assert (heard.values, heard.closed) == ([float(number) for number in range(10)], 1)


@virtual_time
async def test_after_closing_nothing_is_taken_any_more() -> None:
    async with Rig() as rig:
        pass
    with pytest.raises(ShuttingDown):
        await rig.send(("a", 1))


@virtual_time
async def test_closing_gives_up_in_time_and_tells_those_that_were_never_tried() -> None:
    rig = Rig()
    await rig.pipeline.start()
    rig.storage.hold()
    tried = await rig.send(("a", 1))
    await settle()
    waiting = await rig.send(("a", 2), batch_id="x")
    before = rig.context.clock.monotonic()
    await rig.pipeline.close(5.0)
    assert rig.context.clock.monotonic() - before == pytest.approx(5.0)
    assert rig.answers == [(waiting, Refused(NOT_STORED, retry=True))]
    assert rig.answers_to(tried) == []  # it may be stored or not


@virtual_time
async def test_how_much_could_not_be_stored_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    await rig.pipeline.start()
    rig.storage.hold()
    await rig.send(("a", 1), ("a", 2))
    await rig.send(("a", 3))
    await rig.pipeline.close(5.0)
    assert [record.getMessage() for record in caplog.records] == ["stopping with 3 rows that could not be stored"]


@virtual_time
async def test_observers_have_the_deadline_that_is_set() -> None:
    hanging = Heard()
    hanging.busy_s = 3600.0
    async with Rig(hanging, observer_deadline_s=2.0) as rig:
        await rig.ask(("a", 1))
        await asyncio.sleep(1.9)
        assert rig.counted("stage_failures", stage="heard") == 0
        await asyncio.sleep(0.2)
        assert (rig.counted("stage_failures", stage="heard"), hanging.cancelled) == (1, 1)


@virtual_time
async def test_closing_twice_is_harmless() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        await rig.ask(("a", 1))
        await rig.pipeline.close(5.0)
    assert heard.closed == 1
