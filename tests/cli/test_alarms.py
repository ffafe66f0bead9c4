"""Rules and webhooks that commands change while a server runs: it is a process of its own, its receivers are real."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.cli.conftest import Configure, until
from tests.cli.hooks import ALARM, DEADLINE_S, receiving
from tests.cli.process import Command, started
from tests.cli.runner import beside, done, said
from tests.plant import Plant, furnish
from webmacs.model import Delivery, DeliveryStatus, Role
from webmacs.storage import deliveries
from webmacs.storage.base import Storage
from webmacs.tasks import end


@dataclass(frozen=True)
class Site:
    """A server, commands beside it, and a controller that sends."""

    server: Command
    config: Path
    address: str
    plant: Plant
    client: aiohttp.ClientSession

    async def webmacs(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints."""
        return await beside(done, *arguments, "--config", self.config, stdin=stdin)

    async def notes(self, *arguments: str) -> str:
        """What a command says beside that."""
        return await beside(said, *arguments, "--config", self.config)

    @asynccontextmanager
    async def sending(self, value: float, event: int = 0) -> AsyncIterator[None]:
        """Readings of an event, one after the other: nobody is told when the server has seen a change."""
        body = {"value": value, "event_public_id": self.plant.linked[event]}
        headers = {"Authorization": f"Bearer {self.plant.tokens[Role.OPERATOR]}"}

        async def send() -> None:
            while True:
                async with self.client.post(f"{self.address}/api/v1/datapoints", json=body, headers=headers) as answer:
                    assert answer.status == 201, await answer.text()
                await asyncio.sleep(0.05)

        task = asyncio.create_task(send())
        try:
            yield
            assert not task.done(), task.result()
        finally:
            await end(task)


@pytest.fixture
async def site(
    storage: Storage, configure: Configure, storage_url: str, port: int, tmp_path: Path
) -> AsyncIterator[Site]:
    """Webhooks may reach loopback, are told of every reading, and have one attempt."""
    plant = await furnish(storage)
    config = configure(
        storage_url,
        *("[stages.webhook]", "interval_s = 0.0"),
        *("[webhooks]", 'allowed_networks = ["127.0.0.0/8"]', "attempts = 1", "poll_interval_s = 0.5"),
        *("[logging]", 'level = "debug"'),
        port=port,
    )
    async with started("serve", "--config", config, cwd=tmp_path) as server, aiohttp.ClientSession() as client:
        await server.says("listens on")
        yield Site(server, config, f"http://127.0.0.1:{port}", plant, client)


async def listed(storage: Storage, status: DeliveryStatus, count: int) -> list[Delivery]:
    """So many deliveries of that status, once there are."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = await deliveries.deliveries(storage, 1, status=status, limit=100)
            if len(found) == count:
                return found
            await asyncio.sleep(0.02)


# -- rules --------------------------------------------------------------------------------------------------------


async def test_a_rule_that_is_added_fires_with_the_next_reading(site: Site, storage: Storage) -> None:
    public_id = (await site.webmacs("rule", "add", "Hot", "--event", "Sensor 0", "--above", "5")).strip()
    async with site.sending(9.5):
        line = await site.server.says("rule 'Hot'")
    assert line.endswith("WARNING webmacs.stages: rule 'Hot': Sensor 0 is 9.5 V, above 5")
    ((owner, kind),) = await storage.fetch(
        "SELECT user_id, logging_type FROM logs WHERE content = 'rule ''Hot'': Sensor 0 is 9.5 V, above 5'"
    )
    assert (kind, owner is None) == ("warning", False)
    (row,) = (await site.webmacs("rule", "list")).splitlines()
    assert row.split("\t")[0] == public_id
    assert row.split("\t")[7] != ""  # when it last fired


@pytest.mark.parametrize("command", ["disable", "remove"])
async def test_a_rule_that_is_switched_off_or_removed_fires_no_more(site: Site, command: str) -> None:
    for name in ("Old", "New"):
        await site.webmacs("rule", "add", name, "--event", "Sensor 0", "--above", "5", "--cooldown", "0")
    async with site.sending(9.5):
        await site.server.says("rule 'Old'")
        await site.webmacs("rule", command, "Old")
        async with asyncio.timeout(DEADLINE_S):
            last = two = ""
            while "rule 'New'" not in last or "rule 'New'" not in two:  # the older one of both is said first
                last, two = two, await site.server.says("rule '")


# -- webhooks -----------------------------------------------------------------------------------------------------


async def test_a_webhook_that_is_added_is_told_of_the_next_reading(site: Site) -> None:
    async with receiving() as receiver:
        out = await site.webmacs("webhook", "add", receiver.url, "--event", "sensor_reading", "--new-secret")
        async with site.sending(1.5):
            await receiver.until(1)
    secret = out.splitlines()[1]
    headers, body = receiver.calls[0]
    message = json.loads(body)
    assert (message["type"], message["sensor"], message["value"]) == ("sensor_reading", site.plant.linked[0], 1.5)
    stamped = headers["x-webhook-timestamp"].encode() + b"." + body
    assert headers["x-webhook-signature"] == hmac.new(secret.encode(), stamped, hashlib.sha256).hexdigest()


async def test_during_a_rotation_both_secrets_are_good(site: Site) -> None:
    async with receiving() as receiver:
        await site.webmacs("webhook", "add", receiver.url, "--event", "sensor.reading", "--new-secret")
        await site.webmacs("webhook", "rotate", "CANARY")
        async with site.sending(1.5):
            await until(lambda: any(len(signatures(call)) == 2 for call in receiver.calls), DEADLINE_S)


def signatures(call: tuple[dict[str, str], bytes]) -> list[str]:
    return call[0].get("webhook-signature", "").split()


async def test_what_was_given_up_is_delivered_again_under_the_same_ids(site: Site, storage: Storage) -> None:
    async with receiving(500, 500, 500) as receiver:
        await site.webmacs("webhook", "add", receiver.url, *ALARM)
        for number in range(3):
            condition = ("--event", f"Sensor {number}", "--above", "5", "--action", "webhook")
            await site.webmacs("rule", "add", f"Rule {number}", *condition)
            async with site.sending(9.5, event=number):
                await receiver.until(number + 1)
        await listed(storage, DeliveryStatus.DEAD_LETTER, 3)
        first, *others = receiver.ids
        await site.webmacs("webhook", "redeliver", first[:8])
        await receiver.until(4)
        assert (receiver.ids[3], receiver.calls[3][1]) == (first, receiver.calls[0][1])
        await listed(storage, DeliveryStatus.DELIVERED, 1)
        assert await site.notes("webhook", "redeliver", "--dead", "CANARY") == "2 deliveries to be attempted again\n"
        await receiver.until(6)
        assert sorted(receiver.ids[4:]) == sorted(others)
        await listed(storage, DeliveryStatus.DELIVERED, 3)


async def test_what_waits_goes_out_when_its_webhook_is_switched_on_again(site: Site, storage: Storage) -> None:
    async with receiving(410) as receiver:  # the receiver wants no more, which switches the webhook off
        await site.webmacs("webhook", "add", receiver.url, *ALARM)
        await site.webmacs("rule", "add", "Hot", "--event", "Sensor 0", "--above", "5", "--action", "webhook")
        async with site.sending(9.5):
            await receiver.until(1)
        await listed(storage, DeliveryStatus.DEAD_LETTER, 1)
        assert (await site.webmacs("webhook", "list")).split("\t")[3] == "off"
        _, note = (await site.notes("webhook", "redeliver", receiver.ids[0])).splitlines()
        assert "switched off" in note
        assert len(receiver.calls) == 1
        assert (await site.notes("webhook", "enable", "CANARY")).endswith("; 1 delivery waiting\n")
        await receiver.until(2)
        assert receiver.ids[0] == receiver.ids[1]


async def test_the_log_of_a_server_has_nothing_secret_in_it(site: Site, storage: Storage) -> None:
    async with receiving(500, 302, 200, 410) as receiver:
        add = ("webhook", "add", receiver.url, "--event", "sensor.reading", "--secret-stdin")
        await site.webmacs(*add, stdin="CANARY-secret\n")
        await site.webmacs("webhook", "rotate", "CANARY", "--secret-stdin", stdin="CANARY-other\n")
        async with site.sending(1.5):
            await receiver.until(4)
        while await storage.fetch("SELECT id FROM webhooks WHERE enabled = 1"):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.02)
    await site.server.stop()
    log = (await site.server.rest()).err
    assert "fails, deliveries are tried again: HTTP 500" in log
    assert "is switched off" in log
    assert "CANARY" not in log
    assert [row for row in await storage.fetch("SELECT content FROM logs") if "CANARY" in row[0]] == []
