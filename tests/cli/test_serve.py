"""`webmacs serve` as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.cli.conftest import Configure, until
from tests.cli.process import Command, ended, started
from tests.plant import Plant, furnish, settings_for
from tests.postgres import PostgresServer
from tests.rawsocket import RawSocket
from webmacs.app import PARTS, build_app
from webmacs.cli.serve import refusal, running, serve
from webmacs.errors import ConfigError, Conflict
from webmacs.extensions import load_storage
from webmacs.model import Role

STREAM = "/ws/datapoints/stream"
TELEMETRY = "/ws/controller/telemetry"


@pytest.fixture
async def plant(storage_url: str, tmp_path: Path) -> Plant:
    """What is in each storage in turn, before a server starts on it."""
    storage = load_storage(settings_for(storage_url, tmp_path))
    await storage.open()
    furnished = await furnish(storage)
    await storage.close()
    return furnished


async def address_of(server: Command) -> str:
    return (await server.says("listens on")).partition("listens on ")[2].partition(",")[0]


async def test_it_serves_until_told_to_stop(config: Path, plant: Plant, tmp_path: Path) -> None:
    async with started("serve", "--config", config, cwd=tmp_path) as server, aiohttp.ClientSession() as client:
        address = await address_of(server)
        async with client.get(f"{address}/health") as response:
            assert (await response.json())["status"] == "ok"
        code, seconds = await server.stop(signal.SIGTERM)
    assert code == 0
    assert seconds < 3


@pytest.mark.parametrize(
    ("allowed", "most", "after", "warned"), [(300, 3000, 2600, False), (300, 900, 900, True), (2800, 3000, 2800, False)]
)
def test_as_many_files_as_sockets_need_may_be_open(allowed: int, most: int, after: int, warned: bool) -> None:
    script = (
        "import resource; from webmacs.cli.serve import allow_files\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({allowed}, {most})); allow_files(2600)\n"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(after), str(most)]
    assert (f"only {after} files may be open" in result.stderr) is warned


async def test_it_says_so_when_the_system_does_not_allow_the_sockets_it_is_to_have(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure("sqlite:///test.db")
    text = config.read_text(encoding="utf-8").replace("[server]\n", "[server]\nmax_connections = 2000000000\n")
    config.write_text(text, encoding="utf-8")
    async with started("serve", "--config", config, cwd=tmp_path) as server:
        assert "server.max_connections wants 2000002600" in await server.says("files may be open")
        await address_of(server)
        assert (await server.stop())[0] == 0


async def test_ctrl_c_is_a_good_end_too(config: Path, plant: Plant, tmp_path: Path) -> None:
    async with started("serve", "--config", config, cwd=tmp_path) as server:
        await address_of(server)
        assert (await server.stop(signal.SIGINT))[0] == 0


async def test_clients_that_are_stuck_do_not_hold_up_the_end(config: Path, plant: Plant, tmp_path: Path) -> None:
    """Fifty browsers, five of which read nothing: 1001 to the others, and the end within the time that is set."""
    token = plant.tokens[Role.VIEWER]
    async with started("serve", "--config", config, cwd=tmp_path) as server:
        address = await address_of(server)
        browsers = [await RawSocket.open(address, STREAM, token) for _ in range(50)]
        for browser in browsers[:5]:
            browser.pause()
        stopping = asyncio.create_task(server.stop())
        farewells = await asyncio.gather(*(browser.closing() for browser in browsers[5:]))
        code, seconds = await stopping
        for browser in browsers:
            browser.cut()
    assert set(farewells) == {(1001, "Server is stopping")}
    assert code == 0
    assert seconds < 5


async def test_what_was_acknowledged_before_the_end_is_there_after_it(
    config: Path, plant: Plant, tmp_path: Path
) -> None:
    item = {"value": 23.5, "event_public_id": plant.linked[0]}
    token = {"token": plant.tokens[Role.OPERATOR]}
    async with started("serve", "--config", config, cwd=tmp_path) as server, aiohttp.ClientSession() as client:
        address = await address_of(server)
        async with client.ws_connect(f"{address}{TELEMETRY}", params=token) as telemetry:
            await telemetry.send_json({"datapoints": [item], "batch_id": "1"})
            assert (await telemetry.receive_json(timeout=5))["accepted"] == 1
            await server.stop()
    async with started("serve", "--config", config, cwd=tmp_path) as server, aiohttp.ClientSession() as client:
        headers = {"Authorization": f"Bearer {plant.tokens[Role.VIEWER]}"}
        async with client.get(f"{await address_of(server)}/api/v1/datapoints/latest", headers=headers) as response:
            assert [datapoint["value"] for datapoint in await response.json()] == [23.5]


async def test_a_server_outlives_an_outage_of_its_database(configure: Configure, tmp_path: Path) -> None:
    """On the loop that it really runs on, through several attempts to connect that are refused."""
    postgres = PostgresServer()
    try:
        config = configure(postgres.url(), "[pipeline]", "overload_timeout_s = 30.0")
        storage = load_storage(settings_for(postgres.url(), tmp_path))
        await storage.open()
        plant = await furnish(storage)
        await storage.close()
        batch = {"datapoints": [{"value": 1.0, "event_public_id": plant.linked[0]}]}
        token = {"token": plant.tokens[Role.OPERATOR]}
        async with started("serve", "--config", config, cwd=tmp_path) as server, aiohttp.ClientSession() as client:
            address = await address_of(server)
            async with client.ws_connect(f"{address}{TELEMETRY}", params=token) as telemetry:
                await telemetry.send_json({**batch, "batch_id": "before"})
                assert (await telemetry.receive_json(timeout=10))["accepted"] == 1
                postgres.stop()
                await telemetry.send_json({**batch, "batch_id": "meanwhile"})
                await server.says("storage unavailable")
                await asyncio.sleep(1.5)  # some more attempts
                postgres.start()
                answer = await telemetry.receive_json(timeout=30)
                assert (answer["type"], answer.get("accepted")) == ("ack", 1)
            code, _ = await server.stop()
            complaints = (await server.rest()).err
    finally:
        postgres.remove()
    assert code == 0
    assert "Traceback" not in complaints


async def test_a_second_server_on_the_same_file_refuses_to_start(configure: Configure, tmp_path: Path) -> None:
    config = configure("sqlite:///test.db")
    async with started("serve", "--config", config, cwd=tmp_path) as first:
        await address_of(first)
        second = await ended("serve", "--config", config, cwd=tmp_path)
    assert (
        second.complaint == f"another server uses {tmp_path / 'test.db'}; stop it first, or give this one its own file"
    )


async def test_a_port_that_is_taken_is_named(configure: Configure, tmp_path: Path, port: int) -> None:
    config = configure("sqlite:///test.db", port=port)
    with socket.create_server(("127.0.0.1", port)):
        result = await ended("serve", "--config", config, cwd=tmp_path)
    assert result.complaint == f"server.host, server.port: cannot listen on 127.0.0.1:{port}: address already in use"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("[stage]", "stage: unknown key"),
        ("[logging]\nlevle = 'info'", "logging.levle: unknown key"),
        ("[pipeline]\nmax_batch_size = 0", "pipeline.max_batch_size: Input should be greater than or equal to 1"),
        ("[server", "is not valid TOML"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_one_line(
    configure: Configure, tmp_path: Path, line: str, complaint: str
) -> None:
    config = configure("sqlite:///test.db", line)
    assert complaint in (await ended("serve", "--config", config, cwd=tmp_path)).complaint


async def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    result = await ended("serve", "--config", "nowhere.toml", cwd=tmp_path)
    assert result.complaint == "cannot read nowhere.toml: No such file or directory"


async def test_a_database_that_is_not_there_is_one_line(configure: Configure, tmp_path: Path, port: int) -> None:
    config = configure(f"postgresql://me:secret@127.0.0.1:{port}/none")
    complaint = (await ended("serve", "--config", config, cwd=tmp_path)).complaint
    assert "Connection refused" in complaint
    assert "secret" not in complaint


async def test_a_server_that_waits_for_its_database_can_be_stopped(
    configure: Configure, tmp_path: Path, port: int
) -> None:
    config = configure(f"postgresql://127.0.0.1:{port}/none")
    async with started("serve", "--config", config, cwd=tmp_path, WEBMACS_STORAGE__STARTUP_TIMEOUT_S="60") as server:
        await server.says("waiting for the storage")
        code, seconds = await server.stop()
    assert code == 0
    assert seconds < 3


async def test_a_new_installation_says_how_to_add_the_first_user(configure: Configure, tmp_path: Path) -> None:
    config = configure("sqlite:///test.db")
    async with started("serve", "--config", config, cwd=tmp_path) as server:
        hint = await server.says("nobody can sign in yet")
    assert "-m webmacs user add EMAIL --role admin" in hint


async def test_the_environment_goes_before_the_file(configure: Configure, tmp_path: Path, port: int) -> None:
    config = configure("sqlite:///test.db")
    async with started("serve", cwd=tmp_path, WEBMACS_CONFIG=str(config), WEBMACS_SERVER__PORT=str(port)) as server:
        assert await address_of(server) == f"http://127.0.0.1:{port}"


# -- in this process ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_serving(tmp_path: Path, number: signal.Signals, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "webmacs.cli.serve")
    task = asyncio.create_task(serve(settings_for("sqlite:///test.db", tmp_path)))
    await until(lambda: "listens on" in caplog.text)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(task, 10)
    assert "nobody can sign in yet" in caplog.text


async def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    task = asyncio.create_task(serve(settings_for("sqlite:///test.db", tmp_path)))
    await until((tmp_path / "test.db.lock").exists)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 10)


async def test_cancelling_is_not_being_told_to_stop(tmp_path: Path) -> None:
    task = asyncio.create_task(serve(settings_for("sqlite:///test.db", tmp_path)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("host", "address"), [("0.0.0.0", "http://localhost"), ("::1", "http://[::1]"), ("127.0.0.1", "http://127.0.0.1")]
)
async def test_the_address_can_be_opened(tmp_path: Path, host: str, address: str) -> None:
    settings = settings_for("sqlite:///test.db", tmp_path, server={"host": host})
    async with running(settings) as where, aiohttp.ClientSession() as client:
        assert where.rpartition(":")[0] == address
        async with client.get(f"{where}/health") as response:
            assert response.status == 200


async def test_the_parts_of_a_running_server_can_be_seen(tmp_path: Path) -> None:
    settings = settings_for("sqlite:///test.db", tmp_path)
    app = build_app(settings)
    async with running(settings, app):
        await app[PARTS].storage.ping()


async def test_what_had_been_started_is_stopped_when_the_port_is_taken(tmp_path: Path, port: int) -> None:
    settings = settings_for("sqlite:///test.db", tmp_path, server={"port": port})
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError, match="cannot listen"):
        async with running(settings):
            pass
    async with running(settings):  # the file is free again
        pass


async def test_an_embedded_storage_has_one_server(tmp_path: Path) -> None:
    settings = settings_for("sqlite:///test.db", tmp_path)
    async with running(settings):
        with pytest.raises(Conflict):
            async with running(settings):
                pass


async def test_several_servers_share_a_postgresql(postgres_url: str, tmp_path: Path) -> None:
    settings = settings_for(postgres_url, tmp_path)
    async with running(settings) as one, running(settings) as other:
        assert one != other


async def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    settings = settings_for("sqlite:///test.db", tmp_path, server={"tls_cert": "a.pem", "tls_key": "a.key"})
    with pytest.raises(ConfigError, match=r"server\.tls_cert, server\.tls_key: cannot use .*a\.pem"):
        async with running(settings):
            pass


def test_a_free_port_is_not_refused(port: int) -> None:
    assert refusal("127.0.0.1", port) is None


def test_a_taken_port_is_refused(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        reason = refusal("127.0.0.1", port)
    assert reason is not None
    assert reason.strerror == "Address already in use"


def test_an_address_that_is_not_ours_is_refused() -> None:
    assert refusal("192.0.2.1", 8000) is not None
