"""Which readings go on, and in which experiment they are."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.pipeline.fakes import EVENTS, SNAPSHOT, UNLINKED, context
from webmacs.model import Experiment, Reading
from webmacs.pipeline.base import Batch, Item, StageContext, StageSettings
from webmacs.pipeline.filter import Filter

NOW_US = 1_000_000
FIRST = Experiment(1, "first", "First", 100, 200)
SECOND = Experiment(2, "second", "Second", 300, None)


def filtered(*items: Item, within: StageContext | None = None) -> Batch:
    stage = Filter(StageSettings())
    asyncio.run(stage.start(within or context()))
    batch = Batch(None, 1, NOW_US, items=list(items))
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


def test_dropped_ids_are_remembered_with_count_last_value_and_time() -> None:
    within = context()
    filtered(Item("nobody", 2.0, NOW_US), Item(UNLINKED, 1.0, NOW_US), Item("nobody", 5.0, NOW_US), within=within)
    listed = [(entry.event_public_id, entry.count, entry.last_value) for entry in within.catalog.unlinked.listed()]
    assert listed == [("nobody", 2, 5.0), (UNLINKED, 1, 1.0)]
    assert {entry.last_seen_us for entry in within.catalog.unlinked.listed()} == {NOW_US}


def test_a_reading_belongs_to_the_experiment_that_ran_at_its_time() -> None:
    within = context()
    within.catalog.current = replace(SNAPSHOT, experiments=(FIRST, SECOND))
    times = (99, 100, 199, 200, 299, 300, NOW_US)
    batch = filtered(*[Item("a", 0.0, time_us) for time_us in times], within=within)
    found = [reading.experiment for reading in batch.readings]
    assert found == [None, FIRST, FIRST, None, None, SECOND, SECOND]


def test_a_batch_knows_by_which_catalog_it_was_judged() -> None:
    assert filtered(Item("a", 0.0, NOW_US)).judged_by is SNAPSHOT
