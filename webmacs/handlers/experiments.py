"""`/experiments`: intervals of time under a name, and their readings as CSV."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import hdrs, web
from pydantic import BaseModel
from typing_extensions import TypedDict

from webmacs import experiments
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import Conflict, NotFound
from webmacs.export import LATE_US, as_csv, merged
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import (
    Call,
    Done,
    Page,
    PageQuery,
    Text,
    Timestamp,
    changes,
    done,
    timestamp,
    unique,
    unset,
)
from webmacs.model import Experiment, Role
from webmacs.storage import records
from webmacs.storage.base import Storage
from webmacs.webhooks.outbox import Outbox


class ExperimentShape(TypedDict):
    """An experiment; `stopped_on` null: it is running."""

    public_id: str
    name: str
    started_on: Timestamp
    stopped_on: Timestamp | None
    user_public_id: str | None


class NewExperiment(BaseModel):
    """A new experiment, which starts now."""

    name: Text


class ExperimentChange(BaseModel):
    """What changes; the rest stays."""

    name: Text = unset()


class ExperimentRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, outbox: Outbox, clock: Clock) -> None:
        self._storage, self._catalog, self._outbox, self._clock = storage, catalog, outbox, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/experiments", f"{PREFIX}/experiments/{{public_id}}"
        routes.add("GET", every, self.listed)
        routes.add("POST", every, self.start, needs=Role.OPERATOR, status=201, fails=(409,))
        routes.add("GET", one, self.show)
        routes.add("PUT", one, self.change, needs=Role.OPERATOR, fails=(409,))
        routes.add("PUT", f"{one}/stop", self.stop, needs=Role.OPERATOR)
        routes.add("GET", f"{one}/export/csv", self.export, media="text/csv")
        routes.add("DELETE", one, self.remove, needs=Role.OPERATOR)

    async def listed(self, call: Call[None, PageQuery]) -> Page[ExperimentShape]:
        """A page of experiments, the oldest first."""
        return call.query.of(self._catalog.current.experiments, self._shape)

    async def start(self, call: Call[NewExperiment]) -> Done:
        """Start an experiment. One runs at a time."""
        name, user_id = call.body.name, call.identity.user.id
        try:
            await experiments.start(
                self._storage.signed(call.actor), name=name, now_us=self._clock.now_us(), user_id=user_id
            )
        except Conflict:
            raise Conflict(await self._obstacle(name)) from None
        await self._changed()
        return done(f"experiment {name} started")

    async def show(self, call: Call) -> ExperimentShape:
        """One experiment."""
        return self._shape(self._experiment(call.named()))

    async def change(self, call: Call[ExperimentChange]) -> Done:
        """Rename an experiment."""
        with unique(_taken(call.body.name)):
            await records.change_experiment(self._storage.signed(call.actor), call.named(), **changes(call.body))
        await self._catalog.reload()
        return done("experiment changed")

    async def stop(self, call: Call) -> Done:
        """Stop an experiment; the second time changes nothing."""
        user_id = call.identity.user.id
        await experiments.stop(
            self._storage.signed(call.actor), call.named(), now_us=self._clock.now_us(), user_id=user_id
        )
        await self._changed()
        return done("experiment stopped")

    async def remove(self, call: Call) -> Done:
        """Remove an experiment; its readings stay, without it."""
        await records.remove_experiment(self._storage.signed(call.actor), call.named())
        await self._catalog.reload()
        return done("experiment removed")

    async def export(self, call: Call) -> web.StreamResponse:
        """Its readings as CSV, by time; of one that runs, those so far."""
        snapshot, experiment = self._catalog.current, self._experiment(call.named())
        stopped_us = experiment.stopped_us
        until_us = self._clock.now_us() if stopped_us is None else stopped_us + LATE_US
        name = f"experiment_{experiment.name.replace(' ', '_').replace('/', '-')}_{experiment.public_id[:8]}.csv"
        response = web.StreamResponse(headers={hdrs.CONTENT_DISPOSITION: _attachment(name)})
        response.content_type, response.charset = "text/csv", "utf-8"
        runs = merged(self._storage, snapshot, snapshot.events_by_id, from_us=experiment.started_us, until_us=until_us)
        lines = as_csv([point for point in run if point.experiment is experiment] async for run in runs)
        first = await anext(lines)  # an error before anything was sent is still an answer
        await response.prepare(call.request)
        await response.write(first)
        async for some in lines:
            await response.write(some)
        await response.write_eof()
        return response

    async def _changed(self) -> None:
        await self._catalog.reload()
        self._outbox.ring()

    async def _obstacle(self, name: str) -> str:
        """Why an experiment of that name cannot start now."""
        await self._catalog.reload()  # what is in the way may be a moment old
        known = self._catalog.current.experiments
        running = next((experiment.name for experiment in known if experiment.stopped_us is None), None)
        return _taken(name) if running is None else f"experiment {running!r} is running; stop it first"

    def _experiment(self, public_id: str) -> Experiment:
        for experiment in self._catalog.current.experiments:
            if experiment.public_id == public_id:
                return experiment
        raise NotFound(f"there is no experiment {public_id}")

    def _shape(self, experiment: Experiment) -> ExperimentShape:
        user = self._catalog.current.users_by_id.get(experiment.user_id or 0)
        stopped_us = experiment.stopped_us
        return {
            "public_id": experiment.public_id,
            "name": experiment.name,
            "started_on": timestamp(experiment.started_us),
            "stopped_on": None if stopped_us is None else timestamp(stopped_us),
            "user_public_id": user.public_id if user else None,
        }


def _taken(name: str) -> str:
    return f"an experiment called {name!r} exists already"


def _attachment(name: str) -> str:
    """A file's name as a header may say it (RFC 6266); one that ASCII cannot say twice, whole in the second place."""
    plain = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in '"\\' else "_" for letter in name
    )
    whole = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{whole}'
