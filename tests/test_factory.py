"""The application's factory under pytest-aiohttp's own client, as people who embed it would test it."""

from __future__ import annotations

from pathlib import Path

from pytest_aiohttp import AiohttpClient

from tests.plant import settings_for
from webmacs import __version__
from webmacs.app import build_app


async def test_an_application_of_the_factory_serves(
    aiohttp_client: AiohttpClient, storage_url: str, tmp_path: Path
) -> None:
    client = await aiohttp_client(build_app(settings_for(storage_url, tmp_path)))
    async with client.get("/health") as response:
        health = await response.json()
    assert (response.status, health["status"], health["version"]) == (200, "ok", __version__)


async def test_two_applications_live_side_by_side(aiohttp_client: AiohttpClient, tmp_path: Path) -> None:
    first = await aiohttp_client(build_app(settings_for(f"sqlite:///{tmp_path / 'first.db'}", tmp_path)))
    second = await aiohttp_client(build_app(settings_for(f"sqlite:///{tmp_path / 'second.db'}", tmp_path)))
    for client in (first, second):
        async with client.get("/health") as response:
            assert (await response.json())["database"] == "ok"
