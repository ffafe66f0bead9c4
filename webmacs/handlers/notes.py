"""`/experiments/{id}/notes`: what people write down at moments of an experiment."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.moments import Moment
from webmacs.handlers.resource import Call, Done, Page, PageQuery, Timestamp, changes, done, timestamp, unset
from webmacs.model import Role
from webmacs.storage import notes
from webmacs.storage.base import Storage
from webmacs.storage.notes import Note

MAX_LENGTH: Final = 2_000

NoteText = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH, pattern=r"^[^\x00]*$")]


class NoteShape(TypedDict):
    """A note; `timestamp` is the moment it is about, `user_public_id` null: whoever wrote it is gone."""

    public_id: str
    experiment_public_id: str
    text: str
    timestamp: Timestamp
    created_on: Timestamp
    user_public_id: str | None


class NewNote(BaseModel):
    """A new note, about a moment of the experiment; without one, about this one."""

    text: NoteText
    timestamp: Moment | None = None


class NoteChange(BaseModel):
    """What changes; the rest stays."""

    text: NoteText = unset()
    timestamp: Moment = unset()


class NoteRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every = f"{PREFIX}/experiments/{{public_id}}/notes"
        one = f"{every}/{{note_id}}"
        routes.add("GET", every, self.listed)
        routes.add("POST", every, self.add, needs=Role.OPERATOR, status=201)
        routes.add("PUT", one, self.change, needs=Role.OPERATOR)
        routes.add("DELETE", one, self.remove, needs=Role.OPERATOR)

    async def listed(self, call: Call[None, PageQuery]) -> Page[NoteShape]:
        """A page of an experiment's notes, by the time they are about."""
        query, experiment = call.query, call.named()
        found, total = await notes.page(self._storage, experiment, limit=query.page_size, offset=query.offset)
        return query.holding([self._shape(note, experiment) for note in found], total)

    async def add(self, call: Call[NewNote]) -> NoteShape:
        """Add a note; the answer is what is shown of it. The experiment ran at that moment, or runs."""
        experiment = call.named()
        note = await notes.add_note(
            self._storage.signed(call.actor),
            experiment,
            text=call.body.text,
            time_us=call.body.timestamp,
            now_us=self._clock.now_us(),
            user_id=call.identity.user.id,
        )
        return self._shape(note, experiment)

    async def change(self, call: Call[NoteChange]) -> Done:
        """Change what a note says, or which moment it is about."""
        changed = changes(call.body)
        if "timestamp" in changed:
            changed["time_us"] = changed.pop("timestamp")
        await notes.change_note(
            self._storage.signed(call.actor),
            call.named(),
            call.named("note_id"),
            now_us=self._clock.now_us(),
            **changed,
        )
        return done("note changed")

    async def remove(self, call: Call) -> Done:
        """Remove a note."""
        await notes.remove_note(self._storage.signed(call.actor), call.named(), call.named("note_id"))
        return done("note removed")

    def _shape(self, note: Note, experiment: str) -> NoteShape:
        user = self._catalog.current.users_by_id.get(note.user_id or 0)
        return {
            "public_id": note.public_id,
            "experiment_public_id": experiment,
            "text": note.text,
            "timestamp": timestamp(note.time_us),
            "created_on": timestamp(note.created_us),
            "user_public_id": user.public_id if user else None,
        }
