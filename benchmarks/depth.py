"""What a long past costs: those who send, those who look back, and the disk."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Final

from benchmarks import history, past
from benchmarks.book import Goal
from benchmarks.cases import SIZES, Case, measure
from benchmarks.equipment import equipped
from benchmarks.installed import empty_store
from benchmarks.limits import Store
from benchmarks.run import Run
from benchmarks.server import EVENTS, Server
from tests.plant import Plant
from webmacs.storage.base import Storage

DEPTH: Final = "A long past"
BESIDE: Final = "Acknowledged meanwhile"
DISK: Final = "Disk"

CONSTANT: Final = Goal("ratio", 0.9)
NOT_WORSE: Final = Goal("ratio", 1.25, least=False)
SHORT_S, LONG_S = 1.0, 8.0  # a measurement of acknowledgements


def depth(run: Run) -> None:
    """Each storage with so many readings of ten days, beside the one that is empty."""
    empty = {store.name: (store, server) for store, server in run.tested}
    for name in run.storages:
        with empty_store(name, run.postgres_url) as (store, directory):

            async def fill(storage: Storage, plant: Plant, store: Store = store) -> None:
                before = store.bytes()
                await past.fill(storage, plant, run.readings, run.say)
                stored = store.bytes() - before
                await past.roll_up(storage)
                _note_bytes(run, store, stored, store.bytes() - before)
                if store.name == "PostgreSQL":
                    past.vacuum(store.url)

            with equipped(store.url, directory, EVENTS, fill) as server:
                _look(run, store, server)
                _meanwhile(run, store, server)
                for repetition in range(run.repeat):
                    _send(run, f"depth-{repetition}", empty[store.name], (store, server))


def _note_bytes(run: Run, store: Store, stored: int, rolled_up: int) -> None:
    plain = store.plain_bytes() / run.readings
    beside = "a plain table with one index", plain
    run.note(DISK, store.name, "all that is stored", "bytes a reading", stored / run.readings, beside=beside)
    case = f"with its minutes rolled up, {run.readings:,} readings of ten days"
    run.note(DISK, store.name, case, "bytes a reading", rolled_up / run.readings, beside=beside)


def _send(run: Run, name: str, empty: tuple[Store, Server], full: tuple[Store, Server]) -> None:
    """In turn: into the empty one, into the full one."""
    case = Case(SIZES[-1])
    empty[0].empty()
    first = measure(case, *empty, run.seconds, name)
    sample = measure(case, *full, run.seconds, name)
    run.note(
        *(DEPTH, full[0].name, f"{case}, {run.readings:,} readings are there", "rows/s", sample.rows_per_s),
        beside=("an empty table", first.rows_per_s),
        goal=CONSTANT,
        more=sample.more(),
    )


def _look(run: Run, store: Store, server: Server) -> None:
    """What pages and charts ask for, one at a time."""
    events = server.events[: past.EVENTS]
    whole = {"event_public_ids": events, "minutes": 14_400}
    questions: dict[str, tuple[str, object]] = {
        "/latest": (f"{history.API}/latest", None),
        "series of ten days, 20 events": (f"{history.API}/series", whole),
        "series of ten days, 1 event": (f"{history.API}/series", {**whole, "event_public_ids": events[:1]}),
        "series of six hours, 20 events": (f"{history.API}/series", {**whole, "minutes": 360, "max_points": 300}),
        "page 1,000": (f"{history.API}?page=1000", None),
    }
    for what, (path, body) in questions.items():
        took = [history.ask(server, path, body) for _ in range(3 if run.quick else 20)]
        more = {"longest_ms": max(took)}
        case = f"{what}, {run.readings:,} readings"
        run.note(history.LOOKING, store.name, case, "ms", statistics.median(took), more=more)


def _meanwhile(run: Run, store: Store, server: Server) -> None:
    """How late acknowledgements are while somebody looks back, beside those while nobody does."""
    events, asked = server.events[: past.EVENTS], server.events[-1]
    whole = {"event_public_ids": events, "minutes": 14_400}
    burnt_s = (
        run.book.figure(history.LOOKING, store.name, f"series of ten days, 20 events, {run.readings:,} readings") or 0
    ) / 1000
    for repetition in range(run.repeat):
        alone = 0.0
        for beside in history.BESIDE[: 2 if run.quick else 3]:
            with ExitStack() as meanwhile:
                if beside == history.ASKED:
                    meanwhile.enter_context(history.asking(server, whole))
                elif beside == history.BURNT:
                    meanwhile.enter_context(history.burning(burnt_s))
                name = f"{repetition}-{history.BESIDE.index(beside)}"
                seconds = SHORT_S if run.quick else LONG_S
                p99 = history.percentile(history.acknowledged(server, asked, events, seconds, name), 99)
            if beside == history.ALONE:
                alone = p99
                run.note(BESIDE, store.name, f"p99, {beside}", "ms", p99)
            else:
                goal = NOT_WORSE if beside == history.ASKED else None
                run.note(BESIDE, store.name, f"p99, {beside}", "ms", p99, beside=("alone", alone), goal=goal)
