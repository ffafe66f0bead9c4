"""`webmacs user`, `token` and `migrate`, on the storage itself, beside a server that may run on it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from tests.cli.conftest import Configure, files_in
from tests.cli.process import ended
from tests.cli.runner import complaint, done, run
from tests.plant import PASSWORD, Server
from webmacs.config import load_settings
from webmacs.extensions import load_storage
from webmacs.model import Role, Write
from webmacs.storage import migrate, plugins

SEEN_WITHIN_S = 1.0
EMAIL = "new@example.org"


def add(config: Path, email: str = EMAIL, role: str = "admin") -> None:
    done("user", "add", email, "--role", role, "--password-stdin", "--config", config, stdin=f"{PASSWORD}\n")


async def login(server: Server, email: str, password: str) -> int:
    body = {"email": email, "password": password}
    async with server.client.post(f"{server.address}/api/v1/auth/login", json=body) as response:
        return response.status


@pytest.fixture
def beside(server: Server, configure: Configure) -> Path:
    """A configuration of the storage on which a server runs."""
    return configure(server.settings.storage.url)


# -- users --------------------------------------------------------------------------------------------------------


def test_a_user_that_was_added_is_listed(config: Path) -> None:
    add(config, role="operator")
    (line,) = done("user", "list", "--config", config).splitlines()
    assert line.split()[:3] == [EMAIL, "operator", "new"]


def test_a_user_has_the_name_that_is_given(config: Path) -> None:
    done("user", "add", EMAIL, "--username", "Nora", "--password-stdin", "--config", config, stdin=f"{PASSWORD}\n")
    assert done("user", "list", "--config", config).split()[:3] == [EMAIL, "viewer", "Nora"]


def test_a_password_can_be_typed(config: Path) -> None:
    result = run("user", "add", EMAIL, "--config", config, stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0
    assert PASSWORD not in result.output


def test_a_user_cannot_be_added_twice(config: Path) -> None:
    add(config)
    text = complaint("user", "add", EMAIL, "--password-stdin", "--config", config, stdin=f"{PASSWORD}\n")
    assert text == f"a user with the e-mail {EMAIL} or that name exists already"


@pytest.mark.parametrize("email", ["nobody", "a@b@c", "a b@c", "@c", "a@"])
def test_what_is_no_address_is_refused(config: Path, email: str) -> None:
    assert complaint("user", "add", email, "--config", config) == f"{email!r} is not an e-mail address"


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_password_that_is_too_short_or_too_long_is_refused(config: Path, password: str) -> None:
    text = complaint("user", "add", EMAIL, "--password-stdin", "--config", config, stdin=f"{password}\n")
    assert text == "a password has 8 to 1024 characters"


def test_a_removed_user_is_gone(config: Path) -> None:
    add(config)
    add(config, "other@example.org")
    done("user", "remove", EMAIL, "--config", config)
    assert EMAIL not in done("user", "list", "--config", config)


def test_the_last_administrator_stays(config: Path) -> None:
    add(config)
    add(config, "other@example.org", "operator")
    text = complaint("user", "remove", EMAIL, "--config", config)
    assert text == f"{EMAIL} is the last administrator; add another one first"


@pytest.mark.parametrize("command", [("user", "remove"), ("user", "passwd", "--password-stdin"), ("token", "issue")])
def test_a_user_that_does_not_exist_is_named(config: Path, command: tuple[str, ...]) -> None:
    add(config)
    text = complaint(*command, "nobody@example.org", "--config", config, stdin=f"{PASSWORD}\n")
    assert text == "there is no user nobody@example.org"


@pytest.mark.parametrize(
    "command", [("user", "list"), ("user", "remove", EMAIL), ("token", "list"), ("token", "issue", EMAIL)]
)
def test_a_command_in_the_wrong_place_makes_no_database(
    configure: Configure, tmp_path: Path, command: tuple[str, ...]
) -> None:
    config = configure("sqlite:///test.db")
    text = complaint(*command, "--config", config)
    assert text == f"{tmp_path / 'test.db'}: there is no installation yet; is it the right --config?"
    assert files_in(tmp_path) == [config.name]


# -- tokens -------------------------------------------------------------------------------------------------------


def test_a_token_is_printed_alone_and_once(config: Path) -> None:
    add(config)
    result = run("token", "issue", EMAIL, "--name", "rig", "--config", config)
    (text,) = result.stdout.splitlines()
    assert text.startswith("wm_")
    assert result.stderr == ""
    listed = done("token", "list", "--config", config)
    assert text not in listed
    assert "rig" in listed


def test_a_list_of_tokens_says_whose_they_are_and_until_when(config: Path) -> None:
    add(config)
    done("token", "issue", EMAIL, "--name", "for ever", "--config", config)
    done("token", "issue", EMAIL, "--name", "for a day", "--days", "1", "--config", config)
    first, second = done("token", "list", "--config", config).splitlines()
    assert first.split()[1:] == [EMAIL, "until", "revoked", "full", "for", "ever"]
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
    assert second.split()[1:] == [EMAIL, "until", tomorrow, "full", "for", "a", "day"]


def make_instance(config: Path, name: str) -> str:
    """A plugin instance; its public id."""

    async def make() -> str:
        storage = load_storage(load_settings(config, {}))
        await storage.open()
        try:
            return await plugins.add_plugin(storage, plugin_id="test", instance_name=name, now_us=0)
        finally:
            await storage.close()

    return asyncio.run(make())


def test_a_list_of_tokens_says_what_they_are_good_for(config: Path) -> None:
    add(config)
    instance = make_instance(config, "Test rig")
    for number, options in enumerate(([], ["--plugin", "Test rig"], ["--plugin", instance]), 1):
        done("token", "issue", EMAIL, "--name", f"rig {number}", "--scope", "ingest", *options, "--config", config)
    lines = [line.split(maxsplit=4)[4] for line in done("token", "list", "--config", config).splitlines()]
    assert lines == ["ingest rig 1", "ingest rig 2, of Test rig alone", "ingest rig 3, of Test rig alone"]


@pytest.mark.promise("S10")
def test_what_somebody_is_called_gives_a_terminal_no_orders(config: Path) -> None:
    """Over HTTP, people choose their names, and those of their tokens."""
    add(config)

    async def rename() -> None:
        storage = load_storage(load_settings(config, {}))
        await storage.open()
        try:
            await storage.write(
                Write("UPDATE users SET username = :name", ({"name": "\x1b[2J\x9b31mroot\nroot"},)),
                Write("UPDATE api_tokens SET name = :name", ({"name": "\x1b[2J\x9b31mrig\nrig"},)),
            )
        finally:
            await storage.close()

    done("token", "issue", EMAIL, "--config", config)
    asyncio.run(rename())
    for command in ("user", "token"):
        (line,) = done(command, "list", "--config", config).splitlines()
        assert line.isprintable()


def test_a_token_is_bound_to_an_instance_that_there_is_and_for_ingestion_alone(config: Path) -> None:
    add(config)
    issue = ("token", "issue", EMAIL, "--config", config, "--plugin", "Rig")
    assert "--plugin goes with --scope ingest" in run(*issue).stderr
    assert "--plugin goes with --scope ingest" in run(*issue, "--scope", "read").stderr
    assert complaint(*issue, "--scope", "ingest") == "there is no plugin instance 'Rig'; there are none"
    make_instance(config, "Test rig")
    assert complaint(*issue, "--scope", "ingest") == "there is no plugin instance 'Rig'; there are 'Test rig'"
    assert done("token", "list", "--config", config) == ""


def test_a_revoked_token_is_gone(config: Path) -> None:
    add(config)
    done("token", "issue", EMAIL, "--config", config)
    public_id = done("token", "list", "--config", config).split()[0]
    done("token", "revoke", public_id, "--config", config)
    assert done("token", "list", "--config", config) == ""


def test_a_token_that_does_not_exist_is_named(config: Path) -> None:
    add(config)
    assert complaint("token", "revoke", "nothing", "--config", config) == "there is no API token nothing"


# -- migrate ------------------------------------------------------------------------------------------------------


def test_migrating_says_where_the_schema_is(config: Path) -> None:
    assert done("migrate", "--config", config) == f"the schema is at {migrate.head()}\n"


def test_migrating_again_changes_nothing(config: Path) -> None:
    first = done("migrate", "--config", config)
    assert done("migrate", "--config", config) == first


def test_a_server_that_may_not_migrate_says_what_to_run(configure: Configure, storage_url: str) -> None:
    config = configure(storage_url, "migrate = false")
    assert "run `webmacs migrate`" in complaint("serve", "--config", config)


def test_the_configuration_here_is_the_default(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("sqlite:///test.db")
    monkeypatch.chdir(config.parent)
    assert "the schema is at" in done("migrate")


# -- beside a running server, from another process -----------------------------------------------------------------


async def within(seconds: float, server: Server, email: str, password: str, status: int) -> None:
    """Wait until logging in gives that status; the clock runs from now."""
    async with asyncio.timeout(seconds):
        while await login(server, email, password) != status:  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.02)


async def test_a_running_server_lets_a_new_user_in(server: Server, beside: Path, tmp_path: Path) -> None:
    added = await ended(
        *("user", "add", EMAIL, "--role", "operator", "--password-stdin", "--config", beside),
        cwd=tmp_path,
        stdin=f"{PASSWORD}\n",
    )
    assert added.code == 0, added
    await within(SEEN_WITHIN_S, server, EMAIL, PASSWORD, 200)


async def test_a_token_from_the_command_line_opens_the_telemetry_socket(
    server: Server, beside: Path, tmp_path: Path
) -> None:
    issued = await ended("token", "issue", server.plant.emails[Role.OPERATOR], "--config", beside, cwd=tmp_path)
    assert (issued.code, issued.err) == (0, "")
    (token,) = issued.out.splitlines()
    url = f"{server.address}/ws/controller/telemetry"
    async with server.client.ws_connect(url, params={"token": token}) as socket:
        await socket.send_json({"datapoints": [server.reading(1.5)], "batch_id": "1"})
        assert (await socket.receive_json(timeout=5))["accepted"] == 1


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    """How a live socket is ended, within the time that is promised."""
    async with asyncio.timeout(SEEN_WITHIN_S):
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""


async def test_revoking_a_token_ends_its_live_sockets(server: Server, beside: Path, tmp_path: Path) -> None:
    newcomer = await server.newcomer()
    url = f"{server.address}/ws/datapoints/stream"
    async with server.client.ws_connect(url, params={"token": newcomer.api_token}) as socket:
        await socket.receive_json(timeout=5)
        revoked = await ended("token", "revoke", newcomer.api_token_id, "--config", beside, cwd=tmp_path)
        assert revoked.code == 0, revoked
        assert await closed(socket) == (1008, "Token has been revoked")


async def test_a_new_password_ends_the_sessions_of_the_old_one(server: Server, beside: Path, tmp_path: Path) -> None:
    newcomer = await server.newcomer()
    url = f"{server.address}/ws/datapoints/stream"
    async with server.client.ws_connect(url, params={"token": newcomer.jwt}) as socket:
        await socket.receive_json(timeout=5)
        changed = await ended(
            *("user", "passwd", newcomer.email, "--password-stdin", "--config", beside),
            cwd=tmp_path,
            stdin="another password\n",
        )
        assert changed.code == 0, changed
        assert await closed(socket) == (1008, "Token has been revoked")
    assert await login(server, newcomer.email, PASSWORD) == 401
    assert await login(server, newcomer.email, "another password") == 200


async def test_removing_a_user_ends_the_live_sockets(server: Server, beside: Path, tmp_path: Path) -> None:
    newcomer = await server.newcomer()
    url = f"{server.address}/ws/datapoints/stream"
    async with server.client.ws_connect(url, params={"token": newcomer.jwt}) as socket:
        await socket.receive_json(timeout=5)
        removed = await ended("user", "remove", newcomer.email, "--config", beside, cwd=tmp_path)
        assert removed.code == 0, removed
        assert await closed(socket) == (1008, "User not found")


async def test_a_user_can_be_added_before_the_first_start(config: Path, tmp_path: Path) -> None:
    added = await ended(
        *("user", "add", EMAIL, "--role", "admin", "--password-stdin", "--config", config),
        cwd=tmp_path,
        stdin=f"{PASSWORD}\n",
    )
    assert (added.code, added.out, added.err) == (0, "", f"added {EMAIL} as admin\n")
