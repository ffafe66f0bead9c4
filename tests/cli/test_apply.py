"""`webmacs apply`: a file is applied whole or not at all, once, and says what it does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cli.conftest import Configure, files_in
from tests.cli.hooks import change, snapshot
from tests.cli.process import ended
from tests.cli.runner import complaint, done, on_terminal, run
from tests.declaration.plants import stored
from tests.plant import PASSWORD, Plant, Server, settings_for
from tests.test_documents import ROOT
from webmacs.auth import Passwords
from webmacs.cli.setting import opened_storage
from webmacs.declaration.state import Present
from webmacs.model import Role, Write
from webmacs.storage import accounts, migrate
from webmacs.storage.base import Storage

EXAMPLE = ROOT / "examples" / "plant.toml"
SECRETS = {"ANN_PASSWORD": PASSWORD, "ALARM_SECRET": "CANARY-secret"}
SEEN_WITHIN_S = 20.0
PLANT = """
[[events]]
name = "Sensor 0"
unit = "mV"

[[plugins]]
instance_name = "Test rig"
enabled = false

[[plugins.channels]]
channel_id = "in1"
event = ""

[[rules]]
name = "Hot"
event = "Sensor 1"
above = 80

[[users]]
email = "viewer@example.org"
role = "operator"

[[webhooks]]
url = "https://user:CANARY-password@example.org/CANARY-path"
events = ["sensor.reading"]
"""


def present(url: str) -> Present:
    """What there is."""

    async def read() -> Present:
        async with opened_storage(settings_for(url, Path())) as storage:
            return await stored(storage)

    return asyncio.run(read())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file for the usual plant."""
    path = tmp_path / "plant.toml"
    path.write_text(PLANT, "utf-8")
    return path


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the example wants to know."""
    for name, text in SECRETS.items():
        monkeypatch.setenv(name, text)


# -- what it does ---------------------------------------------------------------------------------------------------


async def test_the_example_is_applied_once(config: Path, storage_url: str, tmp_path: Path) -> None:
    first = await ended("apply", EXAMPLE, "--config", config, cwd=tmp_path, **SECRETS)
    assert (first.code, first.err) == (0, "")
    assert first.out.splitlines()[-1] == "added 26, changed 0, left 0 as they were"
    async with opened_storage(settings_for(storage_url, tmp_path)) as storage:
        there = await stored(storage)
        user, password_hash = await accounts.user_by_email(storage, "ann@example.org")
    assert user.role is Role.ADMIN
    assert await Passwords(1, 1).verify(password_hash, PASSWORD)
    assert there.webhooks["https://alarms.example.org/webmacs"].state.secret == "CANARY-secret"
    assert there.channels["Reactor", "temp_reactor"].state.event == "reactor-temperature"
    again = await ended("apply", EXAMPLE, "--config", config, cwd=tmp_path, ALARM_SECRET=SECRETS["ALARM_SECRET"])
    assert (again.code, again.err) == (0, "")
    assert again.out == "nothing to do: 14 things, all as they are to be\n"
    async with opened_storage(settings_for(storage_url, tmp_path)) as storage:
        assert await stored(storage) == there


def test_each_change_is_said_and_secrets_are_not(config: Path, plant: Plant, file: Path) -> None:
    assert done("apply", file, "--config", config).splitlines() == [
        "~ user viewer@example.org: role viewer → operator",
        "~ event Sensor 0: unit V → mV",
        "~ plugin instance Test rig: switched on → off",
        "~ channel Test rig / in1: event Sensor 1 → no event",
        "+ rule Hot: Sensor 1 above 80 V, logs a warning",
        "+ webhook https://example.org/…: sensor.reading, not signed",
        "added 2, changed 4, left 0 as they were",
    ]
    assert done("apply", file, "--config", config) == "nothing to do: 6 things, all as they are to be\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("above = 80", "above = 90", "rule Hot: above 80 → above 90"),
        ("above = 80", "outside = [1, 2]\ncooldown_s = 5", "rule Hot: above 80 → outside 1 to 2, cooldown 60 s → 5 s"),
        (
            "above = 80",
            'action = "webhook"',
            "rule Hot: action logs a warning → tells webhooks of sensor.threshold_exceeded",
        ),
        ('event = "Sensor 1"', 'event = "Spare"', "rule Hot: event Sensor 1 → Spare"),
        ('unit = "mV"', "max_value = 5", "event Sensor 0: range 0 to 100 → 0 to 5"),
        ("enabled = false", 'config = { key = "CANARY" }', "plugin instance Test rig: config: changed"),
        ("enabled = false", "demo_mode = true", "plugin instance Test rig: demo mode off → on"),
        ('events = ["sensor.reading"]', 'secret_env = "S"', "webhook https://example.org/…: secret: changed"),
        ('role = "operator"', 'username = "Vi"', "user viewer@example.org: username viewer → Vi"),
        ('event = ""', 'event = "Spare"', "channel Test rig / in1: event no event → Spare"),
    ],
)
def test_a_difference_is_said_from_what_to_what(
    config: Path, plant: Plant, file: Path, old: str, new: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("apply", file, "--config", config)
    monkeypatch.setenv("S", "CANARY-secret")
    file.write_text(PLANT.replace(old, new), "utf-8")
    first, last = done("apply", file, "--config", config).splitlines()
    assert (first, last) == (f"~ {said}", "added 0, changed 1, left 5 as they were")


def test_what_is_new_and_off_is_said_to_be(config: Path, plant: Plant) -> None:
    off = '[[plugins]]\ninstance_name = "Bench"\nplugin_id = "system"\nenabled = false\ncatalog_channels = false\n'
    assert done("apply", "-", "--config", config, stdin=off).splitlines()[0] == "+ plugin instance Bench: system, off"


def test_programs_get_lines(config: Path, plant: Plant, file: Path) -> None:
    result = run("apply", file, "--lines", "--config", config)
    assert [line.split("\t") for line in result.stdout.splitlines()][1::3] == [
        ["change", "event", "Sensor 0", "unit V → mV"],
        ["add", "rule", "Hot", "Sensor 1 above 80 V, logs a warning"],
    ]
    assert result.stderr == "added 2, changed 4, left 0 as they were\n"


def test_on_a_terminal_it_reads_the_same(config: Path, plant: Plant, file: Path, tmp_path: Path) -> None:
    shown = on_terminal("apply", file, "--dry-run", "--config", config, cwd=tmp_path, width=100)
    assert shown == done("apply", file, "--dry-run", "--config", config).splitlines()


def test_what_a_file_has_in_a_name_is_no_order_to_the_terminal(config: Path, plant: Plant, file: Path) -> None:
    file.write_text(PLANT.replace('name = "Hot"', 'name = "Hot\\u001b[2J\\n+ x"'), "utf-8")
    assert (
        "+ rule Hot [2J + x: Sensor 1 above 80 V, logs a warning"
        in done("apply", file, "--config", config).splitlines()
    )


def test_only_what_is_missing_is_added(config: Path, plant: Plant, storage_url: str, file: Path) -> None:
    said = done("apply", file, "--only-missing", "--config", config)
    assert said.splitlines()[-1] == "added 2, changed 0, left 4 as they were"
    assert snapshot(storage_url).events[plant.linked[0]].unit == "V"


def test_a_file_may_come_by_standard_input(config: Path, plant: Plant, storage_url: str) -> None:
    done("apply", "-", "--config", config, stdin=PLANT)
    assert snapshot(storage_url).events[plant.linked[0]].unit == "mV"


# -- a dry run ------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_the_same_and_changes_nothing(config: Path, plant: Plant, storage_url: str, file: Path) -> None:
    before = present(storage_url)
    dry = done("apply", file, "--dry-run", "--config", config).splitlines()
    assert present(storage_url) == before
    assert dry[-1] == "would add 2, change 4, leave 0 as they are; a dry run changes nothing"
    assert done("apply", file, "--config", config).splitlines()[:-1] == dry[:-1]
    assert "nothing to do" in done("apply", file, "--dry-run", "--config", config)


def test_a_dry_run_makes_no_storage(configure: Configure, tmp_path: Path, secrets: None) -> None:
    config = configure("sqlite:///test.db")
    said = done("apply", EXAMPLE, "--dry-run", "--config", config)
    assert said.splitlines()[-1] == "would add 26, change 0, leave 0 as they are; a dry run changes nothing"
    assert files_in(tmp_path) == [config.name]


def test_a_dry_run_leaves_an_old_schema_as_it_is(config: Path, plant: Plant, storage_url: str, file: Path) -> None:
    async def age(storage: Storage) -> None:
        await storage.write(Write("UPDATE alembic_version SET version_num = '0001'"))

    change(storage_url, age)
    text = complaint("apply", file, "--dry-run", "--config", config)
    assert text.endswith(
        f"the schema is at 0001, this program needs {migrate.head()}: run `webmacs migrate` before a dry run"
    )


# -- what cannot be applied -----------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_said_a_line_each_and_nothing_is_applied(
    config: Path, plant: Plant, storage_url: str, file: Path
) -> None:
    before = present(storage_url)
    file.write_text(
        PLANT.replace('event = "Sensor 1"', 'event = "9\\n9"').replace('event = ""', 'event = "X"'), "utf-8"
    )
    result = run("apply", file, "--config", config)
    assert (result.exit_code, result.stdout) == (1, "")
    there = "neither in the installation nor in the file; there are 'Sensor 0', 'Sensor 1', 'Sensor 2', 'Spare'"
    assert result.stderr.splitlines() == [
        f"Error: {file}: plugins[0].channels[0].event: no event is called 'X', {there}",
        f"Error: {file}: rules[0].event: no event is called '9\\n9', {there}",
    ]
    assert present(storage_url) == before


def test_the_last_administrator_stays_one(config: Path, plant: Plant) -> None:
    down = '[[users]]\nemail = "admin@example.org"\nrole = "viewer"\n'
    text = complaint("apply", "-", "--config", config, stdin=down)
    assert (
        text == "standard input: users[0].role: admin@example.org would be viewer, and no administrator would be left"
    )


@pytest.mark.parametrize("text", ["[[events]", "x = 1", '[[users]]\nemail = "a@b"\npassword = "CANARY"'])
def test_what_is_no_such_file_is_refused_before_a_storage_is_looked_for(nowhere: Path, text: str) -> None:
    said = complaint("apply", "-", "--config", nowhere, stdin=text)
    assert said.startswith("standard input: ")
    assert "CANARY" not in said
    assert files_in(nowhere.parent) == [nowhere.name]


def test_a_file_that_is_not_there_is_named(nowhere: Path, tmp_path: Path) -> None:
    said = complaint("apply", tmp_path / "none.toml", "--config", nowhere)
    assert said == f"cannot read {tmp_path / 'none.toml'}: No such file or directory"


# -- beside others --------------------------------------------------------------------------------------------------


async def test_a_running_server_hears_of_it(server: Server, configure: Configure, file: Path, tmp_path: Path) -> None:
    config = configure(server.settings.storage.url)
    applied = await ended("apply", file, "--config", config, cwd=tmp_path)
    assert applied.code == 0, applied
    catalog = server.parts.catalog
    async with asyncio.timeout(SEEN_WITHIN_S):
        while not catalog.current.rules:  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.02)
    assert [rule.name for rule in catalog.current.rules] == ["Hot"]
    assert catalog.current.events[server.plant.linked[0]].unit == "mV"
    assert catalog.current.linked == {}


async def test_of_several_at_once_none_does_half_of_it(config: Path, storage_url: str, tmp_path: Path) -> None:
    await ended("migrate", "--config", config, cwd=tmp_path)
    runs = await asyncio.gather(
        *(ended("apply", EXAMPLE, "--config", config, cwd=tmp_path, **SECRETS) for _ in range(3))
    )
    assert [run.out.splitlines()[-1] for run in runs if "added 26" in run.out] == [
        "added 26, changed 0, left 0 as they were"
    ]
    for other in runs:
        if "added 26" not in other.out:
            assert "nothing to do" in other.out or "somebody changed the same things" in other.complaint
    last = await ended("apply", EXAMPLE, "--config", config, cwd=tmp_path, **SECRETS)
    assert last.out == "nothing to do: 14 things, all as they are to be\n"
