"""What is a setpoint, and that nobody hears of one before it is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.pipeline.fakes import BAD, EVENTS, SNAPSHOT, Rig
from tests.virtual_time import settle, virtual_time
from webmacs.errors import InvalidMessage, StorageUnavailable
from webmacs.given import Given, NewestGiven
from webmacs.model import Actor, Channel, Direction, Plugin
from webmacs.pipeline.base import Batch, Outcome
from webmacs.pipeline.setpoints import Setpoints

ANN = Actor("ann@example.org")
PLUGIN = Plugin(1, "rig", "test", "Rig", False, True, None, None, 0)
CHANNELS = tuple(
    Channel(number, f"channel-{number}", 1, event, event, direction, "V", EVENTS[event].id, 0)
    for number, (event, direction) in enumerate(
        (("a", Direction.OUTPUT), ("b", Direction.BIDIRECTIONAL), ("c", Direction.INPUT)), 1
    )
)
PLANT = replace(SNAPSHOT, plugins=(PLUGIN,), channels=CHANNELS)
LATER = "2026-01-15T14:30:00+00:00"


class Desk:
    """A pipeline that is given setpoints, and what is heard of them."""

    def __init__(self) -> None:
        self.given = NewestGiven()
        self.heard: list[dict[str, float]] = []
        self.given.watch(self._hear)
        self.rig = Rig(Setpoints(self.given))
        self.rig.context.catalog.current = PLANT

    def item(self, event: str, value: float, **more: object) -> dict[str, object]:
        return {"event_public_id": event, "value": value, **more}

    async def give(self, *items: dict[str, object], actor: Actor | None = ANN, batch_id: str | None = None) -> Batch:
        """Submit what comes over HTTP; it may be stored later."""
        body = {"datapoints": list(items), "batch_id": batch_id}
        now_us = self.rig.context.clock.now_us()
        batch = Batch(body, 1, now_us, lax=True, actor=actor, reply=self._answered)
        await self.rig.pipeline.submit(batch)
        return batch

    async def given_to(self, *items: dict[str, object], **more: Any) -> list[dict[str, float]]:
        """What is heard when that is stored."""
        self.heard.clear()
        await self.rig.answer(await self.give(*items, **more))
        return self.heard

    def _answered(self, batch: Batch, outcome: Outcome) -> None:
        self.rig._told(batch, outcome)

    def _hear(self, given: Iterable[Given]) -> None:
        self.heard.append({one.event_public_id: one.value for one in given})


@virtual_time
async def test_a_value_for_what_an_output_follows_is_a_setpoint() -> None:
    desk = Desk()
    async with desk.rig:
        now_us = desk.rig.context.clock.now_us()
        assert await desk.given_to(desk.item("a", 1.0)) == [{"a": 1.0}]
        assert await desk.given_to(desk.item("b", 2), desk.item("c", 3.0)) == [{"b": 2.0}]
        assert await desk.given_to(desk.item("c", 4.0)) == []
        assert desk.given.of(["c", "b", "a"]) == [Given("b", 2.0, now_us), Given("a", 1.0, now_us)]


@virtual_time
async def test_what_was_measured_is_none() -> None:
    """What comes over the socket or from who may only send readings has no actor; a time says that it was measured."""
    desk = Desk()
    async with desk.rig:
        assert await desk.given_to(desk.item("a", 1.0), actor=None) == []
        await desk.rig.ask(("a", 2.0))
        for timestamp in (LATER, "1970-01-01T00:00:00Z", "yesterday", 5):
            assert await desk.given_to(desk.item("a", 3.0, timestamp=timestamp)) == []
        assert await desk.given_to(desk.item("a", 4.0), desk.item("a", 5.0, timestamp=LATER)) == []
        assert await desk.given_to(desk.item("a", 6.0, timestamp=None)) == [{"a": 6.0}]


@virtual_time
async def test_an_instance_that_is_switched_off_follows_nothing() -> None:
    desk = Desk()
    async with desk.rig:
        desk.rig.context.catalog.current = replace(PLANT, plugins=(replace(PLUGIN, enabled=False),))
        assert await desk.given_to(desk.item("a", 1.0)) == []


@virtual_time
async def test_nobody_hears_of_one_that_is_not_stored_yet() -> None:
    desk = Desk()
    async with desk.rig:
        desk.rig.storage.hold()
        batch = await desk.give(desk.item("a", 1.0))
        await settle()
        assert (desk.heard, desk.given.last("a")) == ([], None)
        desk.rig.storage.release()
        await desk.rig.answer(batch)
        assert desk.heard == [{"a": 1.0}]


@virtual_time
async def test_one_that_is_stored_at_the_third_attempt_is_heard_of_once() -> None:
    desk = Desk()
    async with desk.rig:
        desk.rig.storage.fails += [StorageUnavailable("away")] * 2
        assert await desk.given_to(desk.item("a", 1.0)) == [{"a": 1.0}]


@virtual_time
async def test_one_that_the_storage_refuses_is_never_heard_of_and_the_others_are() -> None:
    desk = Desk()
    async with desk.rig:
        desk.rig.storage.bad_values.add(BAD)
        desk.rig.storage.hold()
        waits = await desk.give(desk.item("b", 0.0))
        await settle()
        batches = [await desk.give(desk.item("a", value)) for value in (1.0, BAD)]
        desk.rig.storage.release()
        for batch in (waits, *batches):
            await desk.rig.answer(batch)
        assert desk.heard == [{"b": 0.0}, {"a": 1.0}]
        assert desk.given.of(["a"])[0].value == 1.0


@virtual_time
async def test_of_one_transaction_the_last_of_each_event_is_heard_of() -> None:
    desk = Desk()
    async with desk.rig:
        desk.rig.storage.hold()
        first = await desk.give(desk.item("c", 0.0))
        await settle()
        batches = [await desk.give(desk.item("a", value), desk.item("a", value + 0.5)) for value in (1.0, 2.0)]
        desk.rig.storage.release()
        for batch in (first, *batches):
            await desk.rig.answer(batch)
        assert desk.heard == [{"a": 2.5}]


@virtual_time
async def test_a_batch_that_is_sent_again_gives_nothing_again() -> None:
    desk = Desk()
    async with desk.rig:
        assert await desk.given_to(desk.item("a", 1.0), batch_id="one") == [{"a": 1.0}]
        assert await desk.given_to(desk.item("a", 1.0), batch_id="one") == []


@virtual_time
async def test_one_that_is_no_reading_is_none() -> None:
    desk = Desk()
    async with desk.rig:
        with pytest.raises(InvalidMessage):
            await desk.give(desk.item("a", float("nan")))
        assert await desk.given_to(desk.item("a", float("nan")), desk.item("b", 1.0)) == [{"b": 1.0}]


def entered(desk: Desk) -> list[tuple[str, dict[str, Any]]]:
    """What the audit log was told: of which event, and what it becomes."""
    return [
        (str(row["public_id"]), json.loads(str(row["becomes"])))
        for commit in desk.rig.storage.commits
        for write in commit.writes
        for row in write.rows
    ]


@virtual_time
async def test_the_audit_log_has_every_value_that_moves_something_and_which_were_measured() -> None:
    """Also of an event that is called a sensor; a controller that polls does not know which are setpoints."""
    desk = Desk()
    async with desk.rig:
        await desk.given_to(desk.item("a", 1.0))
        await desk.given_to(desk.item("b", 2.0, timestamp="yesterday"))
        await desk.given_to(desk.item("c", 3.0))
        (first, second) = entered(desk)
        assert first == ("a", {"value": 1.0})
        assert second == ("b", {"value": 2.0, "measured_us": desk.rig.context.clock.now_us()})


@virtual_time
async def test_what_a_device_has_by_itself_is_written_down_when_it_was_told_something_else() -> None:
    """Else a server that starts again would take the older setpoint for the newest."""
    desk = Desk()
    async with desk.rig:
        await desk.given_to(desk.item("a", 20.0))
        await asyncio.sleep(1)
        await desk.rig.ask(("a", 50.0))
        await desk.given_to(desk.item("a", 50.0), desk.item("c", 0.0))
        await desk.given_to(desk.item("a", 50.0), desk.item("c", 0.0))
        assert entered(desk) == [("a", {"value": 20.0}), ("a", {"value": 50.0})]
