"""Wiring: a storage that is late, what runs beside the requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.plant import Plant, running_server, settings_for
from tests.wire import until
from webmacs import app as wiring
from webmacs.config import Settings
from webmacs.errors import StorageUnavailable
from webmacs.storage.sqlite import SqliteStorage

# -- a storage that is late ------------------------------------------------------------------------------------


class Late(SqliteStorage):
    """Cannot be opened at first."""

    def __init__(self, settings: Settings, failures: int) -> None:
        storage = settings.storage
        super().__init__(storage, storage.url)
        self.failures = failures

    async def open(self, *, serving: bool = False) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("not yet, as told by the test")
        await super().open(serving=serving)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pause of the wiring is short."""
    sleep = asyncio.sleep

    class Hasty:
        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        async def sleep(self, seconds: float) -> None:
            await sleep(min(seconds, 0.01))

    monkeypatch.setattr(wiring, "asyncio", Hasty())


@pytest.mark.usefixtures("impatient")
async def test_the_server_waits_for_a_storage_that_is_still_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, storage={"startup_timeout_s": 5})
    late = Late(settings, failures=3)
    async with (
        running_server(settings, Plant(), storage=late) as server,
        server.client.get(f"{server.address}/health") as response,
    ):
        assert (await response.json())["status"] == "ok"
    assert caplog.text.count("waiting for the storage") == 3


async def test_and_not_for_ever(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, storage={"startup_timeout_s": 0})
    with pytest.raises(StorageUnavailable):
        async with running_server(settings, Plant(), storage=Late(settings, failures=1)):
            pass


# -- beside the requests ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_house_keeping_goes_on_after_whatever_it_meets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[Exception | None] = [StorageUnavailable("away"), ZeroDivisionError("a fault"), None, None]
    met = 0

    async def keep_house(*_: object) -> None:
        nonlocal met
        met += 1
        end = ends[min(met, len(ends)) - 1]
        if end is not None:
            raise end

    monkeypatch.setattr(wiring, "keep_house", keep_house)
    settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path)
    async with running_server(settings, Plant()):
        await until(lambda: met >= len(ends))
    assert "house-keeping has to wait: away" in caplog.text
    assert "a fault" in caplog.text
