"""Snapshots, their reloading, and the ids that nothing is linked to."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.fakes import EVENTS
from tests.virtual_time import settle, virtual_time
from webmacs.catalog import RETRY_S, SAID_A_MINUTE, Catalog, Snapshot, UnlinkedIds
from webmacs.errors import StorageUnavailable
from webmacs.model import (
    Action,
    ApiToken,
    Channel,
    Datapoint,
    Direction,
    Experiment,
    Operator,
    Plugin,
    Role,
    Rule,
    User,
    Webhook,
    WebhookEvent,
)


def test_the_outputs_of_an_instance_are_what_it_does_not_only_measure_while_it_is_switched_on() -> None:
    rigs = tuple(Plugin(n, f"rig-{n}", "test", f"Rig {n}", False, n != 3, None, None, 0) for n in (1, 2, 3, 4))
    links = ((1, "a", "output"), (1, "b", "input"), (2, "b", "bidirectional"), (2, "a", "output"), (3, "c", "output"))
    channels = [
        Channel(n, f"channel-{n}", plugin, f"c{n}", f"c{n}", Direction(direction), "V", EVENTS[event].id, 0)
        for n, (plugin, event, direction) in enumerate(links)
    ]
    nowhere = [Channel(9, "channel-9", 1, "c9", "c9", Direction.OUTPUT, "V", event, 0) for event in (None, 99)]
    catalog = Snapshot(events=EVENTS, plugins=rigs, channels=(*channels, *nowhere))
    assert catalog.outputs_by_plugin == {1: {"a"}, 2: {"a", "b"}, 4: frozenset()}
    assert catalog.outputs == {"a", "b"}
    assert {plugin: list(events) for plugin, events in catalog.linked_by_plugin.items()} == {
        1: ["a", "b"],
        2: ["b", "a"],
        4: [],
    }
    assert list(catalog.events_by_plugin[3]) == ["c"]
    assert Snapshot().outputs == frozenset()


class Source:
    """A storage whose configuration is a number that rises with each change; fetching takes a second."""

    def __init__(self) -> None:
        self.version = 0
        self.fetches = 0
        self.running = 0
        self.away = False
        self.broken = False

    async def fetch(self) -> Snapshot:
        self.fetches += 1
        self.running += 1
        assert self.running == 1, "one fetch at a time"
        seen = self.version
        try:
            await asyncio.sleep(1.0)
        finally:
            self.running -= 1
        if self.away:
            raise StorageUnavailable("away")
        if self.broken:
            raise ValueError("'owner' is not a valid Role")
        return Snapshot(revoked=frozenset({str(seen)}))


def version(catalog: Catalog) -> int:
    return int(next(iter(catalog.current.revoked)))


@virtual_time
async def test_a_new_catalog_is_empty_and_not_out_of_date() -> None:
    catalog = Catalog(Source().fetch)
    assert (catalog.current, catalog.stale, catalog.unlinked.listed()) == (Snapshot(), False, [])


# -- reloading -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_reload_swaps_the_snapshot_whole_and_tells_who_watches() -> None:
    source, seen = Source(), list[Snapshot]()
    catalog = Catalog(source.fetch)
    catalog.watch(seen.append)
    await catalog.reload()
    assert seen == [catalog.current]
    assert version(catalog) == 0


@virtual_time
async def test_reloads_asked_for_while_one_runs_share_the_next() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    first = asyncio.create_task(catalog.reload())
    await settle()
    source.version = 1
    await asyncio.gather(first, *(catalog.reload() for _ in range(100)))
    assert (source.fetches, version(catalog)) == (2, 1)


@given(st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.5]), min_size=1, max_size=20))
@virtual_time
async def test_who_has_written_and_reloaded_sees_what_was_written(pauses: list[float]) -> None:
    source = Source()
    catalog = Catalog(source.fetch)

    async def write() -> None:
        source.version += 1
        written = source.version
        await catalog.reload()
        assert version(catalog) >= written

    writers = []
    for pause in pauses:
        writers.append(asyncio.create_task(write()))
        await asyncio.sleep(pause)
    await asyncio.gather(*writers)
    assert source.fetches <= len(pauses)


@virtual_time
async def test_one_that_gives_up_waiting_does_not_keep_the_others_from_the_news() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    first, second = (asyncio.create_task(catalog.reload()) for _ in range(2))
    await asyncio.sleep(0.5)
    source.version = 1
    first.cancel()
    await second
    assert version(catalog) == 1


@virtual_time
async def test_when_it_cannot_be_fetched_the_old_snapshot_stays_and_is_marked() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    await catalog.reload()
    source.version, source.away = 1, True
    with pytest.raises(StorageUnavailable):
        await catalog.reload()
    assert (version(catalog), catalog.stale) == (0, True)
    source.away = False
    await catalog.reload()
    assert (version(catalog), catalog.stale) == (1, False)


@virtual_time
async def test_those_who_wait_for_a_reload_that_fails_try_for_themselves() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    source.away = True
    first, second = (asyncio.create_task(catalog.reload()) for _ in range(2))
    await asyncio.sleep(1.5)
    source.away = False
    await second
    with pytest.raises(StorageUnavailable):
        await first


# -- following -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_changes_made_elsewhere_are_fetched_and_a_burst_costs_one_fetch() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    following = asyncio.create_task(catalog.follow())
    await asyncio.sleep(10)
    assert source.fetches == 0
    source.version = 7
    for _ in range(100):
        catalog.changed()
    await asyncio.sleep(10)
    assert (source.fetches, version(catalog)) == (1, 7)
    following.cancel()


@virtual_time
async def test_a_change_during_a_fetch_is_fetched_too() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    following = asyncio.create_task(catalog.follow())
    catalog.changed()
    await asyncio.sleep(0.5)
    source.version = 1
    catalog.changed()
    await asyncio.sleep(10)
    assert (source.fetches, version(catalog)) == (2, 1)
    following.cancel()


@virtual_time
async def test_while_the_storage_is_away_following_tries_again() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    following = asyncio.create_task(catalog.follow())
    source.away, source.version = True, 1
    catalog.changed()
    await asyncio.sleep(30)
    assert catalog.stale
    source.away = False
    await asyncio.sleep(2 * (1 + RETRY_S))
    assert (version(catalog), catalog.stale) == (1, False)
    fetches = source.fetches
    await asyncio.sleep(30)
    assert source.fetches == fetches
    following.cancel()


@virtual_time
async def test_following_survives_what_it_cannot_read() -> None:
    source = Source()
    catalog = Catalog(source.fetch)
    following = asyncio.create_task(catalog.follow())
    source.broken, source.version = True, 1
    catalog.changed()
    await asyncio.sleep(30)
    assert catalog.stale
    source.broken = False
    await asyncio.sleep(2 * (1 + RETRY_S))
    assert (version(catalog), catalog.stale) == (1, False)
    following.cancel()


@virtual_time
async def test_a_storage_that_is_away_is_asked_twice_a_second() -> None:
    attempts = 0

    async def fetch() -> Snapshot:
        nonlocal attempts
        attempts += 1
        task = asyncio.current_task()
        if attempts > 100 and task is not None:
            task.cancel()
        raise StorageUnavailable("away")

    catalog = Catalog(fetch)
    following = asyncio.create_task(catalog.follow())
    catalog.changed()
    await asyncio.sleep(10.1)
    assert attempts == 21
    following.cancel()


@pytest.mark.parametrize("broken", [False, True])
@virtual_time
async def test_that_it_may_be_out_of_date_is_said_with_a_trace_where_nobody_expected_it(
    caplog: pytest.LogCaptureFixture, broken: bool
) -> None:
    source = Source()
    source.away, source.broken = not broken, broken
    catalog = Catalog(source.fetch)
    following = asyncio.create_task(catalog.follow())
    catalog.changed()
    await asyncio.sleep(1.2)
    following.cancel()
    [record] = caplog.records
    assert record.getMessage().startswith("the configuration may be out of date: ")
    assert bool(record.exc_info) is broken


# -- snapshots -------------------------------------------------------------------------------------------------------


def test_a_snapshot_knows_its_things_by_both_ids() -> None:
    user = User(3, "u", "u@example.org", "u", Role.ADMIN, 1, 0)
    token = ApiToken(4, "t", "token", "digest", 3, None, 0)
    experiment = Experiment(5, "e", "Run", 0, None)
    snapshot = Snapshot(EVENTS, {}, (experiment,), {"u": user}, {"digest": token})
    assert snapshot.users_by_id == {3: user}
    assert snapshot.tokens_by_id == {4: token}
    assert snapshot.experiments_by_id == {5: experiment}
    assert snapshot.events_by_id == {event.id: event for event in EVENTS.values()}


def rule(number: int, event_id: int, *, enabled: bool = True) -> Rule:
    return Rule(
        number, f"r{number}", f"{number}", event_id, Operator.GT, 0.0, None, Action.LOG, None, enabled, 60, None, 0
    )


def webhook(number: int, *events: str, enabled: bool = True) -> Webhook:
    return Webhook(number, f"w{number}", f"https://{number}.example", events, enabled, None, 0)


def test_rules_are_found_by_their_event_the_oldest_first_and_those_that_are_switched_off_are_not() -> None:
    rules = (rule(1, 7), rule(2, 8), rule(3, 7, enabled=False), rule(4, 7), rule(5, 9, enabled=False))
    snapshot = Snapshot(rules=rules)
    assert snapshot.rules_by_event == {7: [rules[0], rules[3]], 8: [rules[1]]}
    assert Snapshot().rules_by_event == {}


def test_webhooks_are_found_by_their_id_those_that_are_switched_off_too() -> None:
    webhooks = (webhook(3), webhook(5, enabled=False))
    assert Snapshot(webhooks=webhooks).webhooks_by_id == {3: webhooks[0], 5: webhooks[1]}


def test_subscribers_of_an_event_are_found_whichever_way_they_spell_it() -> None:
    dotted = webhook(1, "sensor.reading", "experiment.started")
    underscored = webhook(2, "sensor_reading", "system_health_changed")
    off = webhook(3, "sensor.reading", enabled=False)
    nothing = webhook(4)
    subscribers = Snapshot(webhooks=(dotted, underscored, off, nothing)).subscribers
    assert subscribers == {
        WebhookEvent.THRESHOLD_EXCEEDED: [],
        WebhookEvent.READING: [dotted, underscored],
        WebhookEvent.EXPERIMENT_STARTED: [dotted],
        WebhookEvent.EXPERIMENT_STOPPED: [],
        WebhookEvent.HEALTH_CHANGED: [underscored],
    }


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=30))
def test_no_rule_that_is_switched_on_is_missing_and_none_is_there_twice(rules: list[tuple[int, bool]]) -> None:
    made = tuple(rule(number, event_id, enabled=enabled) for number, (event_id, enabled) in enumerate(rules))
    found = Snapshot(rules=made).rules_by_event
    for event_id in range(1, 6):
        assert list(found.get(event_id, ())) == [one for one in made if one.event_id == event_id and one.enabled]


def test_rows_become_datapoints_unless_their_event_is_gone() -> None:
    experiment = Experiment(5, "e", "Run", 0, None)
    a, b = EVENTS["a"], EVENTS["b"]
    snapshot = Snapshot({"a": a, "b": b}, {}, (experiment,))
    rows = [(1, a.id, 10, 1.0, 5), (2, 999, 20, 2.0, None), (3, b.id, 30, 3.0, None), (4, b.id, 40, 4.0, 6)]
    assert snapshot.datapoints(rows) == [
        Datapoint(1, a, 10, 1.0, experiment),
        Datapoint(3, b, 30, 3.0, None),
        Datapoint(4, b, 40, 4.0, None),
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 10)), max_size=6), st.integers(-2, 45))
def test_the_experiment_of_a_time_is_the_one_started_last_if_it_still_ran(
    spans: list[tuple[int, int | None]], time_us: int
) -> None:
    experiments = [
        Experiment(number, str(number), "", start, None if length is None else start + length)
        for number, (start, length) in enumerate(sorted(spans, key=lambda span: span[0]))
    ]
    started = [experiment for experiment in experiments if experiment.started_us <= time_us]
    last = started[-1] if started else None
    runs = last is not None and (last.stopped_us is None or time_us < last.stopped_us)
    assert Snapshot(experiments=tuple(experiments)).experiment_at(time_us) == (last if runs else None)


# -- unlinked ids ----------------------------------------------------------------------------------------------------


def listed(ids: UnlinkedIds) -> list[tuple[str, int, float, int, int]]:
    return [
        (entry.event_public_id, entry.count, entry.last_value, entry.first_seen_us, entry.last_seen_us)
        for entry in ids.listed()
    ]


def test_unlinked_ids_are_listed_newest_first_with_count_and_last_value() -> None:
    ids = UnlinkedIds(10)
    for now_us, (name, value) in enumerate([("a", 1.0), ("b", 2.0), ("a", 3.0)]):
        ids.saw(name, value, now_us)
    assert listed(ids) == [("a", 2, 3.0, 0, 2), ("b", 1, 2.0, 1, 1)]


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_only_the_ids_seen_last_are_kept(seen: list[int], limit: int) -> None:
    ids = UnlinkedIds(limit)
    for now_us, number in enumerate(seen):
        ids.saw(str(number), 0.0, now_us)
    newest_first = list(dict.fromkeys(str(number) for number in reversed(seen)))
    assert [entry.event_public_id for entry in ids.listed()] == newest_first[:limit]


def test_each_id_is_said_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "webmacs")
    ids = UnlinkedIds(10)
    for name in ("a", "b", "a", "a"):
        ids.saw(name, 1.0, 0)
    assert [record.args for record in caplog.records] == [("a",), ("b",)]


@pytest.mark.promise("S10")
def test_a_flood_of_new_ids_is_some_lines_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "webmacs")
    ids, minute_us = UnlinkedIds(10), 60_000_000
    for number in range(100_000):
        ids.saw(f"random {number}", 1.0, number % minute_us)
    assert len(caplog.records) == SAID_A_MINUTE + 1
    caplog.clear()
    ids.saw("in the next minute", 1.0, minute_us)
    ids.saw("and one more", 1.0, minute_us)
    said = [record.args for record in caplog.records]
    assert said == [(100_000 - SAID_A_MINUTE,), ("in the next minute",), ("and one more",)]


@virtual_time
async def test_ids_that_have_been_linked_since_are_forgotten() -> None:
    async def fetch() -> Snapshot:
        return Snapshot(EVENTS, {"a": EVENTS["a"]})

    catalog = Catalog(fetch)
    for name in ("a", "b"):
        catalog.unlinked.saw(name, 1.0, 0)
    await catalog.reload()
    assert [entry.event_public_id for entry in catalog.unlinked.listed()] == ["b"]
