"""Receivers of webhooks that hang or are dead, and a server that is killed meanwhile.

What becomes of every kind of bad receiver, of pauses and dead letters, is in `tests/webhooks`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.faults.installation import Installation, installed
from tests.faults.pace import p99, paced
from tests.plant import now_us
from tests.promises import LONG, Figure
from tests.webhooks.receivers import Connection, listening, reply
from webmacs.model import Action, Operator
from webmacs.storage.rules import add_rule
from webmacs.storage.webhooks import add_webhook

SECONDS = 20.0 if LONG else 2.0
DEADLINE_S = 120.0
SLOWEST_MS = 5000.0  # a commit on a busy machine, and not the patience for a receiver
SETTINGS = {
    "WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
    "WEBHOOKS__CONCURRENCY": "8",
    "WEBHOOKS__ATTEMPTS": "1000",
    "WEBHOOKS__FIRST_RETRY_S": "0.1",
    "WEBHOOKS__MAX_RETRY_S": "0.5",
    "WEBHOOKS__TIMEOUT_S": "6.0",
    "WEBHOOKS__POLL_INTERVAL_S": "0.2",
}


class Moody:
    """Hangs, until it is told to take what comes."""

    def __init__(self) -> None:
        self.takes = False
        self.asked: set[str] = set()
        self.taken: set[str] = set()

    async def behave(self, connection: Connection) -> None:
        """See `Behaviour`."""
        public_id = connection.receiver.requests[-1].headers["webhook-id"]
        self.asked.add(public_id)
        if not self.takes:
            await connection.until_ended()
        self.taken.add(public_id)
        await connection.send(reply(204))


async def waiting(site: Installation, status: str = "pending") -> int:
    rows = await site.storage.fetch("SELECT count(*) FROM deliveries WHERE status = :status", status=status)
    return int(rows[0][0])


@pytest.mark.promise("F10", "P4")
async def test_readings_go_on_whoever_hangs_and_what_waits_is_delivered_after_a_kill_under_the_same_ids(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    moody = Moody()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        async with listening(moody.behave) as receiver, installed(storage_url, tmp_path, SETTINGS) as site:
            without = await paced(site, SECONDS)
            await add_rule(
                site.storage,
                name="always",
                event=site.plant.linked[0],
                operator=Operator.GTE,
                threshold=float(len(without)),
                action=Action.WEBHOOK,
                cooldown_s=0,
                now_us=now_us(),
            )
            for url in (receiver.url(), f"http://127.0.0.1:{nobody.getsockname()[1]}/"):
                await add_webhook(site.storage, url=url, events=["sensor.threshold_exceeded"], now_us=now_us())
            await asyncio.sleep(1.0)  # another process has changed what is watched
            with_them = await paced(site, SECONDS, first=len(without))
            asked, before = len(moody.asked), await waiting(site)
            await site.server.end(signal.SIGKILL)
            hung = set(moody.asked)
            moody.takes = True
            began = time.monotonic()
            await site.server.start()
            async with asyncio.timeout(DEADLINE_S):
                while await waiting(site, "delivered") < len(with_them):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            resumed_s = time.monotonic() - began
            await site.server.until_it_listens()
            rows = await site.storage.fetch("SELECT public_id, status FROM deliveries")
    figure(
        f"{site.storage.scheme}: p99 of {len(without):,} acknowledgements {p99(without)}, with a receiver that hangs"
        f" and one that is dead {p99(with_them)}; {before:,} deliveries waited, {asked} of them hung, when it was"
        f" killed; all of the first receiver's delivered {resumed_s:.1f} s after the restart began, under the same ids"
    )
    delivered = {public_id for public_id, status in rows if status == "delivered"}
    assert max(with_them) < SLOWEST_MS
    assert len(rows) == before == 2 * len(with_them)
    assert hung
    assert hung <= delivered == moody.taken
    assert {status for public_id, status in rows if public_id not in delivered} == {"pending"}
