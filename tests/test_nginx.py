"""A real nginx with `deploy/nginx.conf` in front of a real server."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.parts import require
from tests.plant import Server, furnished_server
from tests.small_bundle import INDEX, small_bundle
from webmacs.bundle import Bundle
from webmacs.handlers.pages import FOREVER, POLICY
from webmacs.model import Role

SHIPPED = Path(__file__).parent.parent / "deploy" / "nginx.conf"

# WebSocket API, "Nginx Proxy Configuration", to the letter.
SPECIFIED = """\
location /ws/ {
    proxy_pass http://backend:8000;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $host;
    proxy_read_timeout 86400;  # 24h — prevent premature close
}
"""

WHO_ASKS = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"


@dataclass
class Proxy:
    """A running nginx."""

    port: int
    directory: Path
    scheme: str = "http"

    @property
    def address(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    def logged(self) -> str:
        """All that it has written down."""
        return "".join(path.read_text() for path in self.directory.glob("*.log"))


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def shipped(backend: str, directory: Path, port: int, *, tls: bool = False) -> str:
    """The shipped file; only addresses and the places of files are this test's own."""
    text = SHIPPED.read_text(encoding="utf-8")
    if tls:  # as its last comment says
        lines = re.search(r"(?m)^#     listen 443 ssl;\n(?:#     .*\n)+", text)
        assert lines is not None
        text = text.replace("    listen 80;\n", re.sub(r"(?m)^# ", "", lines[0]), 1)
    return (
        text.replace("http://backend:8000", backend)
        .replace("listen 80;", f"listen 127.0.0.1:{port};")
        .replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
        .replace("/var/log/nginx", str(directory))
        .replace("/etc/nginx", str(directory))
    )


@asynccontextmanager
async def proxied(site: str, directory: Path, port: int) -> AsyncIterator[Proxy]:
    nginx = require("nginx", "apt-get install nginx-light")
    temporary = "".join(
        f"{kind}_temp_path {directory / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = directory / "main.conf"
    configuration.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off;\nworker_processes 1;\npid {directory / 'pid'};\n"
        "events { worker_connections 64; }\n"
        f"http {{\naccess_log {directory / 'rest.log'};\n{temporary}\n{site}\n}}\n",
        encoding="utf-8",
    )
    process = await asyncio.create_subprocess_exec(
        nginx, "-p", directory, "-e", directory / "start.log", "-c", configuration
    )
    try:
        await listening(port, process, directory / "start.log")
        yield Proxy(port, directory)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def listening(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert process.returncode is None, log
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Server]:
    async with furnished_server(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as server:
        yield server


@pytest.fixture
async def proxy(plant: Server, tmp_path: Path) -> AsyncIterator[Proxy]:
    port = free_port()
    async with proxied(shipped(plant.address, tmp_path, port), tmp_path, port) as running:
        yield running


async def stream(plant: Server, proxy: Proxy, **options: Any) -> aiohttp.ClientWebSocketResponse:
    """A stream socket through the proxy, confirmed."""
    token = plant.plant.tokens[Role.VIEWER]
    opened: aiohttp.ClientWebSocketResponse = await plant.client.ws_connect(
        f"{proxy.address}/ws/datapoints/stream", params={"token": token}, **options
    )
    confirmation = await opened.receive_json(timeout=5)
    assert confirmation["type"] == "connected"
    return opened


async def telemetry(plant: Server, proxy: Proxy, **options: Any) -> aiohttp.ClientWebSocketResponse:
    """A telemetry socket through the proxy."""
    token = plant.plant.tokens[Role.OPERATOR]
    opened: aiohttp.ClientWebSocketResponse = await plant.client.ws_connect(
        f"{proxy.address}/ws/controller/telemetry", params={"token": token}, **options
    )
    return opened


def locations() -> list[list[str]]:
    """The lines of each location block of the shipped file."""
    found, lines = [], SHIPPED.read_text(encoding="utf-8").splitlines()
    for start, line in enumerate(lines):
        if line.startswith("    location "):
            found.append([inner.removeprefix("    ") for inner in lines[start : lines.index("    }", start) + 1]])
    return found


def test_the_shipped_location_block_is_the_specifications_and_says_who_asks() -> None:
    block = locations()[0]
    block.remove(f"    {WHO_ASKS}")
    assert "".join(f"{line}\n" for line in block) == SPECIFIED


def test_no_location_lets_through_what_a_client_says_of_its_address() -> None:
    assert len(locations()) == 2
    assert all(f"    {WHO_ASKS}" in block for block in locations())


async def test_a_reading_goes_in_and_out_through_nginx(plant: Server, proxy: Proxy) -> None:
    browser = await stream(plant, proxy)
    controller = await telemetry(plant, proxy)
    await controller.send_json({"datapoints": [plant.reading(23.5)]})
    message = await browser.receive_json(timeout=5)
    assert message["type"] == "datapoints_batch"
    assert message["datapoints"][0]["value"] == 23.5


async def test_a_browser_of_the_same_host_is_let_in_although_nginx_drops_the_port(plant: Server, proxy: Proxy) -> None:
    browser = await stream(plant, proxy, origin=proxy.address)
    await browser.send_json({"type": "ping"})
    assert await browser.receive_json(timeout=5) == {"type": "pong"}


async def test_a_page_of_a_foreign_origin_is_refused_through_nginx(plant: Server, proxy: Proxy) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await stream(plant, proxy, origin="https://elsewhere.example")
    assert refused.value.status == 403


@pytest.mark.parametrize("length", [9_000, 20_000])
async def test_a_long_token_is_refused_by_us_with_a_reason_not_by_nginx(
    plant: Server, proxy: Proxy, length: int
) -> None:
    browser = await plant.client.ws_connect(f"{proxy.address}/ws/datapoints/stream", params={"token": "x" * length})
    message = await browser.receive(timeout=5)
    assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1008, "Invalid or expired token")


async def test_http_goes_through_nginx_too(plant: Server, proxy: Proxy) -> None:
    async with plant.client.post(
        f"{proxy.address}/api/v1/datapoints", json=plant.reading(7.5), headers=plant.headers()
    ) as response:
        assert response.status == 201
    async with plant.client.get(f"{proxy.address}/api/v1/datapoints/latest", headers=plant.headers()) as response:
        assert [point["value"] for point in await response.json()] == [7.5]


async def test_the_dashboard_comes_through_nginx_compressed_with_its_policy(tmp_path: Path) -> None:
    directory, port = tmp_path / "nginx", free_port()
    directory.mkdir()
    bundle, url = Bundle(small_bundle(tmp_path)), f"sqlite:///{tmp_path / 'test.db'}"
    async with (
        furnished_server(url, tmp_path, bundle=bundle) as plant,
        proxied(shipped(plant.address, directory, port), directory, port) as proxy,
    ):
        opens = {"Accept": "text/html", "Accept-Encoding": "gzip, br"}
        async with plant.client.get(f"{proxy.address}/live", headers=opens) as response:
            assert (response.status, await response.text()) == (200, INDEX)
            assert response.headers["Content-Encoding"] == "gzip"
            assert response.headers.getall("Content-Security-Policy") == [POLICY]
            assert response.headers["Cache-Control"] == "no-cache"
            opens["If-None-Match"] = response.headers["ETag"]
        async with plant.client.get(f"{proxy.address}/live", headers=opens) as response:
            assert (response.status, await response.read()) == (304, b"")
        async with plant.client.get(f"{proxy.address}/assets/index-1a2b.js") as response:
            assert (response.status, response.headers["Cache-Control"]) == (200, FOREVER)


async def test_no_token_is_in_nginx_s_logs_even_when_the_server_is_away(plant: Server, tmp_path: Path) -> None:
    directory, port, nowhere = tmp_path / "nginx", free_port(), free_port()
    directory.mkdir()
    site = shipped(f"http://127.0.0.1:{nowhere}", directory, port)
    async with proxied(site, directory, port) as proxy:
        with pytest.raises(aiohttp.WSServerHandshakeError) as failed:
            await stream(plant, proxy)
        assert failed.value.status == 502
    logged = proxy.logged()
    assert '"GET /ws/datapoints/stream" 502' in logged
    assert plant.plant.tokens[Role.VIEWER] not in logged


async def test_the_tls_lines_of_the_shipped_file_work(plant: Server, tmp_path: Path, certificate: Path) -> None:
    port = free_port()
    trusted = ssl.create_default_context(cafile=certificate)
    async with proxied(shipped(plant.address, tmp_path, port, tls=True), tmp_path, port) as proxy:
        proxy.scheme = "https"
        browser = await stream(plant, proxy, ssl=trusted, origin=proxy.address)
        await browser.send_json({"type": "ping"})
        assert await browser.receive_json(timeout=5) == {"type": "pong"}


async def test_clients_behind_nginx_are_counted_one_by_one_whatever_they_say(tmp_path: Path) -> None:
    directory, port = tmp_path / "nginx", free_port()
    directory.mkdir()
    limits = {"trusted_proxies": ["127.0.0.1"], "requests_per_minute": 20, "max_connections_per_address": 1}
    async with (
        furnished_server(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, server=limits) as plant,
        proxied(shipped(plant.address, directory, port), directory, port) as proxy,
    ):
        address = f"http://127.0.0.1:{proxy.port}"

        def client(address: str) -> aiohttp.ClientSession:
            return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0)))

        def made_up(number: int) -> dict[str, str]:
            said = f"198.51.100.{number}"
            return {**plant.headers(), "X-Forwarded-For": said, "X-Real-IP": said}

        async def status(session: aiohttp.ClientSession, number: int) -> int:
            async with session.get(f"{address}/api/v1/events", headers=made_up(number)) as response:
                return response.status

        held: list[aiohttp.ClientWebSocketResponse] = []

        async def heard(session: aiohttp.ClientSession, number: int) -> aiohttp.WSMessage:
            held.append(await session.ws_connect(f"{address}/ws/datapoints/stream", headers=made_up(number)))
            return await held[-1].receive(timeout=5)

        async with client("127.0.0.2") as one, client("127.0.0.3") as another:
            assert 429 in [await status(one, number) for number in range(40)]
            assert await status(another, 0) == 200
            assert (await heard(one, 1)).type is WSMsgType.TEXT
            assert (await heard(one, 2)).extra == "Too many connections from this address"
            assert (await heard(another, 1)).type is WSMsgType.TEXT
