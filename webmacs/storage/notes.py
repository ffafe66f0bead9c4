"""What people write down at moments of experiments: the statements, once for every backend."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from webmacs.errors import InvalidMessage, NotFound
from webmacs.model import Experiment, Scalar, Write, to_datetime
from webmacs.storage import records
from webmacs.storage.base import Tables
from webmacs.storage.statements import on_one

_NOTE: Final = "SELECT public_id, text, time_us, user_id, created_us FROM notes WHERE experiment_id = :experiment_id"
_DURING: Final = "x.started_us <= :time_us AND (x.stopped_us IS NULL OR x.stopped_us >= :time_us)"
_OF_EXPERIMENT: Final = (
    " WHERE public_id = :public_id AND experiment_id = (SELECT id FROM experiments WHERE public_id = :experiment)"
)


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote of a moment. `user_id` None: whoever it was is gone."""

    public_id: str
    text: str
    time_us: int
    user_id: int | None
    created_us: int


async def page(storage: Tables, experiment: str, *, limit: int, offset: int) -> tuple[list[Note], int]:
    """Some of the notes of an experiment, by the time they are about, and how many there are. Raises `NotFound`."""
    experiment_id = (await records.experiment(storage, experiment)).id
    rows = await storage.fetch(
        f"{_NOTE} ORDER BY time_us, id LIMIT :limit OFFSET :offset",
        experiment_id=experiment_id,
        limit=limit,
        offset=offset,
    )
    total = await storage.fetch(
        "SELECT count(*) FROM notes WHERE experiment_id = :experiment_id", experiment_id=experiment_id
    )
    return [Note(*row) for row in rows], total[0][0]


async def add_note(
    storage: Tables, experiment: str, *, text: str, now_us: int, time_us: int | None = None, user_id: int | None = None
) -> Note:
    """Add a note about a moment of an experiment, this one unless another is given.

    Raises:
        InvalidMessage: it did not run then, or that is still to come.
        NotFound: there is no such experiment.

    """
    note = Note(str(uuid.uuid4()), text, now_us if time_us is None else time_us, user_id, now_us)
    row: dict[str, Scalar] = {
        "public_id": note.public_id,
        "experiment": experiment,
        "text": text,
        "time_us": note.time_us,
        "now_us": now_us,
        "user_id": user_id,
    }
    added = await storage.write(
        Write(
            "INSERT INTO notes (public_id, experiment_id, text, time_us, user_id, created_us)"
            " SELECT :public_id, x.id, :text, :time_us, :user_id, :now_us FROM experiments AS x"
            f" WHERE x.public_id = :experiment AND {_DURING} AND :time_us <= :now_us",
            (row,),
        )
    )
    if not added:
        raise _outside(await records.experiment(storage, experiment), note.time_us, now_us)
    return note


async def change_note(storage: Tables, experiment: str, public_id: str, *, now_us: int, **changed: Scalar) -> None:
    """Change the `text` or the `time_us` of a note of that experiment. Raises as `add_note`."""
    settings = ", ".join(f"{name} = :{name}" for name in changed) or "public_id = public_id"
    row: dict[str, Scalar] = {**changed, "public_id": public_id, "experiment": experiment, "now_us": now_us}
    during = ""
    if "time_us" in changed:
        during = f" AND EXISTS (SELECT 1 FROM experiments AS x WHERE x.id = experiment_id AND {_DURING})"
        during += " AND :time_us <= :now_us"
    if not await storage.write(Write(f"UPDATE notes SET {settings}{_OF_EXPERIMENT}{during}", (row,))):
        known = await records.experiment(storage, experiment)
        there = await storage.fetch(f"{_NOTE} AND public_id = :public_id", experiment_id=known.id, public_id=public_id)
        if there and "time_us" in changed:
            raise _outside(known, int(changed["time_us"] or 0), now_us)
        raise NotFound(f"there is no note {public_id}")


async def remove_note(storage: Tables, experiment: str, public_id: str) -> None:
    """Remove a note of that experiment. Raises `NotFound` when either is not there."""
    await records.experiment(storage, experiment)
    row = {"public_id": public_id, "experiment": experiment}
    await on_one(storage, "note", public_id, Write(f"DELETE FROM notes{_OF_EXPERIMENT}", (row,)))


def _outside(experiment: Experiment, time_us: int, now_us: int) -> InvalidMessage:
    """Why a note cannot be about that moment."""
    stopped_us = experiment.stopped_us
    if time_us < experiment.started_us:
        wrong = f"lies before the start of the experiment, {to_datetime(experiment.started_us).isoformat()}"
    elif stopped_us is not None and time_us > stopped_us:
        wrong = f"lies after the end of the experiment, {to_datetime(stopped_us).isoformat()}"
    else:
        wrong = f"lies in the future; it is {to_datetime(now_us).isoformat()}"
    return InvalidMessage(f"timestamp: {wrong}")
