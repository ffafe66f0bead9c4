"""`webmacs copy`: what is in one storage is in the other, with its ids, and it is shown."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Configure
from tests.cli.measured import SECOND, T0, found, held, inside, kind_of, put, store
from tests.cli.process import ended, started
from tests.cli.runner import complaint, on_terminal, run
from tests.conftest import Databases
from tests.handlers.rest import rest
from tests.plant import Plant, Server, furnish, running_server, settings_for
from tests.storage.rows import (
    DAY,
    log_entries,
    new_delivery,
    new_event,
    new_experiment,
    new_rule,
    new_webhook,
    record,
)
from webmacs import experiments
from webmacs.catalog import Snapshot
from webmacs.cli.setting import opened_storage
from webmacs.model import Actor, Role, Write
from webmacs.storage import accounts, copying, dashboards, notes, records, rules
from webmacs.storage.base import Commit, Row, Storage
from webmacs.storage.deliveries import deliver
from webmacs.storage.triggers import UNAUDITED

COUNT = 40


@pytest.fixture
def other_url(storage_url: str, tmp_path: Path, databases: Databases) -> Iterator[str]:
    """An empty storage of the other kind."""
    if storage_url.startswith("postgresql"):
        yield f"sqlite:///{tmp_path / 'other.db'}"
    else:
        with databases.empty() as url:
            yield url


@pytest.fixture
def installation(config: Path, storage_url: str, tmp_path: Path) -> Plant:
    """An installation with something in every table, and gaps where rows are gone."""

    async def fill() -> Plant:
        async with opened_storage(settings_for(storage_url, tmp_path), new=True) as storage:
            plant = await furnish(storage)
            await furnish_more(storage, plant)
            return plant

    return asyncio.run(fill())


async def furnish_more(storage: Storage, plant: Plant) -> None:
    admin, _ = await accounts.user_by_email(storage, plant.emails[Role.ADMIN])
    await accounts.revoke(storage, "a-jti", 2**52, 0)
    await accounts.add_user(
        storage, email="gone@example.org", username="gone", password_hash="x", role=Role.VIEWER, now_us=T0
    )
    await storage.write(Write("DELETE FROM users WHERE email = 'gone@example.org'"))
    gone = await new_event(storage, "Gone")
    event = next(iter((await records.snapshot(storage, T0)).events.values()))
    rule = await new_rule(storage, event, threshold=1e-300, user_id=admin.id)
    await storage.write(rules.fired({rule.id: T0}))
    webhook = await new_webhook(storage, "https://example.org/ö?a=b", secret="whsec_ö'\"\\ %s :a")
    deliveries = [new_delivery(webhook, payload='{"a": "100 %, :b \\\\ ☃"}') for _ in range(3)]
    await storage.write(deliver(deliveries), log_entries(f"entry {number}" for number in range(copying.PAGE + 7)))
    board = await dashboards.add_dashboard(storage, name="Mine", is_global=True, user_id=admin.id, now_us=T0)
    await dashboards.add_widget(
        storage,
        board.public_id,
        widget_type="gauge",
        title="Now",
        event=event.public_id,
        x=0,
        y=0,
        w=1,
        h=1,
        config_json=None,
        now_us=T0,
    )
    ran_us = (await records.experiment(storage, plant.experiment)).started_us
    await notes.add_note(storage, plant.experiment, text="ö'\"\\ %s :a", now_us=ran_us + 5, user_id=admin.id)
    await experiments.stop(storage, plant.experiment, now_us=T0 + 10**15)
    run = await new_experiment(storage)
    await experiments.stop(storage, run.public_id, now_us=T0 + 3 * DAY)
    rows = [(f"Sensor {number % 3}", T0 + number * DAY // 10, -number / 7) for number in range(COUNT)]
    snapshot = await records.snapshot(storage, T0)
    await put(storage, snapshot, [*rows, ("Gone", T0, 1.0)])
    await storage.append(Commit(2, 0, (), [record("a", 1), record("Z", 1), record("ä", 2, accepted=2**31 - 1)]))
    await records.drop_event(storage, gone.public_id)


async def tables(storage: Storage, _snapshot: Snapshot) -> dict[str, list[Row]]:
    """All rows of the configuration, straight from its tables."""
    return {
        table.name: sorted(await storage.fetch(f"SELECT * FROM {table.name}"), key=repr) for table in copying.TABLES
    }


def copied(config: Path, url: str) -> list[list[str]]:
    """The lines of the list that a copy prints."""
    result = run("copy", "--to", url, "--config", config)
    assert result.exit_code == 0, result.output
    return [line.split("\t") for line in result.stdout.splitlines()]


# -- whole ----------------------------------------------------------------------------------------------------------


def test_everything_is_there_with_its_ids(config: Path, installation: Plant, storage_url: str, other_url: str) -> None:
    before, readings = inside(storage_url, tables), held(storage_url)
    assert [name for name, rows in before.items() if not rows] == []
    copied(config, other_url)
    assert inside(other_url, tables) == before
    assert held(other_url) == readings
    assert len(readings) == COUNT
    assert inside(other_url, ids) == inside(storage_url, ids)
    assert (inside(storage_url, tables), held(storage_url)) == (before, readings)


async def ids(storage: Storage, snapshot: Snapshot) -> list[tuple[str, int | None]]:
    points = [point for event in snapshot.events_by_id for point in await storage.history(snapshot, event, limit=1_000)]
    return sorted((point.public_id, point.experiment.id if point.experiment else None) for point in points)


def test_a_copy_of_a_copy_is_what_was_copied_first(
    config: Path, configure: Configure, installation: Plant, storage_url: str, other_url: str, tmp_path: Path
) -> None:
    lines = copied(config, other_url)
    last = f"sqlite:///{tmp_path / 'last.db'}"
    assert copied(configure(other_url), last) == lines
    assert inside(last, tables) == inside(storage_url, tables)


def test_tables_and_days_are_listed_with_their_checksums(
    config: Path, installation: Plant, storage_url: str, other_url: str
) -> None:
    lines = copied(config, other_url)
    assert {
        (state, rows == rows_there, checksum == there) for state, _, rows, checksum, rows_there, there in lines
    } == {("same", True, True)}
    assert [what for _, what, *_ in lines] == [
        *(table.name for table in copying.TABLES),
        *("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"),
    ]
    assert [int(rows) for _, what, rows, *_ in lines if what.startswith("20")] == [10] * 4
    assert {what: int(rows) for _, what, rows, *_ in lines}["logs"] == len(inside(storage_url, tables)["logs"])


def test_ids_that_are_given_in_the_copy_are_new(
    config: Path, installation: Plant, storage_url: str, other_url: str
) -> None:
    """Also beside those of rows that were gone already."""

    async def reserved(storage: Storage, _snapshot: Snapshot) -> int:
        return await storage.reserve(1)

    async def grown(storage: Storage, _snapshot: Snapshot) -> tuple[int, int]:
        email = "new@example.org"
        await accounts.add_user(storage, email=email, username="new", password_hash="x", role=Role.VIEWER, now_us=T0)
        user, _ = await accounts.user_by_email(storage, email)
        return user.id, (await new_event(storage, "New")).id

    last_reading = inside(storage_url, reserved)
    given = inside(storage_url, lambda storage, _: copying.last_ids(storage))
    copied(config, other_url)
    assert inside(other_url, reserved) > last_reading
    assert inside(other_url, grown) == (given["users"] + 1, given["events"] + 1)


async def test_a_server_goes_on_with_the_copy(config: Path, storage_url: str, other_url: str, tmp_path: Path) -> None:
    async with opened_storage(settings_for(storage_url, tmp_path), new=True) as storage:
        plant = await furnish(storage)
        await put(storage, await records.snapshot(storage, T0), [("Sensor 0", T0, 1.5)])
    assert (await ended("copy", "--to", other_url, "--config", config, cwd=tmp_path)).code == 0
    async with running_server(settings_for(other_url, tmp_path), plant) as server:
        assert await server.login()
        event, *_ = plant.linked
        batch = {"datapoints": [server.reading(2.5, 0)]}
        assert (await rest(server, "POST", "/api/v1/datapoints/batch", batch, Role.OPERATOR)).status == 201
        latest = (await rest(server, "GET", "/api/v1/datapoints/latest")).body
        assert [point["value"] for point in latest if point["event_public_id"] == event] == [2.5]
        snapshot = await records.snapshot(server.parts.storage, T0)
        assert [reading.value for reading in await found(server.parts.storage, snapshot)] == [1.5, 2.5]


def test_readings_of_the_past_have_partitions_of_their_own(
    config: Path, installation: Plant, storage_url: str, other_url: str
) -> None:
    copied(config, other_url)
    if other_url.startswith("postgresql"):

        async def in_default(storage: Storage, _snapshot: Snapshot) -> int:
            ((number,),) = await storage.fetch("SELECT count(*) FROM datapoints_default")
            return int(number)

        assert inside(other_url, in_default) == 0


def test_an_installation_without_readings_is_one(config: Path, plant: Plant, storage_url: str, other_url: str) -> None:
    copied(config, other_url)
    assert inside(other_url, tables) == inside(storage_url, tables)


# -- refused --------------------------------------------------------------------------------------------------------


def test_a_target_that_is_not_empty_is_left_alone(
    config: Path, installation: Plant, storage_url: str, other_url: str
) -> None:
    copied(config, other_url)
    inside(other_url, lambda storage, _: new_event(storage, "Theirs"))
    before = inside(other_url, tables)
    text = complaint("copy", "--to", other_url, "--config", config)
    assert text.startswith("the target is not empty: there is something in users, plugins, api_tokens, ")
    assert inside(other_url, tables) == before


def test_nothing_is_copied_onto_itself(config: Path, installation: Plant, storage_url: str) -> None:
    assert complaint("copy", "--to", storage_url, "--config", config) == "--to: that is the installation itself"


def test_where_there_is_no_installation_nothing_is_copied(config: Path, other_url: str) -> None:
    assert "there is no installation yet" in complaint("copy", "--to", other_url, "--config", config)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nothing", "--to: there is no scheme in it"),
        ("oracle://somewhere", "--to: no 'oracle' is installed"),
        ("postgresql://127.0.0.1:1/none", "onnection refused"),
        ("sqlite:////nowhere/at/all.db", "there is no directory /nowhere/at"),
    ],
)
def test_a_target_that_cannot_be_is_said(config: Path, plant: Plant, url: str, words: str) -> None:
    assert words in complaint("copy", "--to", url, "--config", config)


def test_what_was_made_by_another_version_is_not_touched(
    config: Path, installation: Plant, storage_url: str, other_url: str
) -> None:
    async def age(storage: Storage, _snapshot: Snapshot) -> None:
        await storage.write(Write("UPDATE alembic_version SET version_num = '0001'"))

    inside(other_url, age)
    text = complaint("copy", "--to", other_url, "--config", config)
    assert text == "the target is not empty: there is an installation of another version"
    inside(storage_url, age)
    assert "the schema is at 0001, this program needs" in complaint("copy", "--to", other_url, "--config", config)


async def test_while_a_server_runs_nothing_is_copied(server: Server, configure: Configure, tmp_path: Path) -> None:
    config = configure(server.settings.storage.url)
    target = tmp_path / "other.db"
    result = await ended("copy", "--to", f"sqlite:///{target}", "--config", config, cwd=tmp_path)
    assert result.complaint.startswith("a server uses ")
    assert result.complaint.endswith("; stop it first")


# -- broken off -----------------------------------------------------------------------------------------------------


@pytest.fixture
def many(installation: Plant, storage_url: str) -> int:
    """So many readings that they take some commits."""
    store(storage_url, [("Sensor 0", T0 + 2 * DAY + number, float(number)) for number in range(30_000)])
    return COUNT + 30_000


def test_interrupted_it_goes_on_where_it_was(
    config: Path, many: int, storage_url: str, other_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, sizes = kind_of(other_url), list[int]()
    write, made = kind.write, copying.readings_of

    def noted(storage: Storage, datapoints: Any) -> Write:
        sizes.append(len(datapoints))
        return made(storage, datapoints)

    async def interrupted(self: Storage, *writes: Write, actor: Actor | None = None) -> int:
        if len(sizes) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
        return await write(self, *writes, actor=actor)

    monkeypatch.setattr(copying, "readings_of", noted)
    monkeypatch.setattr(kind, "write", interrupted)
    left = "stopped: run it again to go on; the target is of no use before"
    assert complaint("copy", "--to", other_url, "--config", config) == left
    monkeypatch.setattr(kind, "write", write)
    inside(storage_url, lambda storage, _: new_event(storage, "New since"))
    result = run("copy", "--to", other_url, "--config", config)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, "going on with a copy that broke off")
    assert sum(sizes) in {many, many + 8_000}  # the commit that was interrupted is stored, or it is not
    assert held(other_url) == held(storage_url)
    assert inside(other_url, tables) == inside(storage_url, tables)
    assert inside(other_url, lambda storage, _: copying.unfinished(storage)) is None


async def test_killed_it_goes_on_where_it_was(config: Path, storage_url: str, other_url: str, tmp_path: Path) -> None:
    async with opened_storage(settings_for(storage_url, tmp_path), new=True) as storage:
        await furnish(storage)
        rows = [("Sensor 0", T0 + number * SECOND, float(number)) for number in range(60_000)]
        await put(storage, await records.snapshot(storage, T0), rows)
    async with opened_storage(settings_for(other_url, tmp_path), new=True) as target:
        async with started("copy", "--to", other_url, "--config", config, cwd=tmp_path) as command:
            async with asyncio.timeout(60):
                while not await target.fetch("SELECT 1 FROM datapoints LIMIT 1"):
                    continue
            await command.stop(signal.SIGKILL)
        assert 0 < await target.count() < 60_000
        again = await ended("copy", "--to", other_url, "--config", config, cwd=tmp_path)
        assert again.code == 0, again
        assert await target.count() == 60_000


def test_a_copy_is_gone_on_with_from_the_same_place_only(
    config: Path, configure: Configure, installation: Plant, storage_url: str, other_url: str, tmp_path: Path
) -> None:
    inside(other_url, lambda storage, _: storage.write(copying.marked("another place", T0)))
    text = complaint("copy", "--to", other_url, "--config", config)
    assert text == "a copy of another place was begun in the target; drop the target, or give an empty one"


# -- not the same ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE datapoints SET value = -2 WHERE value = -1", "2026-01-01"),
        ("DELETE FROM datapoints WHERE value = -1", "2026-01-01"),
        ("UPDATE users SET password_hash = 'x' WHERE id = 1", "users"),
        ("UPDATE webhooks SET secret = NULL", "webhooks"),
    ],
)
def test_what_is_not_like_it_was_is_named(
    config: Path,
    installation: Plant,
    storage_url: str,
    other_url: str,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    what: str,
) -> None:
    made = copying.readings_of

    def spoiled(storage: Storage, datapoints: Any) -> Write:
        written.append(storage)
        return made(storage, datapoints)

    written: list[Storage] = []
    kind = kind_of(other_url)
    write = kind.write

    async def spoiling(self: Storage, *writes: Write, actor: Actor | None = None) -> int:
        changed = await write(self, *writes, actor=actor)
        if written:
            await write(self, Write(statement), actor=UNAUDITED)
        return changed

    monkeypatch.setattr(copying, "readings_of", spoiled)
    monkeypatch.setattr(kind, "write", spoiling)
    result = run("copy", "--to", other_url, "--config", config)
    assert result.exit_code == 1
    assert [line.split("\t")[1] for line in result.stdout.splitlines() if line.startswith("differs")] == [what]
    (text,) = result.stderr.splitlines()
    assert text.startswith(f"Error: the copy is not like what was copied: {what}. Was it changed meanwhile? Drop ")
    assert inside(other_url, lambda storage, _: copying.unfinished(storage)) is not None


def test_people_see_a_table(config: Path, installation: Plant, other_url: str, tmp_path: Path) -> None:
    shown = on_terminal("copy", "--to", other_url, "--config", config, cwd=tmp_path, width=100)
    assert any(line.split()[-3:] == ["What", "Rows", "Checksum"] for line in shown)
    assert any(line.split()[:3] == ["same", "plugins", "1"] for line in shown)
    assert any("Reading the copy" in line for line in shown)


async def test_a_copy_that_broke_off_is_not_served(config: Path, storage_url: str, tmp_path: Path) -> None:
    async with opened_storage(settings_for(storage_url, tmp_path), new=True) as storage:
        await storage.write(copying.marked("the old place", T0))
    refused = await ended("serve", "--config", config, cwd=tmp_path)
    assert refused.code == 1
    assert "this storage is a copy of the old place that broke off: run `webmacs copy` again, or drop it" in refused.err
