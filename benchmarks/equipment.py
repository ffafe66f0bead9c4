"""The server as people have it: every stage has something to do.

Rules on some events, which values meet now and then; a webhook that hears of these alarms, and, where there are not too
many events, of readings; a receiver that takes what it is sent. Experiment and linked events come with the plant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import wire
from benchmarks.server import EVENTS, Prepare, Server, free_port, running
from benchmarks.strangers import WELL, Strangers
from benchmarks.workers import Worker
from tests.plant import Plant, now_us
from webmacs.model import Action, Operator
from webmacs.storage.base import Storage
from webmacs.storage.rules import add_rule
from webmacs.storage.webhooks import add_webhook

RULES: Final = 5
THRESHOLD: Final = 25.0  # every sixth of the values that `benchmarks.wire` makes is above
COOLDOWN_S: Final = 1
TOLD_OF: Final = 100  # events: with more, the webhook hears of alarms alone
LOOPBACK: Final = '[webhooks]\nallowed_networks = ["127.0.0.0/8"]\n'


@contextmanager
def equipped(
    url: str, directory: Path, events: int = EVENTS, prepare: Prepare | None = None, more: str = ""
) -> Iterator[Server]:
    """A server on an empty storage; `prepare` and `more` as in `benchmarks.server.running`."""
    port = free_port()

    async def equip(storage: Storage, plant: Plant) -> None:
        if prepare is not None:
            await prepare(storage, plant)
        for number, event in enumerate(plant.linked[:RULES]):
            await add_rule(
                storage,
                name=f"too much {number}",
                event=event,
                operator=Operator.GT,
                threshold=THRESHOLD,
                action=Action.WEBHOOK,
                cooldown_s=COOLDOWN_S,
                now_us=now_us(),
            )
        heard = ["sensor.threshold_exceeded", *(["sensor.reading"] if len(plant.linked) <= TOLD_OF else [])]
        await add_webhook(storage, url=f"http://{wire.HOST}:{port}/", events=heard, now_us=now_us())

    with (
        Worker("strangers", Strangers({WELL: port})),
        running(url, directory, events, equip, LOOPBACK + more) as server,
    ):
        yield server
