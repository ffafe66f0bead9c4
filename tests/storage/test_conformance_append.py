"""What every storage promises of ids, commits and the identities of batches (`webmacs.storage.base`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import chain, pairwise

import pytest

from tests.storage.conftest import Opener
from tests.storage.rows import (
    T0,
    UNKNOWN_EVENT,
    commit,
    ids,
    log_entries,
    log_entry,
    logged,
    new_event,
    new_experiment,
    reading,
    record,
    shown,
    snapshot,
    values,
)
from webmacs.errors import InvalidRows
from webmacs.model import BatchKey, Datapoint, Scalar, Write
from webmacs.storage.base import Storage


async def test_what_append_has_stored_is_visible_to_every_other_call(storage: Storage, another: Opener) -> None:
    event, experiment = await new_event(storage), await new_experiment(storage)
    now = await snapshot(storage)
    stored = await commit(storage, 1, [reading(2.5, event, T0 + 1, experiment)])
    await storage.append(stored)
    expected = [Datapoint(stored.first_id, event, T0 + 1, 2.5, experiment)]
    for one in (storage, await another()):
        assert await one.count() == 1
        assert await one.latest(now) == expected
        assert await one.history(now, event.id, limit=10) == expected
        assert await shown(one) == [("Sensor", 2.5)]


async def test_readings_get_consecutive_ids_in_the_order_they_were_given(storage: Storage) -> None:
    first = await commit(storage, 1, [reading(value, time_us=T0 - int(value)) for value in (5.0, 3.0, 4.0)])
    await storage.append(first)
    second = await commit(storage, 2, [reading(1.0), reading(2.0)])
    await storage.append(second)
    assert await values(storage) == [5.0, 3.0, 4.0, 1.0, 2.0]
    given = [*range(first.first_id, first.first_id + 3), *range(second.first_id, second.first_id + 2)]
    assert await ids(storage) == given


async def test_reserved_ids_rise_and_never_overlap(storage: Storage) -> None:
    end = 0
    for count in (1, 1_048_575, 500, 1, 3_000_000, 7):  # within, up to and beyond the blocks in which they are taken
        first_id = await storage.reserve(count)
        assert first_id >= end
        end = first_id + count


async def test_ids_are_not_reused_after_reopening_though_their_readings_are_gone(
    storage: Storage, another: Opener
) -> None:
    before = await commit(storage, 1, [reading()] * 10)
    await storage.append(before)
    while await storage.forget_event(UNKNOWN_EVENT.id, 100):
        pass
    await storage.close()
    assert await (await another()).reserve(1) >= before.first_id + 10


async def test_two_storages_in_one_place_never_get_the_same_ids(storage: Storage, another: Opener) -> None:
    other = await another()
    taken: set[int] = set()
    for count in (10, 2_000_000, 10):
        for one in (storage, other):
            first_id = await one.reserve(count)
            assert taken.isdisjoint({first_id, first_id + count - 1})
            taken |= {first_id, first_id + count - 1}
            await one.append(await commit(one, len(taken), [reading()]))
    assert len(set(await ids(storage))) == 6


async def test_ids_of_several_blocks_are_consecutive_though_others_take_some_at_the_same_time(
    storage: Storage, another: Opener
) -> None:
    count = 100 * 2**20

    async def take(one: Storage) -> list[int]:
        return [await one.reserve(count) for _ in range(25)]

    taken = await asyncio.gather(*(take(one) for one in [storage, *[await another() for _ in range(3)]]))
    assert all(later - earlier >= count for earlier, later in pairwise(sorted(chain(*taken))))


async def test_the_same_commit_given_twice_is_stored_once(storage: Storage) -> None:
    once = await commit(storage, 1, [reading(1.0)], [record("a")], [log_entry()])
    await storage.append(once)
    await storage.append(once)
    assert await values(storage) == [1.0]
    assert await logged(storage) == ["said"]


async def test_a_commit_given_again_after_a_later_one_is_stored_once(storage: Storage) -> None:
    first, second = await commit(storage, 1, [reading(1.0)]), await commit(storage, 2, [reading(2.0)])
    await storage.append(first)
    await storage.append(second)
    await storage.append(first)
    assert await values(storage) == [1.0, 2.0]


async def test_attempts_at_the_same_commit_that_run_side_by_side_store_it_once(
    storage: Storage, another: Opener
) -> None:
    others = [await another() for _ in range(3)]
    for other in others:
        other.run = storage.run
    for seq in range(1, 11):
        same = await commit(storage, seq, [reading(float(seq))] * 50)
        await asyncio.gather(*(one.append(same) for one in (storage, storage, *others)))
    assert await values(storage) == [float(seq) for seq in range(1, 11) for _ in range(50)]


async def test_the_commits_of_two_runs_do_not_hide_each_other(storage: Storage, another: Opener) -> None:
    other = await another()
    await storage.append(await commit(storage, 1, [reading(1.0)]))
    await other.append(await commit(other, 1, [reading(2.0)]))
    assert sorted(await values(storage)) == [1.0, 2.0]


async def test_a_commit_of_any_size_is_stored_whole(storage: Storage) -> None:
    many = [reading(float(n)) for n in range(60_000)]  # more columns than SQLite binds at once
    await storage.append(await commit(storage, 1, many))
    assert await values(storage) == [float(n) for n in range(60_000)]


async def test_a_commit_may_hold_no_readings(storage: Storage) -> None:
    await storage.append(await commit(storage, 1, batches=[record("a")], writes=[log_entry()]))
    assert await storage.recall([record("a").key]) == {record("a").key: record("a")}
    assert await logged(storage) == ["said"]


async def test_recall_returns_exactly_what_was_remembered(storage: Storage) -> None:
    batches = [
        record("a", 1, accepted=500, invalid=0, unlinked=0, skewed=0),
        record("a", 2, accepted=0, time_us=2**52),
        record("it's 100% «ü» 😀 :name \\", 2),
    ]
    await storage.append(await commit(storage, 1, [reading()], batches))
    unknown = [BatchKey(3, "a"), BatchKey(1, "A"), BatchKey(1, "")]
    assert await storage.recall([*unknown, *(batch.key for batch in batches)]) == {
        batch.key: batch for batch in batches
    }


async def test_recall_takes_none_and_many_keys(storage: Storage) -> None:
    batches = [record(str(n)) for n in range(3_000)]
    await storage.append(await commit(storage, 1, batches=batches))
    assert await storage.recall([]) == {}
    found = await storage.recall([BatchKey(7, str(n)) for n in range(140_000)])
    assert found == {batch.key: batch for batch in batches}


async def test_identities_are_those_of_any_storage_in_that_place(storage: Storage, another: Opener) -> None:
    await storage.append(await commit(storage, 1, batches=[record("a")]))
    assert await (await another()).recall([record("a").key]) == {record("a").key: record("a")}


async def test_many_rows_of_one_statement_are_stored_in_order_whatever_they_hold(storage: Storage) -> None:
    texts = ["", "it's", '"quoted"', "100%", "%s %(a)s", "a::b :c", "\\", "\\'", "--", ";", "äöü 😀 \x7f\x01", "\r\n"]
    many = [*texts, *(f"number {n}" for n in range(60_000))]  # more values than SQLite binds at once
    await storage.append(await commit(storage, 1, [reading()], writes=[log_entries(many)]))
    assert await logged(storage) == many
    assert await storage.count() == 1


async def test_of_no_rows_none_are_stored(storage: Storage) -> None:
    await storage.append(await commit(storage, 1, [reading()], writes=[log_entries([]), log_entry()]))
    assert await logged(storage) == ["said"]


def bulk(*rows: Mapping[str, Scalar]) -> Write:
    return Write("INSERT INTO revoked_tokens (jti, expires_us) VALUES (:jti, :us)", rows, bulk=True)


FAULTS = {
    "a unique key that is taken": Write("INSERT INTO revoked_tokens (jti, expires_us) VALUES ('x', 1)", ({}, {})),
    "U+0000 in a text": log_entry("a\0b"),
    "a lone surrogate in a text": log_entry("a\ud800b"),
    "NULL where there must be a value": Write("INSERT INTO revoked_tokens (jti, expires_us) VALUES ('x', NULL)"),
    "an integer that is too large": Write(
        "INSERT INTO revoked_tokens (jti, expires_us) VALUES ('x', :us)", ({"us": 2**70},)
    ),
    "a table that is not there": Write("INSERT INTO nowhere (a) VALUES (1)"),
    "a statement that is none": Write("INSERT nonsense"),
    "a placeholder without a value": Write("INSERT INTO revoked_tokens (jti, expires_us) VALUES (:jti, 1)"),
    "a row that refers to nothing": Write(
        "INSERT INTO api_tokens (public_id, name, digest, user_id, created_us) VALUES ('a', 'b', 'c', 99, 0)"
    ),
    "a unique key that two of many rows share": bulk({"jti": "x", "us": 1}, {"jti": "x", "us": 2}),
    "U+0000 in one of many rows": bulk({"jti": "a", "us": 1}, {"jti": "a\0b", "us": 1}),
    "a lone surrogate in one of many rows": bulk({"jti": "a", "us": 1}, {"jti": "a\ud800b", "us": 1}),
    "NULL in one of many rows": bulk({"jti": "a", "us": 1}, {"jti": "b", "us": None}),
    "an integer that is too large in one of many rows": bulk({"jti": "a", "us": 1}, {"jti": "b", "us": 2**70}),
    "a value that one of many rows lacks": bulk({"jti": "a", "us": 1}, {"jti": "b"}),
    "many rows for a statement that takes one": Write("DELETE FROM revoked_tokens", bulk=True),
    "many rows for a table that is not there": Write("INSERT INTO nowhere (a) VALUES (:a)", ({"a": 1},), bulk=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_write_at_fault_is_invalid_rows_and_nothing_of_its_commit_is_stored(
    storage: Storage, fault: Write
) -> None:
    refused = await commit(storage, 1, [reading()], [record("a")], [log_entry(), fault])
    with pytest.raises(InvalidRows):
        await storage.append(refused)
    assert await storage.count() == 0
    assert await storage.recall([record("a").key]) == {}
    assert await logged(storage) == []
    await storage.append(await commit(storage, 2, [reading()], [record("a")], [log_entry()]))
    assert await storage.count() == 1


@pytest.mark.parametrize("batch_id", ["taken", "a\0b", "a\ud800b"])
async def test_an_identity_at_fault_is_invalid_rows_and_nothing_of_its_commit_is_stored(
    storage: Storage, batch_id: str
) -> None:
    await storage.append(await commit(storage, 1, batches=[record("taken")]))
    with pytest.raises(InvalidRows):
        await storage.append(await commit(storage, 2, [reading()], [record("new"), record(batch_id)]))
    assert await storage.count() == 0
    assert await storage.recall([record("new").key]) == {}
    await storage.append(await commit(storage, 3, [reading()], [record("new")]))
    assert await storage.count() == 1


async def test_readings_of_events_that_do_not_exist_are_stored_but_never_shown(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event), reading(2.0, UNKNOWN_EVENT)]))
    now = await snapshot(storage)
    assert await storage.count() == 2
    assert [point.value for point in await storage.latest(now)] == [1.0]
    assert await storage.history(now, UNKNOWN_EVENT.id, limit=10) == []
    assert await shown(storage) == [("Sensor", 1.0)]


async def test_a_cancelled_append_leaves_the_storage_usable(storage: Storage) -> None:
    interrupted = await commit(storage, 1, [reading(1.0)] * 5_000)
    for delay in range(5):
        task = asyncio.create_task(storage.append(interrupted))
        for _ in range(delay):
            await asyncio.sleep(0)
        if task.cancel():  # else it was quicker
            with pytest.raises(asyncio.CancelledError):
                await task
    await storage.append(interrupted)
    await storage.append(await commit(storage, 2, [reading(2.0)]))
    assert await values(storage) == [1.0] * 5_000 + [2.0]
