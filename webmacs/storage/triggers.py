"""Triggers that write the audit log: whoever changes the configuration, by whichever way, it is written down with it.

A trigger on each table sees what a row was and what it becomes, in the transaction that changes it. Who that is, a
transaction says of itself before it begins. The triggers are made anew with every migration, so that the columns of a
table need to be named in one place, here; `storage/migrations` has the log itself, which can only be added to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from webmacs.model import Actor, Write

UNAUDITED: Final = Actor("unaudited")
"""For what is no change of configuration: a copy of a whole installation, old entries that go. Nothing is written down,
and entries may be removed.
"""

_USER: Final = ("users", "user_id")
_EVENT: Final = ("events", "event_id")


@dataclass(frozen=True)
class Audited:
    """A table and what is written down of its rows.

    `plain` are columns as they are, `flags` numbers that mean yes or no, `references` other rows, shown by their public
    id. Of `urls` only the host is shown, of `secrets` whether there is one, and that it changed. `others` is the rest
    of the columns: of no interest, or said by others.
    """

    table: str
    kind: str
    name: str
    plain: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    references: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


AUDITED: Final = (
    Audited(
        "users",
        "user",
        "email",
        plain=("email", "username", "role"),
        secrets={"password": "password_hash"},
        others=("session_version", "created_us"),
    ),
    Audited(
        "api_tokens",
        "token",
        "name",
        plain=("name", "scope", "expires_us"),
        references={"user": _USER, "plugin": ("plugins", "plugin_id")},
        secrets={"token": "digest"},
        others=("last_used_us", "created_us"),
    ),
    Audited(
        "events",
        "event",
        "name",
        plain=("name", "type", "unit", "min_value", "max_value"),
        references={"user": _USER},
        others=("created_us",),
    ),
    Audited(
        "plugins",
        "plugin",
        "instance_name",
        plain=("plugin_id", "instance_name"),
        flags=("enabled", "demo_mode"),
        references={"user": _USER},
        secrets={"config": "config_json"},  # people keep the passwords of their devices there
        others=("status", "error_message", "created_us", "updated_us"),
    ),
    Audited(
        "channels",
        "channel",
        "channel_name",
        plain=("channel_id", "channel_name", "direction", "unit"),
        references={"plugin": ("plugins", "plugin_id"), "event": _EVENT},
        others=("created_us",),
    ),
    Audited(
        "experiments",
        "experiment",
        "name",
        plain=("name", "started_us", "stopped_us"),
        references={"user": _USER},
    ),
    Audited(
        "notes",
        "note",
        "text",
        plain=("text", "time_us"),
        references={"experiment": ("experiments", "experiment_id"), "user": _USER},
        others=("created_us",),
    ),
    Audited(
        "rules",
        "rule",
        "name",
        plain=("name", "operator", "threshold", "threshold_high", "action", "emits", "cooldown_s"),
        flags=("enabled",),
        references={"event": _EVENT, "user": _USER},
        others=("created_us",),
    ),
    Audited(
        "webhooks",
        "webhook",
        "url",
        plain=("events",),
        flags=("enabled",),
        references={"user": _USER},
        secrets={"secret": "secret", "path": "url"},
        urls=("url",),
        others=("old_secret", "old_secret_until_us", "created_us"),
    ),
    Audited(
        "dashboards",
        "dashboard",
        "name",
        plain=("name",),
        flags=("is_global",),
        references={"user": _USER},
        others=("created_us",),
    ),
    Audited(
        "widgets",
        "widget",
        "title",
        plain=("title", "widget_type", "x", "y", "w", "h", "config_json"),
        references={"dashboard": ("dashboards", "dashboard_id"), "event": _EVENT},
        others=("created_us",),
    ),
)


def spelled(actor: Actor) -> str:
    """Who it is, as PostgreSQL's `webmacs.actor` has it."""
    return json.dumps([actor.name, actor.user_public_id, actor.token_name])


def signature(actor: Actor | None) -> Write | None:
    """Who it is, as SQLite's `acting` has it; None for nobody in particular."""
    if actor is None:
        return None
    row = {"name": actor.name, "user_public_id": actor.user_public_id, "token_name": actor.token_name}
    return Write("INSERT INTO acting VALUES (:name, :user_public_id, :token_name)", (row,))


def dropped(dialect: str) -> list[str]:
    """Statements that take the triggers away, if they are there."""
    names = (trigger for audited in AUDITED for trigger in _names(audited, dialect))
    of = " ON {}" if dialect == "postgresql" else ""
    return [f"DROP TRIGGER IF EXISTS {name}{of.format(table)}" for name, table in names]


def made(dialect: str) -> list[str]:
    """Statements that make them."""
    if dialect == "sqlite":
        return [statement for audited in AUDITED for statement in _sqlite(audited)]
    return [_FUNCTION, *map(_postgresql, AUDITED)]


def _names(audited: Audited, dialect: str) -> Iterator[tuple[str, str]]:
    endings = ("",) if dialect == "postgresql" else tuple(f"_{action}" for action in _ACTIONS)
    yield from ((f"audit_{audited.table}{ending}", audited.table) for ending in endings)


def _pairs(audited: Audited, this: str, other: str, flag: str, host: Callable[[str], str]) -> str:
    """The arguments of a function that makes a JSON object: what is written down of `this` row, beside `other`.

    A row is what its columns' names are appended to.
    """
    pairs = [(column, f"{this}{column}") for column in audited.plain]
    pairs += [(column, flag.format(f"{this}{column}")) for column in audited.flags]
    for key, (table, column) in audited.references.items():
        known = f"SELECT public_id FROM {table} WHERE id = {this}{column}"  # what goes with it may be gone already
        pairs.append((key, f"CASE WHEN {this}{column} IS NOT NULL THEN coalesce(({known}), '(removed)') END"))
    for key, column in audited.secrets.items():
        same = f"{this}{column} = {other}{column}"
        pairs.append((key, f"CASE WHEN {this}{column} IS NULL THEN NULL WHEN {same} THEN 'set' ELSE 'changed' END"))
    pairs += [(column, host(f"{this}{column}")) for column in audited.urls]
    return ", ".join(f"'{key}', {value}" for key, value in pairs)


# -- SQLite ------------------------------------------------------------------------------------------------------------

_ACTIONS: Final = {"added": "INSERT", "changed": "UPDATE", "removed": "DELETE"}
_NOW: Final = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_WHO: Final = "coalesce((SELECT name FROM acting), 'the server'), (SELECT user_public_id FROM acting)"


def _sqlite(audited: Audited) -> Iterator[str]:
    def seen(this: str, other: str) -> str:
        return f"json_object({_pairs(audited, this, other, _SQLITE_FLAG, _sqlite_host)})"

    for action, happens in _ACTIONS.items():
        row = "OLD." if action == "removed" else "NEW."
        was = "NULL" if action == "added" else seen("OLD.", "OLD.")
        becomes = "NULL" if action == "removed" else seen("NEW.", "OLD." if action == "changed" else "NEW.")
        name = _sqlite_host(f"{row}{audited.name}") if audited.name in audited.urls else f"{row}{audited.name}"
        differs = f" AND {was} <> {becomes}" if action == "changed" else ""
        yield (
            f"CREATE TRIGGER audit_{audited.table}_{action} AFTER {happens} ON {audited.table}"
            f" WHEN NOT EXISTS (SELECT 1 FROM acting WHERE name = '{UNAUDITED.name}'){differs}\n"
            "BEGIN\n"
            "    INSERT INTO audit (time_us, actor, user_public_id, token_name, action, kind, public_id, name,"
            " was, becomes)\n"
            f"    VALUES ({_NOW}, {_WHO}, (SELECT token_name FROM acting), '{action}', '{audited.kind}',"
            f" {row}public_id, coalesce({name}, ''),\n    {was},\n    {becomes});\n"
            "END"
        )


_SQLITE_FLAG: Final = "json(iif({}, 'true', 'false'))"


def _sqlite_host(url: str) -> str:
    """The host of a URL, without the names and passwords before it and the secrets behind it."""
    rest = f"substr({url}, instr({url}, '://') + 3)"
    authority = f"substr({rest}, 1, instr(replace(replace({rest}, '?', '/'), '#', '/') || '/', '/') - 1)"
    before = f"rtrim({authority}, replace({authority}, '@', ''))"
    return f"substr({authority}, length({before}) + 1)"


# -- PostgreSQL --------------------------------------------------------------------------------------------------------

_POSTGRESQL_FLAG: Final = "({} <> 0)"

_FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION webmacs_audit() RETURNS trigger LANGUAGE plpgsql AS $$
-- Arguments: what it is; a query that shows one row ($1) beside another ($2); which part of that is its name.
DECLARE
    actor json := nullif(current_setting('webmacs.actor', true), '')::json;
    acts text := coalesce(
        actor->>0,
        CASE current_setting('application_name') WHEN 'webmacs' THEN 'the server' ELSE session_user || ' by SQL' END
    );
    this record;
    was text;
    becomes text;
BEGIN
    IF acts = '{UNAUDITED.name}' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        this := NEW;
        EXECUTE TG_ARGV[1] INTO becomes USING NEW, NEW;
    ELSIF TG_OP = 'DELETE' THEN
        this := OLD;
        EXECUTE TG_ARGV[1] INTO was USING OLD, OLD;
    ELSE
        this := NEW;
        EXECUTE TG_ARGV[1] INTO was USING OLD, OLD;
        EXECUTE TG_ARGV[1] INTO becomes USING NEW, OLD;
        IF was = becomes THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO audit (time_us, actor, user_public_id, token_name, action, kind, public_id, name, was, becomes)
    VALUES (
        extract(epoch FROM clock_timestamp()) * 1000000, acts, actor->>1, actor->>2,
        CASE TG_OP WHEN 'INSERT' THEN 'added' WHEN 'DELETE' THEN 'removed' ELSE 'changed' END,
        TG_ARGV[0], this.public_id, coalesce(coalesce(becomes, was)::json->>TG_ARGV[2], ''), was, becomes
    );
    RETURN NULL;
END
$$"""


def _postgresql(audited: Audited) -> str:
    shown = _pairs(audited, "($1).", "($2).", _POSTGRESQL_FLAG, _postgresql_host)
    query = f"SELECT json_build_object({shown})".replace("'", "''")
    return (
        f"CREATE TRIGGER audit_{audited.table} AFTER INSERT OR UPDATE OR DELETE ON {audited.table}"
        f" FOR EACH ROW EXECUTE FUNCTION webmacs_audit('{audited.kind}', '{query}', '{audited.name}')"
    )


def _postgresql_host(url: str) -> str:
    """As `_sqlite_host`."""
    return f"substring({url} from '^[^:/?#]*://(?:[^/?#]*@)?([^/?#]*)')"
