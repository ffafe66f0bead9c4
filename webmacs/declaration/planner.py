"""From a file and what is there to a plan, or to all that is wrong with the file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from webmacs.declaration.alarms import plan_rules, plan_webhooks
from webmacs.declaration.draft import Draft
from webmacs.declaration.events import all_events, plan_events
from webmacs.declaration.file import Declaration
from webmacs.declaration.instances import plan_instances
from webmacs.declaration.plan import Mode, Plan
from webmacs.declaration.problem import Refused
from webmacs.declaration.sources import Secrets
from webmacs.declaration.state import Present
from webmacs.declaration.users import first_administrator, plan_users
from webmacs.plugins.base import Device

NOTHING: Final = Secrets()


def make_plan(
    declaration: Declaration,
    there: Present,
    *,
    plugins: Mapping[str, type[Device]],
    new_id: Callable[[], str],
    secrets: Secrets = NOTHING,
    mode: Mode = Mode.BRING,
) -> Plan:
    """What has to be done. `plugins` are those that are installed, by id; `new_id` makes public ids.

    Raises:
        Refused: the file cannot be applied; all that is wrong with it.

    """
    draft = Draft(there, mode, new_id)
    draft.problems += secrets.problems
    passwords = plan_users(draft, declaration.users, secrets)
    plan_events(draft, declaration.events)
    plan_instances(draft, declaration.plugins, plugins)
    plan_rules(draft, declaration.rules)
    plan_webhooks(draft, declaration.webhooks, secrets)
    if draft.problems:
        raise Refused(draft.problems)
    return Plan(tuple(draft.steps), all_events(draft), first_administrator(draft), passwords)
