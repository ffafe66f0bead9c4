"""COMMIT fails, or its answer is lost: what is told to senders, browsers and receivers of webhooks, and when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.faults.audience import ALARM, READING, SETTINGS, Audience, audience
from tests.faults.installation import Installation, installed
from tests.faults.ledger import stored_values
from tests.faults.process import DEADLINE_S
from tests.promises import LONG, Figure
from tests.proxy import Proxy, proxy_to
from tests.wire import TELEMETRY
from webmacs.model import Role, Write
from webmacs.pipeline.runner import REFUSED
from webmacs.tasks import end

TIMES = 20 if LONG else 3
RETRIES = 3

# What fails at COMMIT and not before: a trigger that PostgreSQL puts off until then, a reference that SQLite puts off.
FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'as told by the test' USING ERRCODE = '{code}';
END
$$
"""
FAIL_LATE = """
CREATE CONSTRAINT TRIGGER failing AFTER INSERT OR UPDATE ON commits DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION fail()
"""
FAILING_SQLITE = (
    "CREATE TABLE void (id INTEGER PRIMARY KEY)",
    "CREATE TABLE owed (id INTEGER REFERENCES void DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TRIGGER failing AFTER INSERT ON datapoints BEGIN INSERT INTO owed VALUES (1); END",
)
MENDED = {"postgresql": "DROP TRIGGER failing ON commits", "sqlite": "DROP TRIGGER failing"}
AT_FAULT, FULL = "23514", "53100"  # a check that was violated; no room on the disk


def failing(kind: str, code: str) -> list[Write]:
    """What makes every commit of readings fail at its end, on PostgreSQL with this SQLSTATE."""
    statements = FAILING_SQLITE if kind == "sqlite" else (FAIL.format(code=code), FAIL_LATE)
    return [Write(statement) for statement in statements]


@dataclass
class Controller:
    """Sends readings one by one, and keeps what it is told."""

    link: aiohttp.ClientWebSocketResponse
    event: str
    answers: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, value: float) -> None:
        item = {"value": value, "event_public_id": self.event}
        await self.link.send_json({"datapoints": [item], "batch_id": f"batch {value}"})

    async def listen(self) -> None:
        async for message in self.link:
            self.answers.append(json.loads(message.data))

    async def answered(self, count: int) -> dict[str, Any]:
        """The answer of that number."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.answers) < count:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.005)
        return self.answers[count - 1]


@asynccontextmanager
async def controller(site: Installation) -> AsyncIterator[Controller]:
    token = site.plant.tokens[Role.OPERATOR]
    async with site.client.ws_connect(f"{site.server.address}{TELEMETRY}", params={"token": token}) as link:
        made = Controller(link, site.plant.linked[0])
        listening = asyncio.create_task(made.listen())
        try:
            yield made
        finally:
            await end(listening)


async def nobody_knows(site: Installation, everyone: Audience) -> None:
    """Neither the table nor anybody outside."""
    assert await stored_values(site.storage) == {}
    assert await site.storage.fetch("SELECT payload FROM deliveries") == []
    assert await site.get("/api/v1/datapoints/latest") == []
    assert everyone.browsers == [[], []]
    assert everyone.receiver.requests == []


async def all_know_once(site: Installation, everyone: Audience, values: list[float]) -> None:
    """The table, each browser and the receiver; each delivery under one id of its own."""
    await everyone.until_heard(values[-1])
    assert await stored_values(site.storage) == dict.fromkeys(values, 1)
    assert everyone.browsers == [values, values]
    rows = await site.storage.fetch("SELECT public_id, payload FROM deliveries")
    wanted = {(public_id, json.loads(payload)["type"], json.loads(payload)["value"]) for public_id, payload in rows}
    heard = {(public_id, kind, value) for kind in (ALARM, READING) for public_id, value in everyone.called(kind)}
    assert heard == wanted
    assert sorted(value for _, kind, value in heard if kind == ALARM) == values
    assert len(rows) == len({public_id for public_id, _ in rows}) == 2 * len(values)


@asynccontextmanager
async def behind_proxy(url: str, directory: Path) -> AsyncIterator[tuple[Proxy, Installation]]:
    parts = urlsplit(url)
    async with proxy_to(parts.port or 0) as proxy:
        through = f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}"
        async with installed(through, directory, SETTINGS, direct=url) as site:
            yield proxy, site


@pytest.mark.promise("F13")
async def test_a_commit_whose_answer_is_lost_is_stored_and_told_once(
    postgres_url: str, tmp_path: Path, figure: Figure
) -> None:
    values = [float(number) for number in range(TIMES)]
    async with (
        behind_proxy(postgres_url, tmp_path) as (proxy, site),
        audience(site) as everyone,
        controller(site) as sender,
    ):
        for count, value in enumerate(values, 1):
            lost = proxy.lose_answer_to(b"webmacs_claim")
            await sender.send(value)
            answer = await sender.answered(count)
            assert lost.met.is_set()
            assert (answer["type"], answer["accepted"], "duplicate" in answer) == ("ack", 1, False)
        await all_know_once(site, everyone, values)
        assert [answer["batch_id"] for answer in sender.answers] == [f"batch {value}" for value in values]
    figure(
        f"postgresql: {TIMES} answers to COMMIT lost; stored twice 0, acknowledged twice 0, one alarm for each reading,"
        " each under one id"
    )


@pytest.mark.promise("F14", "P3")
async def test_of_what_fails_at_commit_nobody_hears_but_its_sender(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    kind = urlsplit(storage_url).scheme
    async with (
        installed(storage_url, tmp_path, SETTINGS) as site,
        audience(site) as everyone,
        controller(site) as sender,
    ):
        await site.storage.write(*failing(kind, AT_FAULT))
        for count in range(1, TIMES + 1):
            await sender.send(-float(count))
            answer = await sender.answered(count)
            assert (answer["type"], answer["message"], answer["retry"]) == ("error", REFUSED, False)
        await nobody_knows(site, everyone)
        await site.storage.write(Write(MENDED[kind]))
        await sender.send(1.0)
        assert (await sender.answered(TIMES + 1))["type"] == "ack"
        await all_know_once(site, everyone, [1.0])  # whoever had heard of others had heard of them before
        assert await site.counted("readings_refused_total") == TIMES
    figure(f"{kind}: {TIMES} commits failed at COMMIT; 0 readings in the stream, 0 webhooks, 0 acknowledgements")


@pytest.mark.promise("F14")
async def test_a_commit_that_the_database_cannot_do_now_is_told_when_it_is_done(
    postgres_url: str, tmp_path: Path, figure: Figure
) -> None:
    async with (
        behind_proxy(postgres_url, tmp_path) as (proxy, site),
        audience(site) as everyone,
        controller(site) as sender,
    ):
        await site.storage.write(*failing("postgresql", FULL))
        await sender.send(1.0)
        async with asyncio.timeout(DEADLINE_S):
            while await site.counted("storage_retries_total") < RETRIES:  # noqa: ASYNC110 - asking is the point
                await asyncio.sleep(0.01)
        await nobody_knows(site, everyone)
        assert sender.answers == []
        # Now the connection is cut as the commit is sent, and no other one gets through.
        cut = proxy.cut_behind(b"webmacs_claim")
        async with asyncio.timeout(DEADLINE_S):
            await cut.met.wait()
        proxy.stall()
        await site.storage.write(Write(MENDED["postgresql"]))
        await site.until_health("degraded")
        await nobody_knows(site, everyone)
        assert sender.answers == []
        proxy.resume()
        assert (await sender.answered(1))["type"] == "ack"
        await all_know_once(site, everyone, [1.0])
    figure(
        f"postgresql: {RETRIES} attempts that failed at COMMIT for lack of room and one cut there: nobody told;"
        " then stored and told once"
    )
