"""`server.tls_cert` and `server.tls_key`: the same server, with nobody listening in."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import websockets

from tests.plant import PASSWORD, SECRET, Plant, furnish, settings_for
from tests.rawsocket import RawSocket, exchange
from webmacs.app import PARTS, build_app
from webmacs.cli.serve import running
from webmacs.errors import ConfigError
from webmacs.extensions import load_storage
from webmacs.model import Role


@asynccontextmanager
async def encrypted(tmp_path: Path, certificate: Path) -> AsyncIterator[tuple[str, Plant, aiohttp.web.Application]]:
    """A server as `webmacs serve` runs it, with a certificate beside its configuration."""
    server = {"port": 0, "tls_cert": certificate.name, "tls_key": certificate.with_suffix(".key").name}
    settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, server=server, auth={"secret_key": SECRET})
    storage = load_storage(settings)
    await storage.open()
    plant = await furnish(storage)
    await storage.close()
    app = build_app(settings)
    async with running(settings, app) as address:
        yield address.replace("127.0.0.1", "localhost"), plant, app


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    """Trusts that certificate and no other."""
    return ssl.create_default_context(cafile=certificate)


async def test_both_sockets_and_http_over_tls(tmp_path: Path, certificate: Path, trust: ssl.SSLContext) -> None:
    async with encrypted(tmp_path, certificate) as (address, plant, _), aiohttp.ClientSession() as client:
        assert address.startswith("https://")
        body = {"email": plant.emails[Role.OPERATOR], "password": PASSWORD}
        async with client.post(f"{address}/api/v1/auth/login", json=body, ssl=trust) as response:
            token = (await response.json())["access_token"]
        wss = address.replace("https", "wss")
        async with (
            websockets.connect(f"{wss}/ws/datapoints/stream?token={token}", ssl=trust) as stream,
            websockets.connect(f"{wss}/ws/controller/telemetry?token={token}", ssl=trust) as controller,
        ):
            assert json.loads(await stream.recv())["type"] == "connected"
            reading = {"value": 23.5, "event_public_id": plant.linked[0]}
            await controller.send(json.dumps({"datapoints": [reading], "batch_id": "one"}))
            assert json.loads(await controller.recv())["accepted"] == 1
            assert json.loads(await stream.recv())["datapoints"][0]["value"] == 23.5


async def test_the_reason_of_a_refusal_arrives_over_tls(
    tmp_path: Path, certificate: Path, trust: ssl.SSLContext
) -> None:
    async with (
        encrypted(tmp_path, certificate) as (address, _, _),
        await RawSocket.connect(address, trust) as socket,
    ):
        assert (await socket.upgrade("/ws/datapoints/stream")).status == 101
        assert await socket.closing() == (1008, "Authentication required")
        assert await socket.ended() == b""


async def test_stopping_is_said_over_tls_to_all_and_those_who_do_not_answer_are_cut(
    tmp_path: Path, certificate: Path, trust: ssl.SSLContext
) -> None:
    async with encrypted(tmp_path, certificate) as (address, plant, app):
        sockets = [await RawSocket.connect(address, trust) for _ in range(5)]
        for socket in sockets:
            await socket.upgrade(f"/ws/datapoints/stream?token={plant.tokens[Role.VIEWER]}")
            await socket.message()
        sockets[0].pause()
        stopping = asyncio.create_task(app.shutdown())
        for socket in sockets[1:]:
            assert await socket.closing() == (1001, "Server is stopping")
            assert await socket.ended() == b""
        async with asyncio.timeout(5):
            await stopping
        sockets[0].cut()
        assert not list(app[PARTS].hub.clients())


async def test_plain_http_on_that_port_gets_nothing(tmp_path: Path, certificate: Path) -> None:
    async with encrypted(tmp_path, certificate) as (address, _, _):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await exchange(address, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")


@pytest.mark.parametrize("only", ["tls_cert", "tls_key"])
def test_one_without_the_other_is_no_configuration(tmp_path: Path, only: str) -> None:
    with pytest.raises(ValueError, match="belong together"):
        settings_for("sqlite:///test.db", tmp_path, server={only: "file"})


async def test_a_key_of_another_certificate_is_said_so(tmp_path: Path, certificate: Path) -> None:
    certificate.with_suffix(".key").write_text("no key")
    with pytest.raises(ConfigError, match=r"server\.tls_cert, server\.tls_key: cannot use"):
        async with encrypted(tmp_path, certificate):
            pass
