"""The mix of `make soak` for some seconds: whoever has come and gone has left nothing behind, nothing is missing."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks.field import Field, Harvest, harvest
from benchmarks.findings import Balance, balance
from benchmarks.visitors import Seen, Visitors, visit
from tests.plant import PASSWORD, Plant, Server, furnish, now_us, running_server, settings_for
from tests.promises import LONG, Figure
from tests.test_metrics import samples
from tests.webhooks.receivers import listening, reply, saying
from webmacs.extensions import load_storage
from webmacs.model import Action, Operator, Role
from webmacs.storage.base import Storage
from webmacs.storage.rules import add_rule
from webmacs.storage.webhooks import add_webhook

EVENTS = 20
BROWSERS = 50
CONTROLLERS = 8
RATE = 3_000.0
WARM_UP_S = 2.0  # pools are filled, caches are made
SECONDS = 60.0 if LONG else 4.0
LIFE_S = 2.0  # of a controller's connection, at most
DEADLINE_S = 60.0
QUEUES = ("webmacs_queue_rows", "webmacs_controller_connections", "webmacs_frontend_connections")
VALUES = "SELECT value, count(*) FROM datapoints GROUP BY value"


@dataclass(frozen=True)
class Rest:
    """What there is when nobody is there."""

    descriptors: int
    tasks: Counter[str]
    queues: dict[str, float]

    def nothing_beside(self, before: Rest) -> bool:
        return self.descriptors <= before.descriptors and self.tasks <= before.tasks and not any(self.queues.values())


def rest(server: Server) -> Rest:
    found = samples(server.parts.metrics)
    return Rest(
        psutil.Process().num_fds(),
        Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks()),
        {name: found[name, ()] for name in QUEUES},
    )


async def at_rest(server: Server, before: Rest | None = None) -> Rest:
    """When everybody has left: as soon as nothing is left of them, or when it is clear that something stays."""
    until = asyncio.get_running_loop().time() + DEADLINE_S
    while True:
        await asyncio.sleep(0.2)
        now = rest(server)
        if asyncio.get_running_loop().time() > until:
            return now
        if not any(now.queues.values()) and (before is None or now.nothing_beside(before)):
            return now


async def everybody(server: Server, seconds: float, first: int) -> tuple[Harvest, Seen]:
    """All come, do what they do for so long, and leave."""
    plant, leave = server.plant, asyncio.Event()
    controllers = Field(server.address, plant.tokens[Role.OPERATOR], plant.linked, plant.unlinked, RATE, seconds, first)
    visitors = Visitors(
        *(server.address, plant.tokens[Role.VIEWER], plant.emails[Role.ADMIN], PASSWORD, plant.linked, BROWSERS)
    )
    visiting = asyncio.create_task(visit(visitors, leave))
    try:
        reaped = await harvest(controllers)
    finally:
        leave.set()
        seen = await visiting
    return reaped, seen


async def furnished(url: str, directory: Path, receivers: list[str]) -> tuple[Storage, Plant]:
    """A storage with rules that every reading meets, and receivers that want to hear of all."""
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    plant = await furnish(storage, events=EVENTS)
    for event in plant.linked[:5]:
        await add_rule(
            storage,
            name=event,
            event=event,
            operator=Operator.GTE,
            threshold=-1.0,
            action=Action.WEBHOOK,
            cooldown_s=1,
            now_us=now_us(),
        )
    for receiver in receivers:
        await add_webhook(storage, url=receiver, events=["sensor.threshold_exceeded"], now_us=now_us())
    return storage, plant


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.promise("P8")
async def test_whoever_has_come_and_gone_has_left_nothing_behind(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    settings = settings_for(storage_url, tmp_path, webhooks={"allowed_networks": ["127.0.0.0/8"]})
    async with listening(saying(reply(204))) as receiver:
        receivers = [f"http://127.0.0.1:{port}/" for port in (receiver.port, dead_port())]
        storage, plant = await furnished(storage_url, tmp_path, receivers)
        try:
            async with running_server(settings, plant) as server:
                first, _ = await everybody(server, WARM_UP_S, 0)
                before = await at_rest(server)
                second, seen = await everybody(server, SECONDS, len(first.readings))
                after = await at_rest(server, before)
                await receiver.until(lambda: bool(receiver.requests))
            stored = {int(value): int(count) for value, count in await storage.fetch(VALUES)}
        finally:
            await storage.close()
    found = balance((first, second), stored)
    assert found == Balance(found.acknowledged, lost=0, twice=0, unknown=0)
    assert seen.complaints == []
    assert after.queues == dict.fromkeys(QUEUES, 0)
    assert after.tasks - before.tasks == Counter()
    assert after.descriptors <= before.descriptors
    assert second.rows
    assert second.connections > CONTROLLERS
    figure(
        f"{storage_url.partition(':')[0]}: {second.connections} connections of controllers and "
        f"{seen.counts['came and went'] + seen.counts['in crowds']} of browsers came and went: descriptors "
        f"{before.descriptors} → {after.descriptors}; {found.acknowledged:,} readings acknowledged, lost 0, stored "
        "twice 0"
    )


def test_the_ledger_sees_what_is_missing_and_what_is_there_twice() -> None:
    sent = Harvest(10, [5, 0, 3], 1.0, 1, 0, 0, 1.0, 1.0, 1.0, 0.1)
    assert balance([sent], {10: 5, 12: 3}) == Balance(8, lost=0, twice=0, unknown=0)
    assert balance([sent], {10: 4, 12: 4, 99: 2}) == Balance(8, lost=1, twice=1, unknown=2)
    assert balance([sent], {12: 3, 11: 1}) == Balance(8, lost=5, twice=1, unknown=0)
