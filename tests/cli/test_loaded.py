"""What is not even loaded: a process that waits on a small machine has only what it uses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.cli.process import TIMEOUT_S, ended, started
from tests.plant import Plant, furnish, settings_for
from webmacs.extensions import load_storage
from webmacs.model import Role

TOLD = {"PYTHONPROFILEIMPORTTIME": "1"}  # a process says what it imports
SCHEMA = {"alembic", "sqlalchemy"}  # while there is nothing to bring up to date
POSTGRESQL = {"aiopg", "psycopg2"}
TERMINAL = {"rich", "psutil"}
METRICS = {"prometheus_client", "webmacs.exposition"}  # while nobody asks for them


def loaded(said: str) -> set[str]:
    """The modules and packages that a process has named on standard error, as it imported them."""
    names = [line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")]
    assert "webmacs" in names
    return {name for whole in names for name in (whole, whole.partition(".")[0])}


@pytest.fixture
async def plant(storage_url: str, tmp_path: Path) -> Plant:
    """What is in each storage in turn; the schema is up to date."""
    storage = load_storage(settings_for(storage_url, tmp_path))
    await storage.open()
    furnished = await furnish(storage)
    await storage.close()
    return furnished


async def test_a_server_loads_what_it_was_asked_for(
    config: Path, plant: Plant, storage_url: str, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {plant.tokens[Role.VIEWER]}"}
    async with started("serve", "--config", config, cwd=tmp_path, **TOLD) as server:
        said = ""
        async with asyncio.timeout(TIMEOUT_S):
            while "listens on" not in said:
                line = (await server.err.readline()).decode()
                assert line, said
                said += line
        address = said.partition("listens on ")[2].partition(",")[0]
        path = f"{address}/api/v1/datapoints/latest"
        async with aiohttp.ClientSession(headers=headers) as client, client.get(path) as answer:
            assert answer.status == 200
        await server.stop()
        waiting = loaded(said + (await server.rest()).err)
    others = POSTGRESQL if storage_url.startswith("sqlite") else set()
    assert waiting & (SCHEMA | TERMINAL | METRICS | others) == set()
    assert {"aiohttp", "pydantic", *(POSTGRESQL - others)} <= waiting


async def test_what_somebody_asks_for_is_loaded_then(config: Path, plant: Plant, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {plant.tokens[Role.VIEWER]}"}
    async with started("serve", "--config", config, cwd=tmp_path, **TOLD) as server:
        address = (await server.says("listens on")).partition("listens on ")[2].partition(",")[0]
        async with aiohttp.ClientSession(headers=headers) as client, client.get(f"{address}/metrics") as answer:
            assert answer.status == 200
        await server.stop()
        since = (await server.rest()).err
    assert {line.rpartition("|")[2].strip() for line in since.splitlines()} >= METRICS


async def test_a_small_command_loads_neither_a_server_nor_a_client(config: Path, plant: Plant, tmp_path: Path) -> None:
    result = await ended("token", "list", "--config", config, cwd=tmp_path, **TOLD)
    assert result.code == 0
    assert loaded(result.err) & {"aiohttp", "uvloop", "webmacs.app", *SCHEMA, *TERMINAL, *METRICS} == set()
