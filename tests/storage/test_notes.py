"""Notes of experiments, on every storage."""

from __future__ import annotations

import pytest

from tests.storage.rows import DAY, SECOND, T0, new_experiment
from webmacs import experiments
from webmacs.errors import InvalidMessage, NotFound
from webmacs.model import Experiment, Role
from webmacs.storage import accounts, notes, records
from webmacs.storage.base import Storage
from webmacs.storage.notes import Note

NOW = T0 + DAY


async def wrote(storage: Storage, run: Experiment, text: str = "Note", at_us: int | None = None) -> Note:
    return await notes.add_note(storage, run.public_id, text=text, time_us=at_us, now_us=NOW)


async def listed(storage: Storage, run: Experiment) -> list[Note]:
    found, total = await notes.page(storage, run.public_id, limit=100, offset=0)
    assert total == len(found)
    return found


async def test_a_note_comes_back_as_it_was_added(storage: Storage) -> None:
    run = await new_experiment(storage)
    await accounts.add_user(storage, email="a@b", username="anne", password_hash="x", role=Role.OPERATOR, now_us=T0)
    anne, _ = await accounts.user_by_email(storage, "a@b")
    text = "«Ventil» 100% 'klemmt' \\ :a\n☃"
    made = await notes.add_note(storage, run.public_id, text=text, time_us=T0 + SECOND + 7, now_us=NOW, user_id=anne.id)
    assert made == Note(made.public_id, text, T0 + SECOND + 7, anne.id, NOW)
    assert await listed(storage, run) == [made]


async def test_without_a_time_a_note_is_about_now(storage: Storage) -> None:
    assert (await wrote(storage, await new_experiment(storage))).time_us == NOW


async def test_notes_come_by_the_time_they_are_about_in_pages_and_each_with_its_experiment(storage: Storage) -> None:
    run = await new_experiment(storage)
    late, early, also_early = [await wrote(storage, run, at_us=T0 + seconds * SECOND) for seconds in (9, 3, 3)]
    assert await listed(storage, run) == [early, also_early, late]
    assert await notes.page(storage, run.public_id, limit=1, offset=1) == ([also_early], 3)
    assert await notes.page(storage, run.public_id, limit=5, offset=3) == ([], 3)
    await experiments.stop(storage, run.public_id, now_us=NOW)
    other = await new_experiment(storage, "Other")
    assert await listed(storage, other) == []


@pytest.mark.parametrize(
    ("at_us", "why"),
    [
        (T0 - 1, "timestamp: lies before the start of the experiment, 2026-01-01T00:00:00+00:00"),
        (NOW - SECOND + 1, "timestamp: lies after the end of the experiment, 2026-01-01T23:59:59+00:00"),
        (None, "timestamp: lies after the end of the experiment, 2026-01-01T23:59:59+00:00"),
    ],
)
async def test_a_note_is_about_the_time_from_start_to_end(storage: Storage, at_us: int | None, why: str) -> None:
    run = await new_experiment(storage)
    await experiments.stop(storage, run.public_id, now_us=NOW - SECOND)
    first, last = await wrote(storage, run, at_us=T0), await wrote(storage, run, at_us=NOW - SECOND)
    with pytest.raises(InvalidMessage) as refused:
        await wrote(storage, run, at_us=at_us)
    assert str(refused.value) == why
    for note in (first, last):
        with pytest.raises(InvalidMessage):
            await notes.change_note(storage, run.public_id, note.public_id, time_us=at_us or NOW, text="x", now_us=NOW)
    assert await listed(storage, run) == [first, last]


async def test_a_note_is_not_about_what_is_still_to_come(storage: Storage) -> None:
    run = await new_experiment(storage)
    note = await wrote(storage, run)
    for _ in range(2):
        with pytest.raises(InvalidMessage, match="timestamp: lies in the future"):
            await wrote(storage, run, at_us=NOW + 1)
    with pytest.raises(InvalidMessage, match="timestamp: lies in the future"):
        await notes.change_note(storage, run.public_id, note.public_id, time_us=NOW + 1, now_us=NOW)
    assert await listed(storage, run) == [note]


async def test_a_note_is_changed_and_removed(storage: Storage) -> None:
    run = await new_experiment(storage)
    note, other = await wrote(storage, run, at_us=T0 + 2), await wrote(storage, run, at_us=T0 + 3)
    await notes.change_note(storage, run.public_id, note.public_id, text="Better", now_us=NOW)
    await notes.change_note(storage, run.public_id, note.public_id, time_us=T0 + 4, now_us=NOW)
    await notes.change_note(storage, run.public_id, note.public_id, now_us=NOW)
    assert await listed(storage, run) == [other, Note(note.public_id, "Better", T0 + 4, None, NOW)]
    await notes.remove_note(storage, run.public_id, note.public_id)
    assert await listed(storage, run) == [other]


async def test_what_is_not_there_or_of_another_experiment_is_not_found(storage: Storage) -> None:
    run = await new_experiment(storage)
    note = await wrote(storage, run)
    await experiments.stop(storage, run.public_id, now_us=NOW)
    other = await new_experiment(storage, "Other")
    for experiment, public_id, missing in (
        ("nothing", note.public_id, "there is no experiment nothing"),
        (run.public_id, "nothing", "there is no note nothing"),
        (other.public_id, note.public_id, f"there is no note {note.public_id}"),
    ):
        for refused in (
            notes.change_note(storage, experiment, public_id, text="x", now_us=NOW),
            notes.change_note(storage, experiment, public_id, time_us=T0, now_us=NOW),
            notes.change_note(storage, experiment, public_id, now_us=NOW),
            notes.remove_note(storage, experiment, public_id),
        ):
            with pytest.raises(NotFound) as error:
                await refused
            assert str(error.value) == missing
    with pytest.raises(NotFound):
        await notes.page(storage, "nothing", limit=1, offset=0)
    with pytest.raises(NotFound):
        await notes.add_note(storage, "nothing", text="x", now_us=NOW)
    assert await listed(storage, run) == [note]


async def test_notes_outlast_their_author_and_go_with_their_experiment(storage: Storage) -> None:
    run = await new_experiment(storage)
    await accounts.add_user(storage, email="a@b", username="anne", password_hash="x", role=Role.OPERATOR, now_us=T0)
    anne, _ = await accounts.user_by_email(storage, "a@b")
    note = await notes.add_note(storage, run.public_id, text="x", now_us=NOW, user_id=anne.id)
    assert await accounts.remove_user(storage, anne.id)
    assert await listed(storage, run) == [Note(note.public_id, "x", NOW, None, NOW)]
    await records.remove_experiment(storage, run.public_id)
    assert await storage.fetch("SELECT count(*) FROM notes") == [(0,)]
