"""`webmacs audit`: who changed what, when, what it was before and what it is after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from webmacs.cli.listing import Entry, iso, lines_option, moment, show
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from
from webmacs.storage import audit
from webmacs.storage.audit import Change, Wanted

MOST: Final = 1000


@click.command()
@click.option("--kind", help="Only changes of this kind of thing: rule, event, user, webhook …")
@click.option("--id", "public_id", help="Only changes of the thing with this id.")
@click.option("--actor", help="Only what this one did, as the list names them.")
@click.option("--last", type=click.IntRange(1, MOST), default=50, show_default=True, help="How many at most.")
@lines_option
@config_option
@runs
async def command(
    kind: str | None, public_id: str | None, actor: str | None, last: int, lines: bool, config: Path | None
) -> None:
    """Show who changed what, when, from what to what.

    The last changes, the oldest of them first.

    \b
    Columns: time, actor, API token, what was done, kind of thing, id, name,
    before and after (JSON).
    \b
    Examples:
      webmacs audit
      webmacs audit --kind rule --last 10
      webmacs audit --actor ann@example.org --lines
    """  # noqa: D301 - click wants the character itself
    async with opened_storage(settings_from(config)) as storage:
        found = await audit.page(storage, Wanted(public_id, kind, actor), limit=last)
    show(("Time (UTC)", "What", "By"), [_entry(change) for change in reversed(found)], lines=lines)


def _entry(change: Change) -> Entry:
    was, becomes = change.differences()
    by = change.actor.name if change.actor.token_name is None else f"{change.actor.name} ({change.actor.token_name})"
    return Entry(
        cells=(
            (moment(change.time_us), "dim"),
            (f"{change.action} {change.kind} {change.name}", _STYLES.get(change.action, "")),
            (by, "cyan"),
        ),
        fields=(
            iso(change.time_us),
            change.actor.name,
            change.actor.token_name,
            change.action,
            change.kind,
            change.public_id,
            change.name,
            None if was is None else _json(was),
            None if becomes is None else _json(becomes),
        ),
        notes=_differences(was, becomes),
    )


def _differences(was: dict[str, Any] | None, becomes: dict[str, Any] | None) -> list[str]:
    """Of what was added or removed the name says enough; of a change, each difference."""
    if becomes is None or was is None:
        return [] if becomes is None or "value" not in becomes else [_json(becomes["value"])]
    return [f"{key}: {_json(was.get(key))} → {_json(value)}" for key, value in becomes.items()]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_STYLES: Final = {"added": "green", "removed": "red", "changed": "yellow", "set": "bold"}
