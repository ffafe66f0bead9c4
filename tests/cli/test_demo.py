"""`webmacs demo`, as somebody tries it, and `webmacs watch` beside it."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import sys
import tomllib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from tests.cli.conftest import files_in, until
from tests.cli.process import Command, ended, started
from tests.plant import settings_for
from webmacs.cli.demo import Exhibit, demonstrate, furnish, new_password, prepare, welcome
from webmacs.cli.setting import opened_storage
from webmacs.errors import ConfigError
from webmacs.model import Action, Operator, Role, Write
from webmacs.plugins import machine
from webmacs.plugins.base import ChannelDescription, Direction
from webmacs.storage import accounts, plugins, records, rules
from webmacs.storage.base import Row, Storage

CPU_USAGE = "This machine \N{EN DASH} CPU Usage"
ALARM = f"WARNING webmacs.stages: rule 'CPU over 80 %': {CPU_USAGE} is "
SOURCES = [
    ChannelDescription("cpu_percent", "CPU Usage", Direction.INPUT, "%", 0.0, 100.0),
    ChannelDescription("cpu_temp", "CPU Temperature", Direction.INPUT, "°C", 0.0, 110.0),
]


async def welcomed(command: Command) -> dict[str, str]:
    """What the demonstration says at its start: by the word that it begins with, and all of it."""
    lines: list[str] = []
    while "Ctrl-C stops it." not in lines:
        lines.append(await command.line())
    said = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1].strip() for line in lines if line.startswith("  ")}
    return {**said, "all": "\n".join(lines)}


async def login(address: str, password: str) -> int:
    body = {"email": "admin@webmacs.example", "password": password}
    async with aiohttp.ClientSession() as client, client.post(f"{address}/api/v1/auth/login", json=body) as response:
        return response.status


async def test_from_nothing_to_changing_values_within_a_minute(tmp_path: Path, port: int) -> None:
    async with asyncio.timeout(60), started("demo", "--port", str(port), cwd=tmp_path) as command:
        said = await welcomed(command)
        assert said["Address"] == f"http://127.0.0.1:{port}"
        assert said["E-mail"] == "admin@webmacs.example"
        assert "\x1b" not in said["all"]
        assert f"{sys.executable} -m webmacs watch --config demo/webmacs.toml" in said["all"]
        assert await login(said["Address"], said["Password"].split()[0]) == 200
        seen = await ended("watch", "--config", "demo/webmacs.toml", "--count", "40", cwd=tmp_path)
        code, seconds = await command.stop(signal.SIGINT)
    assert (seen.code, seen.err) == (0, "")
    values = defaultdict(set)
    for line in seen.out.splitlines():
        _, name, value, _ = line.split("\t")
        values[name].add(float(value))
    assert CPU_USAGE in values
    assert max(map(len, values.values())) > 1
    assert code == 0
    assert seconds < 10  # it does not wait for who looks on


async def test_started_again_it_goes_on_where_it_was(tmp_path: Path, port: int) -> None:
    async with started("demo", "--port", str(port), cwd=tmp_path) as command:
        first = await welcomed(command)
        await command.stop()
    async with started("demo", cwd=tmp_path) as command:
        again = await welcomed(command)
        assert again["Address"] == first["Address"]
        assert again["Streaming"] == first["Streaming"]
        assert again["Password"] == "as before; to set a new one:"
        assert "user passwd admin@webmacs.example --config demo/webmacs.toml" in again["all"]
        assert await login(again["Address"], first["Password"].split()[0]) == 200
        code, seconds = await command.stop()
        farewell = await command.rest()
    assert code == 0
    assert [line for line in farewell.err.splitlines() if ALARM not in line] == []  # this machine may be busy
    assert farewell.out.splitlines()[-1] == "Stopped. Start it again to go on."
    assert seconds < 10  # it does not wait for who looks on


async def test_a_port_that_is_taken_leaves_nothing_behind(tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        result = await ended("demo", "--port", str(port), cwd=tmp_path)
    assert (
        result.complaint
        == f"cannot listen on 127.0.0.1:{port}: address already in use; choose another port with --port"
    )
    assert files_in(tmp_path) == []


async def test_a_second_one_in_the_same_directory_refuses_and_changes_nothing(tmp_path: Path, port: int) -> None:
    async with started("demo", "--port", str(port), cwd=tmp_path) as command:
        await welcomed(command)
        before = (tmp_path / "demo/webmacs.toml").read_text("utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            other = probe.getsockname()[1]
        second = await ended("demo", "--port", str(other), cwd=tmp_path)
        assert "another server uses" in second.complaint
        assert (tmp_path / "demo/webmacs.toml").read_text("utf-8") == before


async def test_a_rule_that_is_added_beside_it_fires_in_its_terminal(tmp_path: Path, port: int) -> None:
    async with started("demo", "--port", str(port), cwd=tmp_path) as command:
        await welcomed(command)
        more = ("--event", "CPU Usage", "--above", "-1", "--config", "demo/webmacs.toml")
        added = await ended("rule", "add", "Always", *more, cwd=tmp_path)
        assert (added.code, added.err) == (0, "")
        line = await command.says("rule 'Always'")
    assert re.search(rf"WARNING webmacs.stages: rule 'Always': {CPU_USAGE} is [\d.]+ %, above -1$", line)


# -- in this process ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def demonstrating(directory: Path, port: int | None, said: io.StringIO | None = None) -> AsyncIterator[str]:
    """Demonstrate, from the welcome on; then end it as the terminal does."""
    said = said or io.StringIO()
    task = asyncio.create_task(demonstrate(directory, port, Console(file=said, soft_wrap=True)))
    await until(lambda: "Ctrl-C" in said.getvalue() or task.done())
    try:
        yield said.getvalue()
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(task, 10)


async def run_until_welcome(directory: Path, port: int | None) -> str:
    """Demonstrate until the welcome is said; all that it said."""
    said = io.StringIO()
    async with demonstrating(directory, port, said):
        pass
    return said.getvalue()


async def until_row(storage: Storage, query: str) -> list[Row]:
    """The rows of a query, once there are any."""
    async with asyncio.timeout(60):
        while not (rows := await storage.fetch(query)):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.02)
    return rows


async def test_it_ends_in_good_order(tmp_path: Path, port: int) -> None:
    said = await run_until_welcome(tmp_path / "demo", port)
    assert said.endswith("\nStopping …\nStopped. Start it again to go on.\n")
    assert files_in(tmp_path / "demo") == ["spool", "webmacs.db", "webmacs.db.lock", "webmacs.key", "webmacs.toml"]
    assert [name for name in files_in(tmp_path / "demo" / "spool") if name.endswith(".segment")] == []


async def test_a_busy_processor_shows_in_the_terminal_and_in_the_log(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = 80.0
    monkeypatch.setattr(machine, "SOURCES", {"cpu_percent": lambda: lambda: value})
    url = f"sqlite:///{tmp_path / 'demo' / 'webmacs.db'}"
    async with demonstrating(tmp_path / "demo", port) as welcome:
        assert "The rule 'CPU over 80 %' warns here when the processor is busy, once a minute." in welcome.splitlines()
        async with opened_storage(settings_for(url, tmp_path)) as storage:
            await until_row(storage, "SELECT 1 FROM datapoints")
            assert await storage.fetch("SELECT 1 FROM logs WHERE content LIKE 'rule%'") == []
            value = 93.4
            ((owner, content, kind),) = await until_row(
                storage, "SELECT user_id, content, logging_type FROM logs WHERE content LIKE 'rule%'"
            )
            users = (await records.snapshot(storage, 0)).users_by_id
    text = f"rule 'CPU over 80 %': {CPU_USAGE} is 93.4 %, above 80"
    assert (content, kind, users[owner].email) == (text, "warning", "admin@webmacs.example")
    heard = capsys.readouterr().err
    assert [line.partition("WARNING ")[2] for line in heard.splitlines()] == [f"webmacs.stages: {text}"]


async def test_another_port_is_remembered(tmp_path: Path, port: int) -> None:
    directory = tmp_path / "demo"
    await run_until_welcome(directory, port)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        other = probe.getsockname()[1]
    await run_until_welcome(directory, other)
    assert tomllib.loads((directory / "webmacs.toml").read_text("utf-8"))["server"]["port"] == other
    assert f"http://127.0.0.1:{other}" in await run_until_welcome(directory, None)


def test_the_environment_does_not_lead_it_astray(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBMACS_STORAGE__URL", "postgresql://production/db")
    assert prepare(tmp_path / "webmacs.toml", port).storage.url == "sqlite:///webmacs.db"
    assert prepare(tmp_path / "webmacs.toml", None).storage.url == "sqlite:///webmacs.db"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, port: int) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot make .*webmacs\.toml: .*; choose another --directory"):
        prepare(tmp_path / "file" / "demo" / "webmacs.toml", port)


def test_a_port_that_cannot_be_kept_is_refused(tmp_path: Path, port: int) -> None:
    config = tmp_path / "webmacs.toml"
    config.write_text("[server]\n", "utf-8")
    with pytest.raises(ConfigError, match="has no line `port"):
        prepare(config, port)


def test_a_changed_configuration_is_kept(tmp_path: Path, port: int) -> None:
    config = tmp_path / "webmacs.toml"
    prepare(config, port)
    config.write_text(config.read_text("utf-8") + 'format = "json"\n', "utf-8")
    assert prepare(config, None).logging.format == "json"


async def test_it_is_furnished_once(storage: Storage) -> None:
    first = await furnish(storage, SOURCES, 1)
    again = await furnish(storage, SOURCES, 2)
    assert first.password is not None
    assert again.password is None
    assert again.administrator == first.administrator == "admin@webmacs.example"
    assert again.events == first.events
    snapshot = await records.snapshot(storage, 3)
    assert [event.name for event in snapshot.linked.values()] == [
        CPU_USAGE,
        "This machine \N{EN DASH} CPU Temperature",
    ]
    assert [experiment.name for experiment in snapshot.experiments] == ["First look"]
    assert [user.role for user in snapshot.users.values()] == [Role.ADMIN, Role.OPERATOR]


async def test_the_token_of_the_last_start_is_good_no_more(storage: Storage) -> None:
    first = await furnish(storage, SOURCES, 1)
    again = await furnish(storage, SOURCES, 2)
    assert first.token != again.token
    assert len(await accounts.tokens(storage)) == 1


async def test_other_tokens_stay(storage: Storage) -> None:
    await furnish(storage, SOURCES, 1)
    boss, _ = await accounts.user_by_email(storage, "admin@webmacs.example")
    await accounts.add_token(storage, user_id=boss.id, name="rig", digest="0" * 64, expires_us=None, now_us=2)
    await furnish(storage, SOURCES, 3)
    assert "rig" in [token.name for token in await accounts.tokens(storage)]


async def test_channels_that_came_since_are_added(storage: Storage) -> None:
    first = await furnish(storage, SOURCES[:1], 1)
    again = await furnish(storage, SOURCES, 2)
    assert first.events["cpu_percent"] == again.events["cpu_percent"]
    assert set(again.events) == {"cpu_percent", "cpu_temp"}


async def test_an_event_that_somebody_removed_stays_away(storage: Storage) -> None:
    exhibit = await furnish(storage, SOURCES, 1)
    await records.remove_event(storage, exhibit.events["cpu_temp"])
    assert set((await furnish(storage, SOURCES, 2)).events) == {"cpu_percent"}


async def test_an_event_of_that_name_is_used(storage: Storage) -> None:
    event = await records.add_event(storage, name=CPU_USAGE, unit="%", now_us=1)
    assert (await furnish(storage, SOURCES, 2)).events["cpu_percent"] == event


async def test_what_somebody_changed_stays_as_it_is(storage: Storage) -> None:
    exhibit = await furnish(storage, SOURCES, 1)
    await records.change_event(storage, exhibit.events["cpu_temp"], unit="K", max_value=400.0)
    there = await records.snapshot(storage, 2)
    await plugins.change_plugin(storage, there.plugins[0].public_id, enabled=0, demo_mode=1)
    await storage.write(plugins.link_channel(there.channels[0].public_id, exhibit.events["cpu_temp"]))
    changed = await records.snapshot(storage, 3)
    again = await furnish(storage, SOURCES, 4)
    now = await records.snapshot(storage, 5)
    assert (now.events, now.plugins, now.channels) == (changed.events, changed.plugins, changed.channels)
    assert again.events == dict.fromkeys(("cpu_percent", "cpu_temp"), exhibit.events["cpu_temp"])


async def test_what_is_made_belongs_to_the_administrator(storage: Storage) -> None:
    await furnish(storage, SOURCES, 1)
    there = await records.snapshot(storage, 2)
    boss = next(user for user in there.users.values() if user.role is Role.ADMIN)
    assert {event.user_public_id for event in there.events.values()} == {boss.public_id}
    assert {plugin.user_id for plugin in there.plugins} == {rule.user_id for rule in there.rules} == {boss.id}


async def test_an_experiment_that_was_stopped_stays_stopped(storage: Storage) -> None:
    await furnish(storage, SOURCES, 1)
    await storage.write(Write("UPDATE experiments SET stopped_us = 2"))
    await furnish(storage, SOURCES, 3)
    snapshot = await records.snapshot(storage, 4)
    assert [experiment.stopped_us for experiment in snapshot.experiments] == [2]


async def test_the_rule_comes_with_its_channel(storage: Storage) -> None:
    assert not (await furnish(storage, SOURCES[1:], 1)).alarmed
    exhibit = await furnish(storage, SOURCES, 2)
    assert exhibit.alarmed
    (rule,) = await rules.rules(storage)
    boss, _ = await accounts.user_by_email(storage, exhibit.administrator)
    assert (rule.name, rule.operator, rule.threshold, rule.action) == ("CPU over 80 %", Operator.GT, 80.0, Action.LOG)
    assert (rule.cooldown_s, rule.user_id) == (60, boss.id)
    assert (await records.snapshot(storage, 3)).events_by_id[rule.event_id].name == CPU_USAGE


async def test_a_rule_that_somebody_removed_stays_away(storage: Storage) -> None:
    await furnish(storage, SOURCES, 1)
    (rule,) = await rules.rules(storage)
    await rules.remove_rule(storage, rule.public_id)
    assert not (await furnish(storage, SOURCES, 2)).alarmed
    assert await rules.rules(storage) == []


async def test_a_rule_that_somebody_changed_stays_as_it_is(storage: Storage) -> None:
    await furnish(storage, SOURCES, 1)
    (rule,) = await rules.rules(storage)
    await rules.enable_rule(storage, rule.public_id, enabled=False)
    assert not (await furnish(storage, SOURCES, 2)).alarmed
    assert await rules.rules(storage) == [replace(rule, enabled=False)]


async def test_a_rule_of_that_name_is_enough(storage: Storage) -> None:
    """A start that was cut short has left the rule and not yet the channel."""
    event = await records.add_event(storage, name=CPU_USAGE, unit="%", now_us=1)
    own = await rules.add_rule(
        storage,
        name="CPU over 80 %",
        event=event,
        operator=Operator.GTE,
        threshold=81.0,
        action=Action.LOG,
        now_us=1,
    )
    assert (await furnish(storage, SOURCES, 2)).alarmed
    assert [rule.public_id for rule in await rules.rules(storage)] == [own]


async def test_an_administrator_who_is_there_is_enough(storage: Storage) -> None:
    await accounts.add_user(
        storage, email="boss@example.org", username="boss", password_hash="x", role=Role.ADMIN, now_us=1
    )
    exhibit = await furnish(storage, SOURCES, 2)
    assert (exhibit.administrator, exhibit.password) == ("boss@example.org", None)


def test_passwords_differ_and_can_be_typed() -> None:
    one, other = new_password(), new_password()
    assert one != other
    assert [len(group) for group in one.split("-")] == [5, 5, 5, 5]


def test_the_welcome_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [".venv/bin/webmacs", "demo"])
    exhibit = Exhibit("admin@webmacs.example", "secret", "wm_hidden", {"a": "1"})
    text = welcome("http://127.0.0.1:8000", exhibit, Path("demo/webmacs.toml")).plain
    assert "\n  .venv/bin/webmacs watch --config demo/webmacs.toml\n" in text
    assert "secret" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "wm_hidden" not in text
    assert "The rule" not in text
