"""What `doctor` looks at in rules and webhooks: would anybody hear of an alarm?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from webmacs.catalog import Snapshot
from webmacs.cli.checks import Finding, Grade
from webmacs.cli.choice import short_id
from webmacs.cli.listing import count
from webmacs.cli.printable import printable
from webmacs.cli.receiver import doubt, named
from webmacs.cli.setting import suggested
from webmacs.config import Settings
from webmacs.model import Action, WebhookEvent
from webmacs.storage import records
from webmacs.storage.base import Storage
from webmacs.storage.tallies import tallies


async def alarms(settings: Settings, storage: Storage, now_us: int, config: Path | None) -> list[Finding]:
    """Rules whose alarms nobody hears, webhooks that get nothing, deliveries that were given up."""
    catalog = await records.snapshot(storage, now_us)
    return [*_rules(catalog), *await _webhooks(settings, storage, catalog, config)]


def _rules(catalog: Snapshot) -> Iterator[Finding]:
    off = sum(not rule.enabled for rule in catalog.rules)
    yield Finding(Grade.OK, "rules", f"{len(catalog.rules)}" + (f", {off} switched off" if off else ""))
    for rule in catalog.rules:
        told, name = rule.emits or WebhookEvent.THRESHOLD_EXCEEDED, printable(rule.name)
        event = catalog.events_by_id[rule.event_id]
        if not rule.enabled:
            continue
        if event.public_id not in catalog.linked:
            text = f"{name!r} watches {printable(event.name)}, of which nothing is stored"
            yield Finding(Grade.WARN, "rules", text, "link it to a channel of an enabled plugin instance")
        if rule.action is Action.WEBHOOK and not catalog.subscribers[told]:
            text = f"{name!r} tells nobody: no webhook that is switched on wants to hear of {told}"
            yield Finding(Grade.WARN, "rules", text, "add one")


async def _webhooks(settings: Settings, storage: Storage, catalog: Snapshot, config: Path | None) -> list[Finding]:
    states, enabled = await tallies(storage), [webhook for webhook in catalog.webhooks if webhook.enabled]
    doubts = await asyncio.gather(*(doubt(webhook.url, settings.webhooks) for webhook in enabled))
    findings = [Finding(Grade.OK, "webhooks", f"{len(catalog.webhooks)}")]
    for webhook, hindrance in zip(enabled, doubts, strict=True):
        if hindrance is not None:
            text = f"nothing arrives at {named(webhook)}: {hindrance}"
            findings.append(Finding(Grade.WARN, "webhooks", text, "correct it, or remove the webhook"))
    for webhook in catalog.webhooks:
        state = states.get(webhook.id)
        me = short_id(webhook.public_id)
        if not webhook.enabled:
            mend = f"{suggested(f'webhook enable {me}', config)} switches it on"
            findings.append(Finding(Grade.WARN, "webhooks", f"{named(webhook)} is switched off", mend))
        if state is not None and state.dead:
            text = f"{count(state.dead, 'delivery')} to {named(webhook)} given up"
            mend = f"{suggested(f'webhook deliveries {me} --status dead_letter', config)} says why"
            findings.append(Finding(Grade.WARN, "webhooks", text, mend))
    return findings
