"""Wiring: the key that signs tokens, a storage that is late, what runs beside the requests."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.plant import SECRET, Plant, running_server, settings_for
from tests.wire import until
from webmacs import app as wiring
from webmacs.app import build_app, secret_key
from webmacs.config import Settings
from webmacs.errors import ConfigError, StorageUnavailable
from webmacs.storage.sqlite import SqliteStorage

POSTGRES = "postgresql://postgres@127.0.0.1:1/webmacs"


def without_key(url: str, directory: Path, **auth: Any) -> Settings:
    return settings_for(url, directory, auth={"secret_key": None, **auth})


# -- the key ---------------------------------------------------------------------------------------------------


def test_a_key_that_is_given_is_the_key(tmp_path: Path) -> None:
    assert secret_key(settings_for("sqlite:///test.db", tmp_path)) == SECRET
    assert list(tmp_path.iterdir()) == []


def test_an_embedded_database_gets_a_key_of_its_own_beside_it_for_the_owners_eyes_only(tmp_path: Path) -> None:
    made = secret_key(without_key("sqlite:///test.db", tmp_path))
    assert len(made) == 64
    (file,) = tmp_path.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("test.key", 0o600)
    assert secret_key(without_key("sqlite:///test.db", tmp_path)) == made
    assert secret_key(without_key("sqlite:///other.db", tmp_path)) != made


def test_who_only_looks_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*test\.key"):
        secret_key(without_key("sqlite:///test.db", tmp_path), make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_is_beside_the_configuration_and_stripped(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"\n {SECRET} \n", encoding="utf-8")
    assert secret_key(without_key(POSTGRES, tmp_path, secret_key_file="key")) == SECRET


def test_a_database_that_several_servers_may_share_needs_a_key_that_is_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"auth\.secret_key: must be given"):
        secret_key(without_key(POSTGRES, tmp_path))


@pytest.mark.parametrize("text", [b"", b"short", b"x" * 31, b" " * 100, b"x" * 31 + b"\n"])
def test_a_key_of_fewer_than_32_bytes_is_no_start(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "key").write_bytes(text)
    with pytest.raises(ConfigError, match="holds fewer than 32 bytes") as refused:
        build_app(without_key(POSTGRES, tmp_path, secret_key_file="key"))
    assert "xxx" not in str(refused.value)


def test_bytes_are_counted_not_letters(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ü" * 16, encoding="utf-8")
    assert secret_key(without_key(POSTGRES, tmp_path, secret_key_file="key")) == "ü" * 16


@pytest.mark.parametrize("content", [None, b"\xff" * 40])
def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=r"auth\.secret_key_file: cannot read .*key"):
        secret_key(without_key(POSTGRES, tmp_path, secret_key_file="key"))


def test_a_place_where_no_key_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot make the key .*nowhere"):
        secret_key(without_key("sqlite:///nowhere/test.db", tmp_path))


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
