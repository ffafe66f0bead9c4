"""The audit log on each storage: whatever changes the configuration is written down with it, and stays written down."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.plant import furnish, now_us, settings_for
from tests.storage.rows import SOMEBODY, T0, commit, new_event, reading
from webmacs import experiments
from webmacs.errors import Conflict, InvalidRows
from webmacs.extensions import load_storage
from webmacs.model import Action, Actor, Operator, Role, Scalar, Scope, Write
from webmacs.storage import (
    accounts,
    audit,
    dashboards,
    history,
    migrate,
    notes,
    plugins,
    records,
    rules,
    triggers,
    webhooks,
)
from webmacs.storage.audit import Change, Setpoint, Wanted
from webmacs.storage.base import Storage
from webmacs.storage.triggers import AUDITED, UNAUDITED

pytestmark = pytest.mark.promise("P9")

SCHEMA = {
    "sqlite": "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c",
    "postgresql": "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'",
}
URL = "https://me:pa@ss@hooks.example.org:8443/services/T0/secret?token=secret#secret"


async def entries(storage: Storage, **wanted: str) -> list[Change]:
    """The oldest first."""
    return (await audit.page(storage, Wanted(**wanted), limit=1000))[::-1]


async def last(storage: Storage) -> Change:
    return (await audit.page(storage, Wanted(), limit=1))[0]


async def rule_on(storage: Storage, event: str, name: str = "Too hot") -> str:
    return await rules.add_rule(
        storage,
        name=name,
        event=event,
        operator=Operator.GT,
        threshold=80.0,
        action=Action.LOG,
        now_us=T0,
    )


# -- what is written down ----------------------------------------------------------------------------------------------


async def test_each_column_of_the_configuration_is_written_down_or_left_out_on_purpose(storage: Storage) -> None:
    found: dict[str, set[str]] = {}
    for table, column in await storage.fetch(SCHEMA[storage.scheme]):
        found.setdefault(table, set()).add(column)
    for audited in AUDITED:
        said = {*audited.plain, *audited.flags, *audited.secrets.values(), *audited.urls, *audited.others}
        said |= {column for _, column in audited.references.values()}
        assert said | {"id", "public_id"} == found[audited.table], audited.table


async def test_what_is_added_changed_and_removed_is_there_with_who_did_it(storage: Storage) -> None:
    event = await new_event(storage)
    tables = storage.signed(SOMEBODY)
    public_id = await rules.add_rule(
        tables, name="Hot", event=event.public_id, operator=Operator.GT, threshold=80, action=Action.LOG, now_us=T0
    )
    await rules.change_rule(tables, public_id, threshold=90.5, enabled=0)
    await rules.remove_rule(tables, public_id)
    added, changed, removed = await entries(storage, public_id=public_id)
    rule = {"name": "Hot", "operator": "gt", "threshold": 80, "threshold_high": None, "action": "log", "emits": None}
    whole = rule | {"cooldown_s": 60, "enabled": True, "event": event.public_id, "user": None}
    assert added.differences() == (None, whole)
    assert changed.differences() == ({"threshold": 80, "enabled": True}, {"threshold": 90.5, "enabled": False})
    assert removed.differences() == (whole | {"threshold": 90.5, "enabled": False}, None)
    for entry, action in ((added, "added"), (changed, "changed"), (removed, "removed")):
        assert (entry.actor, entry.action, entry.kind, entry.name) == (SOMEBODY, action, "rule", "Hot")
    assert T0 < added.time_us <= changed.time_us <= removed.time_us


async def test_every_kind_of_thing_is_written_down(storage: Storage) -> None:
    plant = await furnish(storage)
    user = (await accounts.users(storage))[0]
    await rule_on(storage, plant.linked[0])
    await webhooks.add_webhook(storage, url=URL, events=["sensor.reading"], now_us=T0)
    board = await dashboards.add_dashboard(storage, name="Wall", is_global=True, user_id=user.id, now_us=T0)
    await dashboards.add_widget(
        storage,
        board.public_id,
        widget_type="gauge",
        title="Dial",
        event=None,
        x=0,
        y=0,
        w=1,
        h=1,
        config_json=None,
        now_us=T0,
    )
    await notes.add_note(storage, plant.experiment, text="The valve sticks", now_us=now_us())
    assert {entry.kind for entry in await entries(storage)} == {audited.kind for audited in AUDITED}
    assert all(entry.action == "added" and entry.becomes is not None for entry in await entries(storage))


async def test_what_changes_nothing_is_not_written_down(storage: Storage) -> None:
    event = await new_event(storage)
    public_id = await rule_on(storage, event.public_id)
    before = await last(storage)
    await rules.change_rule(storage, public_id, threshold=80.0)
    await rules.change_rule(storage, public_id)
    await storage.write(accounts.hold_administrators())
    assert await last(storage) == before


async def test_bookkeeping_is_not_written_down(storage: Storage) -> None:
    await furnish(storage)
    before = await last(storage)
    (token, *_) = await accounts.tokens(storage)
    await storage.write(accounts.used({token.id: T0}))
    await storage.append(await commit(storage, 1, [reading(1.0, await new_event(storage))]))
    await accounts.revoke(storage, "jti", T0 * 2, T0)
    assert [entry.kind for entry in await entries(storage) if entry.id > before.id] == ["event"]


async def test_what_goes_with_something_else_is_written_down_too(storage: Storage) -> None:
    plant = await furnish(storage, events=1)
    await rule_on(storage, plant.linked[0])
    before = (await last(storage)).id
    await records.drop_event(storage.signed(SOMEBODY), plant.linked[0])
    found = {(entry.kind, entry.action): entry for entry in await entries(storage) if entry.id > before}
    assert found.keys() == {("event", "removed"), ("rule", "removed"), ("channel", "changed")}
    assert {entry.actor for entry in found.values()} == {SOMEBODY}
    assert found["rule", "removed"].was is not None
    assert found["rule", "removed"].was["event"] == "(removed)"
    assert found["channel", "changed"].differences() == ({"event": "(removed)"}, {"event": None})


async def test_a_reading_that_is_removed_is_written_down(storage: Storage) -> None:
    event = await new_event(storage)
    done = await commit(storage, 1, [reading(21.5, event)])
    await storage.append(done)
    (datapoint,) = await storage.history(await records.snapshot(storage, T0), event.id, limit=1)
    assert await history.remove(storage, datapoint, SOMEBODY, T0 + 5)
    entry = await last(storage)
    assert (entry.actor, entry.time_us, entry.action, entry.kind) == (SOMEBODY, T0 + 5, "removed", "datapoint")
    assert (entry.public_id, entry.name, entry.becomes) == (datapoint.public_id, event.name, None)
    assert entry.was == {"event": event.public_id, "time_us": T0, "value": 21.5}


async def test_a_transaction_that_fails_leaves_no_entry_and_no_signature(storage: Storage) -> None:
    event = await new_event(storage)
    before = await last(storage)
    taken = Write("INSERT INTO events SELECT * FROM events")
    with pytest.raises((Conflict, InvalidRows)):
        await storage.write(
            Write("UPDATE events SET unit = 'K' WHERE id = :id", ({"id": event.id},)), taken, actor=SOMEBODY
        )
    assert await last(storage) == before
    await records.change_event(storage, event.public_id, unit="bar")
    assert (await last(storage)).actor == Actor("the server")


# -- who it was --------------------------------------------------------------------------------------------------------


async def test_what_nobody_signs_was_the_server(storage: Storage) -> None:
    await new_event(storage)
    assert (await last(storage)).actor == Actor("the server")


async def test_one_who_writes_all_that_a_process_writes_is_said_once(storage: Storage) -> None:
    storage.actor = Actor("root at the command line")
    event = await new_event(storage)
    assert (await last(storage)).actor == storage.actor
    await records.change_event(storage.signed(SOMEBODY), event.public_id, unit="K")
    assert (await last(storage)).actor == SOMEBODY


async def test_a_name_may_hold_anything(storage: Storage) -> None:
    strange = Actor('o\'hara "x" \\ %s :name {} é 🚀', "%(id)s", "'; DROP TABLE users; --")
    event = await new_event(storage)
    await records.change_event(storage.signed(strange), event.public_id, name="'; \" %s :x ☃", unit="%")
    entry = await last(storage)
    assert entry.actor == strange
    assert entry.name == "'; \" %s :x ☃"


async def test_on_postgresql_somebody_with_sql_is_named(storage: Storage) -> None:
    if storage.scheme == "postgresql":
        await storage.write(Write("SET LOCAL application_name = 'psql'"), Write("UPDATE events SET unit = 'x'"))
        event = Write(
            "INSERT INTO events (public_id, name, min_value, max_value, unit, type, created_us)"
            " VALUES ('e', 'E', 0, 1, 'V', 'sensor', 0)"
        )
        await storage.write(Write("SET LOCAL application_name = 'psql'"), event)
        assert (await last(storage)).actor.name.endswith(" by SQL")
    else:  # there are no sessions that could have names
        await storage.write(
            Write(
                "INSERT INTO events (public_id, name, min_value, max_value, unit, type, created_us)"
                " VALUES ('e', 'E', 0, 1, 'V', 'sensor', 0)"
            )
        )
        assert (await last(storage)).actor.name == "the server"


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("S1")
async def test_of_secrets_only_that_they_changed_is_written_down(storage: Storage) -> None:
    await accounts.add_user(
        storage, email="a@example.org", username="ann", password_hash="secret-1", role=Role.VIEWER, now_us=T0
    )
    (user,) = await accounts.users(storage)
    await accounts.set_password(storage, user.id, "secret-2")
    await accounts.add_token(
        storage, user_id=user.id, name="rig", digest="secret-3", expires_us=None, now_us=T0, scope=Scope.READ
    )
    hook = await webhooks.add_webhook(storage, url=URL, events=["sensor.reading"], secret="secret-4", now_us=T0)
    await webhooks.change_secret(storage, hook, "secret-5", old_until_us=T0)
    await webhooks.change_webhook(storage, hook, url="http://secret-6@hooks.example.org:8443?secret-7")
    await plugins.add_plugin(storage, plugin_id="mqtt", instance_name="Broker", now_us=T0)
    (instance,) = await plugins.plugins(storage)
    for config in ('{"password": "secret-8"}', '{"password": "secret-9"}'):
        await plugins.change_plugin(storage, instance.public_id, config_json=config)
    found = await entries(storage)
    whole = json.dumps([[entry.name, entry.was, entry.becomes] for entry in found])
    assert "secret-" not in whole.replace('"secret": "', "")
    assert "pa@ss" not in whole
    assert "services" not in whole
    assert {entry.name for entry in found if entry.kind == "webhook"} == {"hooks.example.org:8443"}
    changes = [entry.differences()[1] for entry in found if entry.action == "changed"]
    assert changes == [
        {"password": "changed"},
        {"secret": "changed"},
        {"path": "changed"},
        {"config": "changed"},
        {"config": "changed"},
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://10.0.0.1", "10.0.0.1"),
        ("http://10.0.0.1/", "10.0.0.1"),
        ("https://[2001:db8::1]:8443/a@b", "[2001:db8::1]:8443"),
        ("https://user@example.org?x=a/b", "example.org"),
        ("https://u:p@w@example.org:1#/a@b", "example.org:1"),
        ("https://example.org/a?b=c://d@e", "example.org"),
        ("https:///no/host", ""),
    ],
)
async def test_of_a_url_only_the_host_is_written_down(storage: Storage, url: str, host: str) -> None:
    await webhooks.add_webhook(storage, url=url, events=[], now_us=T0)
    entry = await last(storage)
    assert entry.name == host
    assert entry.becomes is not None
    assert entry.becomes["url"] == host


# -- it stays ----------------------------------------------------------------------------------------------------------

ROW: dict[str, Scalar] = {"time_us": 1, "actor": "x", "action": "added", "kind": "rule", "public_id": "x", "name": "x"}
COLUMNS = ", ".join(ROW)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "UPDATE audit SET was = NULL WHERE id = (SELECT max(id) FROM audit)",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE time_us < 0 OR id > 0",
    ],
)
async def test_entries_cannot_be_changed_or_removed(storage: Storage, statement: str) -> None:
    await new_event(storage)
    before = await entries(storage)
    with pytest.raises(InvalidRows, match="can only be added to"):
        await storage.write(Write(statement))
    with pytest.raises(InvalidRows, match="can only be added to"):
        await storage.write(Write(statement), actor=SOMEBODY)
    assert await entries(storage) == before


async def test_entries_cannot_be_replaced_or_emptied(storage: Storage) -> None:
    await new_event(storage)
    before = await entries(storage)
    statement = "TRUNCATE audit"
    if storage.scheme == "sqlite":
        values = ", ".join(f":{name}" for name in ROW)
        statement = f"INSERT OR REPLACE INTO audit (id, {COLUMNS}) VALUES ({before[0].id}, {values})"
    with pytest.raises(InvalidRows, match="can only be added to"):
        await storage.write(Write(statement, (ROW if storage.scheme == "sqlite" else {},)))
    assert await entries(storage) == before


async def test_old_entries_go_when_that_is_wanted(storage: Storage) -> None:
    event = await new_event(storage)
    first = await last(storage)
    await records.change_event(storage, event.public_id, unit="K")
    second = await last(storage)
    await audit.expire(storage, second.time_us)
    left = await entries(storage)
    assert second in left
    assert all(entry.time_us >= second.time_us for entry in left)
    assert first.time_us >= second.time_us or first not in left


async def test_what_is_no_change_is_not_written_down(storage: Storage) -> None:
    event = await new_event(storage)
    before = await last(storage)
    await storage.write(Write("UPDATE events SET unit = 'x' WHERE id = :id", ({"id": event.id},)), actor=UNAUDITED)
    assert await last(storage) == before


# -- who reads it ------------------------------------------------------------------------------------------------------


async def test_the_newest_setpoint_of_each_event_is_found_and_nothing_that_was_measured(storage: Storage) -> None:
    event = await new_event(storage, "a")
    await records.change_event(storage, event.public_id, name="b")  # an entry about the event that is no setpoint
    given = [
        Setpoint(SOMEBODY, T0 + time_us, public_id, "name", None, value, measured_us)
        for time_us, public_id, value, measured_us in (
            (0, "long ago", 1.0, None),
            (5, "a", 1.0, None),
            (9, "a", 2.0, None),
            (7, "a", 3.5, None),  # the server's clock was set back
            (8, "a", 4.0, T0),
            (6, "b", 5.0, None),
            (9, "c", 6.0, T0 + 9),
        )
    ]
    await storage.write(audit.setpoints(given[:1]))
    await storage.write(audit.setpoints(given[1:]))
    assert await audit.newest_setpoints(storage, T0 + 1) == [("a", 3.5, T0 + 7), ("b", 5.0, T0 + 6)]
    assert await audit.newest_setpoints(storage, T0 + 10) == []
    (entry,) = await entries(storage, public_id="c")
    assert entry.becomes == {"value": 6.0, "measured_us": T0 + 9}


async def test_entries_are_found_by_what_who_and_kind(storage: Storage) -> None:
    event = await new_event(storage)
    await records.change_event(storage.signed(SOMEBODY), event.public_id, unit="K")
    run = await experiments.start(storage.signed(SOMEBODY), name="Run", now_us=T0)
    assert {entry.kind for entry in await entries(storage, actor=SOMEBODY.name)} == {"event", "experiment"}
    assert [entry.action for entry in await entries(storage, public_id=event.public_id)] == ["added", "changed"]
    (started,) = await entries(storage, kind="experiment", actor=SOMEBODY.name)
    assert started.public_id == run
    assert await audit.total(storage, Wanted(kind="event")) == 2
    assert [entry.id for entry in await audit.page(storage, Wanted(kind="event"), limit=1, offset=1)] == [
        (await entries(storage, kind="event"))[0].id
    ]


# -- installations from before -----------------------------------------------------------------------------------------


async def test_an_installation_from_before_begins_to_write_down_what_changes(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = tmp_path / "earlier"
    shutil.copytree(migrate.MIGRATIONS, earlier, ignore=shutil.ignore_patterns("__pycache__", "000[4-9]*"))
    with monkeypatch.context() as then:
        then.setattr(migrate, "MIGRATIONS", earlier)
        before = load_storage(settings_for(storage_url, tmp_path))
        await before.open()
        event = await new_event(before)
        await before.close()
    after = load_storage(settings_for(storage_url, tmp_path))
    await after.open()
    assert await entries(after) == []
    await records.change_event(after.signed(SOMEBODY), event.public_id, unit="K")
    (entry,) = await entries(after)
    assert (entry.actor, entry.differences()) == (SOMEBODY, ({"unit": event.unit}, {"unit": "K"}))
    await after.close()


async def test_the_next_migration_makes_the_triggers_anew(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = load_storage(settings_for(storage_url, tmp_path))
    await storage.open()
    event = await new_event(storage)
    await storage.close()
    later = tmp_path / "later"
    shutil.copytree(migrate.MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"))
    step = (later / "versions" / "0005_notes.py").read_text("utf-8").split("def upgrade")[0]
    step = step.replace("0005", "0006").replace("0004", "0005")
    added = 'from alembic import op\n\n\ndef upgrade():\n    op.execute("ALTER TABLE events ADD COLUMN colour text")\n'
    (later / "versions" / "0006_later.py").write_text(f"{step}\n{added}", "utf-8")
    monkeypatch.setattr(migrate, "MIGRATIONS", later)
    events = next(audited for audited in AUDITED if audited.table == "events")
    coloured = replace(events, plain=(*events.plain, "colour"))
    others = tuple(audited for audited in AUDITED if audited is not events)
    monkeypatch.setattr(triggers, "AUDITED", (*others, coloured))
    storage = load_storage(settings_for(storage_url, tmp_path))
    await storage.open()
    await records.change_event(storage, event.public_id, colour="red")
    assert (await last(storage)).differences() == ({"colour": None}, {"colour": "red"})
    assert len(await entries(storage, public_id=event.public_id)) == 2  # one trigger a table, not two
    await storage.close()
