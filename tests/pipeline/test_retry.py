"""How the storage is asked again while it is away."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.virtual_time import virtual_time
from webmacs.errors import InvalidRows, StorageUnavailable
from webmacs.metrics import Metrics
from webmacs.pipeline.retry import Retry

MAX_DELAY_S = 2.0


class Request:
    """Finds the storage away so many times, then has a result."""

    def __init__(self, *, away: int, end: Exception | None = None) -> None:
        self.away, self.end = away, end
        self.asked_at: list[float] = []

    async def __call__(self) -> str:
        self.asked_at.append(asyncio.get_running_loop().time())
        if len(self.asked_at) <= self.away:
            raise StorageUnavailable("away")
        if self.end is not None:
            raise self.end
        return "done"

    @property
    def delays(self) -> list[float]:
        return [after - before for before, after in zip(self.asked_at, self.asked_at[1:], strict=False)]


def new_retry() -> Retry:
    return Retry(MAX_DELAY_S, Metrics())


@virtual_time
async def test_a_storage_that_is_there_is_asked_once() -> None:
    request, retry = Request(away=0), new_retry()
    assert (await retry.until_available(request), len(request.asked_at), retry.available) == ("done", 1, True)


@virtual_time
async def test_it_is_asked_until_it_is_there() -> None:
    request = Request(away=200)
    assert await new_retry().until_available(request) == "done"
    assert len(request.asked_at) == 201


@virtual_time
async def test_the_delays_grow_to_their_bound_and_differ_by_chance() -> None:
    request = Request(away=40)
    await new_retry().until_available(request)
    for number, delay in enumerate(request.delays):
        most = min(0.05 * 2**number, MAX_DELAY_S)
        assert most / 2 <= delay <= most + 1e-6
    assert len({round(delay, 6) for delay in request.delays[10:]}) > 1


@virtual_time
async def test_each_outage_begins_with_short_delays() -> None:
    retry = new_retry()
    await retry.until_available(Request(away=20))
    second = Request(away=1)
    await retry.until_available(second)
    assert second.delays[0] <= 0.05 + 1e-6


@virtual_time
async def test_other_errors_are_not_tried_again() -> None:
    request = Request(away=2, end=InvalidRows("bad"))
    with pytest.raises(InvalidRows):
        await new_retry().until_available(request)
    assert len(request.asked_at) == 3


@virtual_time
async def test_availability_is_what_the_last_attempt_found() -> None:
    retry, seen = new_retry(), list[bool]()

    async def request() -> None:
        seen.append(retry.available)
        if len(seen) < 3:
            raise StorageUnavailable("away")

    await retry.until_available(request)
    assert [*seen, retry.available] == [True, False, False, True]


@virtual_time
async def test_waiting_can_be_cancelled() -> None:
    waiting = asyncio.create_task(new_retry().until_available(Request(away=1_000_000)))
    await asyncio.sleep(100.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@virtual_time
async def test_an_outage_is_said_once_at_its_beginning_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "webmacs")
    metrics = Metrics()

    await Retry(MAX_DELAY_S, metrics).until_available(Request(away=5))
    assert [record.getMessage() for record in caplog.records] == [
        "storage unavailable, readings wait: away",
        "the storage is back",
    ]
    assert metrics.counter("storage_retries", "").value == 5
