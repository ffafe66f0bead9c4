"""`webmacs controller` as people run it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.cli.process import bare_environment
from tests.controller.process import ControllerProcess
from tests.controller.stored import stored_rows
from tests.plant import PASSWORD, furnished_server
from webmacs.cli.controller import environment, server_url
from webmacs.config import ControllerSettings, load_settings
from webmacs.controller.credentials import Credentials, credentials
from webmacs.errors import ConfigError
from webmacs.model import Role


async def run(directory: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """Its exit code and what it said, of one that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webmacs", "controller", *arguments),
        cwd=directory,
        env={**bare_environment(), **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_it_measures_until_it_is_told_to_stop(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    url = f"sqlite:///{tmp_path / 'server' / 'test.db'}"
    async with furnished_server(url, tmp_path / "server") as server:
        controller = ControllerProcess(server.address, server.plant.tokens[Role.ADMIN], tmp_path, interval_s=0.1)
        await controller.start()
        try:
            async with asyncio.timeout(30):
                while len(await stored_rows(server.parts.storage)) < 9:  # noqa: ASYNC110 - a process tells nobody
                    await asyncio.sleep(0.1)
        finally:
            code = await controller.end(signal.SIGTERM)
        rows = await stored_rows(server.parts.storage)
    assert code == 0, controller.said()
    assert {row.value: row.time_us for row in rows} == controller.promised()


async def test_without_a_way_in_it_says_how_to_give_one(tmp_path: Path) -> None:
    code, said = await run(tmp_path)
    assert code == 1
    assert said.startswith("Error: controller: there is no way in; give token, token_file, or email and password_file")


async def test_two_on_one_spool_are_one_too_many(tmp_path: Path) -> None:
    controller = ControllerProcess("http://127.0.0.1:9", "wm_token", tmp_path)
    await controller.start()
    try:
        async with asyncio.timeout(30):
            while not (tmp_path / "spool" / "lock").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        code, said = await run(tmp_path, "--config", "controller.toml")
    finally:
        await controller.end()
    assert code == 1
    assert "is in use: another controller runs on it" in said


# -- the settings ------------------------------------------------------------------------------------------------------


def test_the_names_that_installations_use_are_understood() -> None:
    environ = {
        "WEBMACS_SERVER_URL": "https://plant.example.org",
        "WEBMACS_SERVER_PORT": "8443",
        "WEBMACS_API_TOKEN": "wm_token",
        "WEBMACS_POLL_INTERVAL": "0.5",
        "WEBMACS_MAX_BATCH_SIZE": "50",
        "PATH": os.defpath,
    }
    ours = load_settings(None, environment(environ)).controller
    assert (ours.server_url, ours.poll_interval_s, ours.max_batch_size) == ("https://plant.example.org:8443", 0.5, 50)
    assert credentials(ours, Path()) == Credentials(token="wm_token")


def test_our_own_names_win() -> None:
    environ = {
        "WEBMACS_SERVER_URL": "http://a",
        "WEBMACS_CONTROLLER__SERVER_URL": "http://b",
        "WEBMACS_API_TOKEN": "wm_a",
        "WEBMACS_CONTROLLER__TOKEN_FILE": "token",
    }
    ours = load_settings(None, environment(environ)).controller
    assert (ours.server_url, ours.token, ours.token_file) == ("http://b", None, Path("token"))


@pytest.mark.parametrize(
    ("url", "port", "whole"),
    [
        ("http://a", None, "http://a"),
        ("http://a/", "9000", "http://a:9000"),
        ("http://a:8000", "9000", "http://a:8000"),
        ("http://[::1]", "9000", "http://[::1]:9000"),
    ],
)
def test_a_port_of_its_own_is_for_an_address_without_one(url: str, port: str | None, whole: str) -> None:
    assert server_url(url, port) == whole


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"WEBMACS_SERVER_URL: 'http://a:b' is no address"):
        server_url("http://a:b", "1")


def test_credentials_may_be_in_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wm_token\n")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "empty").touch()

    def of(**settings: str) -> Credentials:
        return credentials(ControllerSettings.model_validate(settings), tmp_path)

    assert of(token_file="token") == Credentials(token="wm_token")
    assert of(email="a@b.c", password_file="password") == Credentials(email="a@b.c", password=PASSWORD)
    assert "wm_token" not in repr(of(token_file="token"))
    with pytest.raises(ConfigError, match=r"controller\.token_file: .*empty is empty"):
        of(token_file="empty")
    with pytest.raises(ConfigError, match=r"controller\.token_file: cannot read .*nowhere"):
        of(token_file="nowhere")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"token": "a", "token_file": "b"}, "token and token_file are both given: give one of them"),
        ({"email": "a"}, "email and password_file belong together: give both or neither"),
        ({"max_retry_s": 0.1}, "max_retry_s is shorter than first_retry_s"),
        ({"server_url": "plant:8000"}, "server_url"),
        ({"poll_interval_s": 0.001}, "poll_interval_s"),
    ],
)
def test_what_makes_no_sense_together_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ControllerSettings.model_validate(settings)
