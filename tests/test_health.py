"""Whether the server stores readings, and the word that goes out when that changes: in virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from tests.virtual_time import LoopClock, settle, virtual_time
from webmacs import health as module
from webmacs.catalog import Catalog, Snapshot
from webmacs.errors import Conflict, InvalidRows, StorageUnavailable
from webmacs.health import HOLDS, REMEMBERED, Health
from webmacs.model import Webhook, Write
from webmacs.pipeline.runner import Pipeline
from webmacs.storage.base import Storage
from webmacs.tasks import end
from webmacs.testing import START_US
from webmacs.webhooks.outbox import Outbox

HEALTH = "system.health_changed"
READING = "sensor.reading"
SECOND = 1_000_000


class PretendedPipeline:
    """Is healthy or not, as told."""

    healthy = True


class PretendedStorage:
    """Keeps what is written; away, silent or odd, as told."""

    def __init__(self) -> None:
        self.away = False
        self.silent = False
        self.pings: list[BaseException] = []
        """Raised by the next pings, one each."""
        self.refuses: list[Exception] = []
        """Raised by the next writes, one each."""
        self.rows: list[dict[str, Any]] = []
        self.tried: list[str] = []

    async def ping(self) -> None:
        if self.pings:
            raise self.pings.pop(0)
        if self.silent:
            await asyncio.sleep(3600)
        if self.away:
            raise StorageUnavailable("away, as told by the test")

    async def write(self, *writes: Write) -> int:
        (write,) = writes
        self.tried += [str(row["public_id"]) for row in write.rows]
        if self.refuses:
            raise self.refuses.pop(0)
        if self.away:
            raise StorageUnavailable("away, as told by the test")
        self.rows += [dict(row) for row in write.rows]
        return len(write.rows)

    @property
    def told(self) -> list[tuple[str, str, float]]:
        """What went out, with the second in which it began."""
        payloads = [json.loads(row["payload"]) for row in self.rows]
        return [(payload["was"], payload["status"], _second(payload["time"])) for payload in payloads]


def _second(text: str) -> float:
    minutes, _, seconds = text.partition("T")[2].partition("+")[0].partition(":")[2].partition(":")
    return 60 * int(minutes) + float(seconds)


def webhook(number: int, *events: str, enabled: bool = True) -> Webhook:
    return Webhook(number, f"webhook-{number}", f"https://{number}.example", events, enabled, None, START_US)


class Clinic:
    """A server's health, looked after."""

    def __init__(self, *webhooks: Webhook) -> None:
        self.storage, self.pipeline = PretendedStorage(), PretendedPipeline()
        self.snapshot = Snapshot(webhooks=webhooks)
        self.unreadable = False
        self.catalog = Catalog(self._fetch)
        self.outbox = Outbox()
        self.rung = 0
        self.outbox.ring = self._ring  # type: ignore[method-assign]
        storage, pipeline = cast("Storage", self.storage), cast("Pipeline", self.pipeline)
        self.health = Health(storage, pipeline, self.catalog, self.outbox, LoopClock())

    async def looks(self, number: int) -> None:
        """Let it look so many times."""
        await asyncio.sleep(number * module.INTERVAL_S)

    async def _fetch(self) -> Snapshot:
        if self.unreadable:
            raise StorageUnavailable("as told")
        return self.snapshot

    def _ring(self) -> None:
        self.rung += 1


@asynccontextmanager
async def looked_after(*webhooks: Webhook) -> AsyncIterator[Clinic]:
    """A server's health, looked after at each full second; the test acts half a second later."""
    clinic = Clinic(*(webhooks or [webhook(1, HEALTH)]))
    await clinic.catalog.reload()
    following = asyncio.create_task(clinic.health.follow())
    await asyncio.sleep(0.5)
    try:
        yield clinic
    finally:
        await end(following)


# -- what the report says --------------------------------------------------------------------------------------------


@virtual_time
async def test_a_server_that_stores_readings_is_well() -> None:
    async with looked_after() as clinic:
        found = await clinic.health.report()
    assert (found.status, found.reachable, found.uptime_s) == ("ok", True, 0.5)


@virtual_time
async def test_without_a_storage_it_is_not() -> None:
    async with looked_after() as clinic:
        clinic.storage.away = True
        found = await clinic.health.report()
    assert (found.status, found.reachable) == ("degraded", False)


@virtual_time
async def test_a_storage_that_says_nothing_is_not_waited_for() -> None:
    async with looked_after() as clinic:
        clinic.storage.silent = True
        began = asyncio.get_running_loop().time()
        found = await clinic.health.report()
        assert asyncio.get_running_loop().time() - began == module.PING_TIMEOUT_S
    assert (found.status, found.reachable) == ("degraded", False)


@virtual_time
async def test_nor_is_one_whose_readings_wait_though_the_storage_answers() -> None:
    async with looked_after() as clinic:
        clinic.pipeline.healthy = False
        found = await clinic.health.report()
    assert (found.status, found.reachable) == ("degraded", True)


@virtual_time
async def test_nor_is_one_that_does_not_know_its_configuration() -> None:
    async with looked_after() as clinic:
        clinic.unreadable = True
        with pytest.raises(StorageUnavailable):
            await clinic.catalog.reload()
        assert (await clinic.health.report()).status == "degraded"


# -- what goes out ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_webhooks_are_told_when_it_changes_and_when_it_is_over() -> None:
    async with looked_after() as clinic:
        await clinic.looks(9)
        clinic.pipeline.healthy = False  # seen at 10
        await clinic.looks(HOLDS)
        assert clinic.storage.told == [("ok", "degraded", 10.0)]
        assert clinic.rung == 1
        await clinic.looks(20)
        clinic.pipeline.healthy = True
        await clinic.looks(HOLDS)
        assert clinic.storage.told == [("ok", "degraded", 10.0), ("degraded", "ok", 33.0)]
        assert clinic.rung == 2


@virtual_time
async def test_the_payload_is_as_the_contract_has_it() -> None:
    async with looked_after(webhook(1, HEALTH), webhook(2, "system_health_changed")) as clinic:
        clinic.pipeline.healthy = False
        await clinic.looks(HOLDS)
    first, second = clinic.storage.rows
    assert first["payload"] == (
        '{"type":"system.health_changed","time":"2026-01-01T00:00:01.000000+00:00","status":"degraded","was":"ok"}'
    )
    assert (first["webhook_id"], first["event_type"], first["created_us"]) == (1, HEALTH, START_US + HOLDS * SECOND)
    assert (second["webhook_id"], second["event_type"]) == (2, "system_health_changed")
    assert json.loads(second["payload"])["type"] == "system_health_changed"


@virtual_time
async def test_nobody_is_told_who_does_not_want_to_hear() -> None:
    async with looked_after(webhook(1, READING), webhook(2, HEALTH, enabled=False)) as clinic:
        clinic.pipeline.healthy = False
        await clinic.looks(10)
        assert clinic.storage.tried == []
        assert clinic.rung == 0


@virtual_time
async def test_what_does_not_last_is_no_change() -> None:
    async with looked_after() as clinic:
        for _ in range(20):
            clinic.pipeline.healthy = False
            await clinic.looks(HOLDS - 1)
            clinic.pipeline.healthy = True
            await clinic.looks(1)
        assert clinic.storage.told == []


@virtual_time
async def test_a_moment_of_health_does_not_end_a_bad_time() -> None:
    async with looked_after() as clinic:
        clinic.pipeline.healthy = False
        await clinic.looks(HOLDS)
        for _ in range(10):
            clinic.pipeline.healthy = True
            await clinic.looks(HOLDS - 1)
            clinic.pipeline.healthy = False
            await clinic.looks(1)
        assert [status for _, status, _ in clinic.storage.told] == ["degraded"]


@virtual_time
async def test_a_time_without_storage_is_told_when_it_is_back_in_order_and_with_its_times() -> None:
    async with looked_after() as clinic:
        clinic.storage.away = True  # seen at 1
        await clinic.looks(60)
        assert clinic.storage.told == []
        clinic.storage.away = False  # seen at 61
        await clinic.looks(HOLDS)
        assert clinic.storage.told == [("ok", "degraded", 1.0), ("degraded", "ok", 61.0)]


@virtual_time
async def test_what_waits_to_be_told_is_bounded_and_the_newest_is_kept() -> None:
    async with looked_after() as clinic:
        clinic.storage.refuses = [StorageUnavailable("as told")] * 100_000
        for _ in range(REMEMBERED):
            clinic.pipeline.healthy = False
            await clinic.looks(HOLDS)
            clinic.pipeline.healthy = True
            await clinic.looks(HOLDS)
        clinic.storage.refuses = []
        await clinic.looks(1)
        told = clinic.storage.told
        assert len(told) == REMEMBERED
        assert [status for _, status, _ in told] == ["degraded", "ok"] * (REMEMBERED // 2)
        assert told[-1][1] == "ok"


def test_an_attempt_whose_answer_was_lost_is_repeated_under_the_same_id(caplog: pytest.LogCaptureFixture) -> None:
    """Then the storage has it already, and says so."""

    @virtual_time
    async def lost() -> None:
        async with looked_after() as clinic:
            clinic.pipeline.healthy = False
            clinic.storage.refuses = [StorageUnavailable("the answer was lost"), Conflict("it is there already")]
            await clinic.looks(HOLDS + 1)
            assert clinic.storage.tried[0] == clinic.storage.tried[1]
            await clinic.looks(10)
            assert len(clinic.storage.tried) == 2
            assert clinic.rung == 1

    lost()
    assert "cannot be told" not in caplog.text


def test_what_a_storage_refuses_does_not_hold_up_what_comes_after_it(caplog: pytest.LogCaptureFixture) -> None:
    @virtual_time
    async def refused() -> None:
        async with looked_after() as clinic:
            clinic.pipeline.healthy = False
            clinic.storage.refuses = [InvalidRows("as told")]
            await clinic.looks(HOLDS)
            clinic.pipeline.healthy = True
            await clinic.looks(HOLDS)
            assert [status for _, status, _ in clinic.storage.told] == ["ok"]

    refused()
    assert "a change of health cannot be told" in caplog.text


def test_a_bug_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    @virtual_time
    async def bug() -> None:
        async with looked_after() as clinic:
            clinic.storage.pings = [ZeroDivisionError("a bug")]
            await clinic.looks(1)
            clinic.pipeline.healthy = False
            await clinic.looks(HOLDS)
            assert [status for _, status, _ in clinic.storage.told] == ["degraded"]

    bug()
    assert "it goes on" in caplog.text


def test_it_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "webmacs.health")

    @virtual_time
    async def ill_and_well() -> None:
        async with looked_after() as clinic:
            clinic.pipeline.healthy = False
            await clinic.looks(HOLDS)
            clinic.pipeline.healthy = True
            await clinic.looks(HOLDS)
            await settle()

    ill_and_well()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "health: degraded, was ok"),
        ("INFO", "health: ok, was degraded"),
    ]
