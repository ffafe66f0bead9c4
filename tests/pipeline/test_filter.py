"""Which readings go on, and in which experiment they are."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.pipeline.fakes import EVENTS, SNAPSHOT, UNLINKED, context
from webmacs.model import Channel, Direction, Experiment, Plugin, Reading
from webmacs.pipeline.base import Batch, Item, StageContext, StageSettings
from webmacs.pipeline.filter import Filter

NOW_US = 1_000_000
FIRST = Experiment(1, "first", "First", 100, 200)
SECOND = Experiment(2, "second", "Second", 300, None)


def filtered(*items: Item, within: StageContext | None = None, plugin_id: int | None = None) -> Batch:
    stage = Filter(StageSettings())
    asyncio.run(stage.start(within or context()))
    batch = Batch(None, 1, NOW_US, plugin_id=plugin_id, items=list(items))
    stage.process(batch)
    return batch


def test_readings_of_linked_events_go_on_in_order() -> None:
    batch = filtered(Item("b", 1.0, NOW_US), Item("a", 2.0, NOW_US), Item("b", 3.0, NOW_US))
    assert batch.readings == [
        Reading(EVENTS["b"], NOW_US, 1.0, None),
        Reading(EVENTS["a"], NOW_US, 2.0, None),
        Reading(EVENTS["b"], NOW_US, 3.0, None),
    ]
    assert batch.unlinked == 0


def test_readings_of_unknown_and_unlinked_events_are_dropped_and_counted() -> None:
    batch = filtered(Item(UNLINKED, 1.0, NOW_US), Item("nobody", 2.0, NOW_US), Item("a", 3.0, NOW_US))
    assert ([reading.value for reading in batch.readings], batch.unlinked) == ([3.0], 2)


def test_a_wrong_clock_counts_only_with_a_reading_that_is_kept() -> None:
    stage = Filter(StageSettings())
    asyncio.run(stage.start(context()))
    items = [Item("a", 1.0, NOW_US), Item("nobody", 2.0, NOW_US), Item(UNLINKED, 3.0, NOW_US)]
    batch = Batch(None, 1, NOW_US, items=items, skewed=3, wrong_clocks=["a", "nobody", UNLINKED])
    stage.process(batch)
    assert (batch.unlinked, batch.skewed) == (2, 1)


def test_dropped_ids_are_remembered_with_count_last_value_and_time() -> None:
    within = context()
    filtered(Item("nobody", 2.0, NOW_US), Item(UNLINKED, 1.0, NOW_US), Item("nobody", 5.0, NOW_US), within=within)
    listed = [(entry.event_public_id, entry.count, entry.last_value) for entry in within.catalog.unlinked.listed()]
    assert listed == [("nobody", 2, 5.0), (UNLINKED, 1, 1.0)]
    assert {entry.last_seen_us for entry in within.catalog.unlinked.listed()} == {NOW_US}


def test_a_sender_who_speaks_for_one_plugin_instance_is_heard_about_its_events_alone() -> None:
    within = context()
    rigs = [Plugin(number, f"rig-{number}", "test", "Rig", False, number != 3, None, None, 0) for number in (1, 2, 3)]
    links = [
        Channel(plugin, f"channel-{plugin}", plugin, "in", "In", Direction.INPUT, "V", EVENTS[event].id, 0)
        for plugin, event in ((1, "a"), (2, "b"), (3, "c"))
    ]
    within.catalog.current = replace(SNAPSHOT, plugins=tuple(rigs), channels=tuple(links))
    everything = [Item(event, 1.0, NOW_US) for event in ("a", "b", "c", UNLINKED)]
    heard = {
        plugin_id: [
            reading.event.public_id for reading in filtered(*everything, within=within, plugin_id=plugin_id).readings
        ]
        for plugin_id in (None, 1, 2, 3, 4)
    }
    assert heard == {None: ["a", "b", "c"], 1: ["a"], 2: ["b"], 3: [], 4: []}  # 3 is disabled, and there is no 4
    assert [entry.event_public_id for entry in within.catalog.unlinked.listed()] == [UNLINKED]


def test_a_reading_belongs_to_the_experiment_that_ran_at_its_time() -> None:
    within = context()
    within.catalog.current = replace(SNAPSHOT, experiments=(FIRST, SECOND))
    times = (99, 100, 199, 200, 299, 300, NOW_US)
    batch = filtered(*[Item("a", 0.0, time_us) for time_us in times], within=within)
    found = [reading.experiment for reading in batch.readings]
    assert found == [None, FIRST, FIRST, None, None, SECOND, SECOND]


def test_a_batch_knows_by_which_catalog_it_was_judged() -> None:
    assert filtered(Item("a", 0.0, NOW_US)).judged_by is SNAPSHOT
