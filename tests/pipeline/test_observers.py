"""How observers hear of commits: in order, at their own pace, and whatever they do, alone with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.fakes import EVENTS, Heard, HeardNewest, Rig
from tests.virtual_time import LoopClock, settle, virtual_time
from webmacs.metrics import Metrics
from webmacs.model import Datapoint, Reading
from webmacs.pipeline.base import Committed, Observer, StageSettings
from webmacs.pipeline.counts import Failures
from webmacs.pipeline.observers import Listener

LIMIT_ROWS = 10
DEADLINE_S = 5.0


def commit(number: int, event: str = "a", rows: int = 1) -> Committed:
    readings = [Reading(EVENTS[event], number, float(number), None)] * rows
    return Committed(number, readings, {EVENTS[event].id: Datapoint(number, *readings[0])})


class Ear:
    """A listener with what it counts."""

    def __init__(self, observer: Observer) -> None:
        self.metrics = Metrics()
        failures = Failures(self.metrics, LoopClock())
        self.listener = Listener(observer, LIMIT_ROWS, DEADLINE_S, self.metrics, failures)
        self.name = observer.name

    @property
    def failures(self) -> int:
        return self.metrics.counter("stage_failures", "", stage=self.name).value

    @property
    def overflows(self) -> int:
        return self.metrics.counter("observer_overflows", "", stage=self.name).value


@asynccontextmanager
async def listening(observer: Observer) -> AsyncIterator[Ear]:
    ear = Ear(observer)
    ear.listener.start()
    yield ear
    await ear.listener.close()


@virtual_time
async def test_an_observer_hears_of_each_commit_in_order() -> None:
    heard = Heard()
    async with listening(heard) as ear:
        for number in range(5):
            ear.listener.tell(commit(number))
            await settle()
    assert (heard.values, ear.overflows, ear.failures) == ([0.0, 1.0, 2.0, 3.0, 4.0], 0, 0)


@virtual_time
async def test_it_hears_one_commit_at_a_time() -> None:
    heard = Heard()
    heard.busy_s = 1.0
    async with listening(heard) as ear:
        for number in range(3):
            ear.listener.tell(commit(number))
        await asyncio.sleep(1.5)
        assert heard.values == [0.0, 1.0]


@virtual_time
async def test_telling_never_waits() -> None:
    heard = Heard()
    heard.busy_s = 4.0
    async with listening(heard) as ear:
        for number in range(1000):
            ear.listener.tell(commit(number))
        assert asyncio.get_running_loop().time() == 0.0
        assert ear.overflows > 0


# -- overflow --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("F12")
@virtual_time
async def test_over_the_bound_the_oldest_commits_are_dropped() -> None:
    heard = Heard()
    async with listening(heard) as ear:
        for number in range(LIMIT_ROWS + 3):
            ear.listener.tell(commit(number))
        assert ear.overflows == 3
    assert heard.values == [float(number) for number in range(3, LIMIT_ROWS + 3)]


@pytest.mark.promise("F12")
@virtual_time
async def test_over_the_bound_commits_coalesce_to_the_newest_of_each_event() -> None:
    heard = HeardNewest()
    async with listening(heard) as ear:
        for number in range(LIMIT_ROWS + 1):
            ear.listener.tell(commit(number, "ab"[number % 2]))
        ear.listener.tell(commit(99, "c"))
        assert ear.overflows == 1
    coalesced, last = heard.commits
    assert {point.event.public_id: point.value for point in coalesced.newest.values()} == {"a": 10.0, "b": 9.0}
    assert (coalesced.readings, last) == ((), commit(99, "c"))


@virtual_time
async def test_a_commit_larger_than_the_bound_is_heard() -> None:
    heard = Heard()
    async with listening(heard) as ear:
        ear.listener.tell(commit(1, rows=LIMIT_ROWS * 3))
    assert (len(heard.values), ear.overflows) == (LIMIT_ROWS * 3, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 12), st.booleans()), max_size=40), st.booleans())
@virtual_time
async def test_whatever_overflows_the_newest_of_each_event_is_heard_and_what_waits_is_bounded(
    told: list[tuple[str, int, bool]], coalesce: bool
) -> None:
    heard = HeardNewest() if coalesce else Heard()
    newest: dict[str, float] = {}
    async with listening(heard) as ear:
        for number, (event, rows, pause) in enumerate(told):
            ear.listener.tell(commit(number, event, rows))
            newest[event] = float(number)
            waiting = list(ear.listener._queue)
            assert ear.listener._rows == sum(len(one.readings) or len(one.newest) for one in waiting)
            assert ear.listener._rows <= LIMIT_ROWS or len(waiting) == 1
            if pause:
                await settle(2)
    numbers = [one.first_id for one in heard.commits]
    assert numbers == sorted(numbers)
    if told:
        assert numbers[-1] == len(told) - 1
    if coalesce:
        shown: dict[str, float] = {}
        for one in heard.commits:
            shown |= {point.event.public_id: point.value for point in one.newest.values()}
        assert shown == newest


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.promise("F11")
@pytest.mark.parametrize("error", [RuntimeError("broken"), TimeoutError("its own"), asyncio.CancelledError()])
@virtual_time
async def test_an_observer_that_raises_hears_of_the_next_commit(error: BaseException) -> None:
    heard = Heard()
    heard.raises.append(error)
    async with listening(heard) as ear:
        ear.listener.tell(commit(1))
        ear.listener.tell(commit(2))
    assert (heard.values, ear.failures) == ([1.0, 2.0], 1)


@pytest.mark.promise("F12")
@virtual_time
async def test_an_observer_that_hangs_is_cancelled_at_the_deadline_and_hears_of_the_next_commit() -> None:
    heard = Heard()
    heard.busy_s = 3600.0
    async with listening(heard) as ear:
        ear.listener.tell(commit(1))
        ear.listener.tell(commit(2))
        await asyncio.sleep(DEADLINE_S + 0.1)
        assert (heard.values, heard.cancelled, ear.failures) == ([1.0, 2.0], 1, 1)


@pytest.mark.parametrize(
    ("error", "busy_s", "said"),
    [
        (None, 3600.0, "stage heard took more than 5 s and was cancelled"),
        (TimeoutError(), 0.0, "stage heard failed; it goes on with the next commit"),
        (asyncio.CancelledError(), 0.0, "stage heard was cancelled by what it waited for; it goes on with the next"),
    ],
)
@virtual_time
async def test_what_went_wrong_is_said_as_it_was(
    caplog: pytest.LogCaptureFixture, error: BaseException | None, busy_s: float, said: str
) -> None:
    heard = Heard()
    heard.busy_s = busy_s
    if error is not None:
        heard.raises.append(error)
    async with listening(heard) as ear:
        ear.listener.tell(commit(1))
        await asyncio.sleep(DEADLINE_S + 1)
    [record] = caplog.records
    assert record.getMessage().startswith(said)


@pytest.mark.promise("F12")
@virtual_time
async def test_an_observer_that_hangs_holds_up_neither_ingestion_nor_the_others() -> None:
    hanging, heard = Heard(), Heard()
    hanging.name, hanging.busy_s = "hanging", 3600.0
    async with Rig(hanging, heard) as rig:
        for number in range(20):
            await rig.ask(("a", number))
        await settle()
        assert asyncio.get_running_loop().time() == 0.0
        assert heard.values == [float(number) for number in range(20)]
        assert hanging.values == [0.0]


# -- closing ---------------------------------------------------------------------------------------------------------


@virtual_time
async def test_closing_lets_it_hear_what_is_queued() -> None:
    heard = Heard()
    heard.busy_s = 0.5
    async with listening(heard) as ear:
        for number in range(5):
            ear.listener.tell(commit(number))
    assert heard.values == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert asyncio.get_running_loop().time() == 2.5  # and not a moment longer


@virtual_time
async def test_closing_waits_for_the_deadline_and_no_longer() -> None:
    heard = Heard()
    heard.busy_s = 4.0
    ear = Ear(heard)
    ear.listener.start()
    for number in range(5):
        ear.listener.tell(commit(number))
    await ear.listener.close()
    assert (asyncio.get_running_loop().time(), heard.values) == (DEADLINE_S, [0.0, 1.0])


class Stubborn(Observer):
    """An observer that does not let itself be cancelled, neither at the deadline nor at the end."""

    name = "stubborn"

    async def observe(self, committed: Committed) -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        await asyncio.sleep(3600)


@virtual_time
async def test_closing_does_not_wait_for_ever_for_one_that_holds_on_to_life() -> None:
    ear = Ear(Stubborn(StageSettings()))
    ear.listener.start()
    ear.listener.tell(commit(1))
    await asyncio.sleep(1.0)
    await ear.listener.close()
    assert asyncio.get_running_loop().time() <= 1.0 + 2 * DEADLINE_S


@virtual_time
async def test_closing_one_that_has_nothing_to_hear_takes_no_time() -> None:
    ear = Ear(Heard())
    ear.listener.start()
    await settle()
    await ear.listener.close()
    assert asyncio.get_running_loop().time() == 0.0


@virtual_time
async def test_closing_one_that_was_never_started_is_harmless() -> None:
    ear = Ear(Heard())
    await ear.listener.close()
    assert asyncio.get_running_loop().time() == 0.0
