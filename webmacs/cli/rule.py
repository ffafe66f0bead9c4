"""`webmacs rule …`: thresholds on events, on the storage itself. A running server sees a change within a second."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from webmacs.catalog import Snapshot
from webmacs.cli.access import first_administrator
from webmacs.cli.choice import Candidate, chosen, short_id, webhook_event
from webmacs.cli.condition import Bounds, condition_options, given_condition
from webmacs.cli.listing import Entry, ago, iso, lines_option, show
from webmacs.cli.printable import printable
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from, suggested
from webmacs.clock import SystemClock
from webmacs.errors import Conflict
from webmacs.model import Action, Event, Rule, WebhookEvent
from webmacs.pipeline.thresholds import words
from webmacs.storage import records, rules
from webmacs.storage.base import Storage

MAX_NAME: Final = 255
MAX_COOLDOWN_S: Final = 2**31 - 1
HEADINGS: Final = ("ID", "Rule", "State", "Cooldown", "Last fired")
_DEFAULT: Final = WebhookEvent.THRESHOLD_EXCEEDED


@click.group("rule")
def command() -> None:
    """Add, list and remove rules: alarms on thresholds.

    RULE is an id or its beginning, a name, or a part of the name that no other rule has.
    """


@command.command("add")
@click.argument("name")
@click.option("--event", required=True, help="What to watch: the name of an event, a part that no other has, or an id.")
@condition_options
@click.option(
    "--action",
    type=click.Choice([Action.LOG.value, Action.WEBHOOK.value]),
    default=Action.LOG.value,
    show_default=True,
    help="Write a warning into the log, or call the webhooks that want to hear of it.",
)
@click.option(
    "--emits",
    metavar="TYPE",
    help=f"What webhooks are told of. Default: {_DEFAULT}. Needs --action webhook.",
)
@click.option(
    "--cooldown",
    type=click.IntRange(0, MAX_COOLDOWN_S),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Once it has fired, not again for so long.",
)
@click.option("--disabled", is_flag=True, help="Leave it switched off for now.")
@config_option
@runs
async def add(
    name: str,
    event: str,
    action: str,
    emits: str | None,
    cooldown: int,
    disabled: bool,
    config: Path | None,
    **bounds: Bounds,
) -> None:
    """Add a rule; prints its id, alone, on standard output.

    \b
    Examples:
      webmacs rule add "Reactor too hot" --event "Reactor temperature" --above 80
      webmacs rule add Leak --event pressure --outside 0.8 1.2 --action webhook
    """  # noqa: D301 - click wants the character itself
    condition = given_condition(bounds)
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise click.ClickException(f"a rule's name has 1 to {MAX_NAME} printable characters")
    told = None if emits is None else webhook_event(emits)
    if told is not None and action != Action.WEBHOOK:
        raise click.UsageError("--emits is what webhooks are told of: add --action webhook")
    now_us = SystemClock().now_us()
    async with opened_storage(settings_from(config)) as storage:
        catalog = await records.snapshot(storage, now_us)
        watched, owner = find_event(catalog, event), first_administrator(catalog)
        try:
            public_id = await rules.add_rule(
                storage,
                name=name,
                event=watched.public_id,
                operator=condition.operator,
                threshold=condition.low,
                threshold_high=condition.high,
                action=Action(action),
                emits=told,
                enabled=not disabled,
                cooldown_s=cooldown,
                user_id=owner.id if owner else None,
                now_us=now_us,
            )
        except Conflict as error:
            raise Conflict(f"a rule called {name!r} exists already; choose another name, or remove it first") from error
    click.echo(public_id)
    _hint(catalog, watched, (told or _DEFAULT) if action == Action.WEBHOOK else None, config)


@command.command("list")
@lines_option
@config_option
@runs
async def listed(lines: bool, config: Path | None) -> None:
    """List all rules, the oldest first.

    Columns of lines: id, name, event, condition with unit, action, what webhooks are told of, cooldown in seconds, when
    it last fired, on or off.
    """
    now_us = SystemClock().now_us()
    async with opened_storage(settings_from(config)) as storage:
        catalog = await records.snapshot(storage, now_us)
    show(HEADINGS, [_entry(rule, catalog, now_us) for rule in catalog.rules], lines=lines)
    if not catalog.rules:
        click.echo(f"no rules yet; {suggested('rule add --help', None)} says how to make one", err=True)


@command.command("remove")
@click.argument("rule")
@config_option
@runs
async def remove(rule: str, config: Path | None) -> None:
    """Remove a rule; what it has written into the log stays."""
    async with opened_storage(settings_from(config)) as storage:
        found, catalog = await _found(storage, rule)
        await rules.remove_rule(storage, found.public_id)
    click.echo(f"removed {found.name!r}: {describe(found, catalog)}", err=True)


@command.command("enable")
@click.argument("rule")
@config_option
@runs
async def enable(rule: str, config: Path | None) -> None:
    """Switch a rule on."""
    await _switch(rule, config, enabled=True)


@command.command("disable")
@click.argument("rule")
@config_option
@runs
async def disable(rule: str, config: Path | None) -> None:
    """Switch a rule off; it stays where it is."""
    await _switch(rule, config, enabled=False)


async def _switch(rule: str, config: Path | None, *, enabled: bool) -> None:
    async with opened_storage(settings_from(config)) as storage:
        found, catalog = await _found(storage, rule)
        await rules.enable_rule(storage, found.public_id, enabled=enabled)
    click.echo(f"switched {'on' if enabled else 'off'} {found.name!r}: {describe(found, catalog)}", err=True)


def describe(rule: Rule, catalog: Snapshot) -> str:
    """What a rule watches, and what it does then."""
    event = catalog.events_by_id[rule.event_id]
    does = f"tells webhooks of {_told(rule)}" if rule.action is Action.WEBHOOK else "logs a warning"
    return printable(f"{event.name} {fires_when(rule, event.unit)}, {does}")


def fires_when(rule: Rule, unit: str) -> str:
    """A rule's condition as a person reads it, with the unit."""
    return f"{words(rule)} {unit}".rstrip()


def find_event(catalog: Snapshot, wanted: str) -> Event:
    """The event that is meant. Raises as `chosen` does."""
    events = [Candidate(event, event.public_id, event.name, event.name) for event in catalog.events.values()]
    return chosen("event", wanted, events)


async def _found(storage: Storage, wanted: str) -> tuple[Rule, Snapshot]:
    catalog = await records.snapshot(storage, SystemClock().now_us())
    return chosen(
        "rule", wanted, [Candidate(rule, rule.public_id, rule.name, rule.name) for rule in catalog.rules]
    ), catalog


def _told(rule: Rule) -> WebhookEvent:
    return rule.emits or _DEFAULT


def _entry(rule: Rule, catalog: Snapshot, now_us: int) -> Entry:
    event = catalog.events_by_id[rule.event_id]
    told = _told(rule).value if rule.action is Action.WEBHOOK else ""
    state = "on" if rule.enabled else "off"
    return Entry(
        cells=(
            (short_id(rule.public_id), "dim"),
            (rule.name, "bold" if rule.enabled else "dim"),
            (state, "green" if rule.enabled else "yellow"),
            (f"{rule.cooldown_s} s", ""),
            (ago(rule.last_triggered_us, now_us), ""),
        ),
        notes=(describe(rule, catalog),),
        fields=(
            rule.public_id,
            rule.name,
            event.name,
            fires_when(rule, event.unit),
            rule.action.value,
            told,
            rule.cooldown_s,
            iso(rule.last_triggered_us),
            state,
        ),
    )


def _hint(catalog: Snapshot, event: Event, told: WebhookEvent | None, config: Path | None) -> None:
    """What still hinders a rule."""
    if event.public_id not in catalog.linked:
        click.echo(
            f"note: {printable(event.name)} is linked to no channel of an enabled plugin instance: nothing comes",
            err=True,
        )
    if told is not None and not catalog.subscribers[told]:
        mend = suggested(f"webhook add URL --event {told}", config)
        click.echo(f"note: no webhook wants to hear of {told} yet; {mend}", err=True)
