"""Files, and what becomes of a storage when a plan is carried out: the same in memory and in a real one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, TypeVar

from webmacs.declaration.file import Declaration, read
from webmacs.declaration.plan import Mode, Plan
from webmacs.declaration.planner import make_plan
from webmacs.declaration.problem import Refused
from webmacs.declaration.sources import Secrets
from webmacs.declaration.state import (
    ChannelState,
    EventState,
    PluginState,
    Present,
    RuleState,
    State,
    Thing,
    UserState,
    WebhookState,
    present,
)
from webmacs.declaration.writes import carry_out
from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, DeviceConfig, PluginDescription
from webmacs.storage import records
from webmacs.storage.base import Storage

S = TypeVar("S", bound=State)

NOW_US = 1_700_000_000_000_000
RIG = PluginDescription(
    *("rig", "Rig", "1", "WebMACS", "A rig for tests", None),
    (
        ChannelDescription("t", "Temperature", Direction.INPUT, "°C", 0.0, 100.0),
        ChannelDescription("v", "Valve", Direction.OUTPUT, "%", 0.0, 100.0),
    ),
)


class RigConfig(DeviceConfig):
    a: Any = None
    b: Any = None
    port: Any = None
    more: tuple[str, ...] = ()


class Rig(Device):
    description = RIG
    Config = RigConfig

    @classmethod
    def channels_of(cls, config: RigConfig) -> tuple[ChannelDescription, ...]:
        more = (ChannelDescription(name, name.upper(), Direction.INPUT, "", 0.0, 1.0) for name in config.more)
        return (*RIG.channels, *more)


PLUGINS = {"rig": Rig}
NO_SECRETS = Secrets()


def planned(
    file: str | Declaration, there: Present | None = None, secrets: Secrets = NO_SECRETS, mode: Mode = Mode.BRING
) -> Plan:
    """The plan of a file."""
    declaration = file if isinstance(file, Declaration) else read(file.encode())
    return make_plan(
        declaration,
        there or Present(),
        plugins=PLUGINS,
        new_id=lambda: str(uuid.uuid4()),
        secrets=secrets,
        mode=mode,
    )


def problems(
    file: str, there: Present | None = None, secrets: Secrets = NO_SECRETS, mode: Mode = Mode.BRING
) -> list[str]:
    """What is wrong with a file."""
    try:
        planned(file, there, secrets, mode)
    except Refused as error:
        return [str(problem) for problem in error.problems]
    return []


def after(there: Present, plan: Plan) -> Present:
    """What there is when a plan has been carried out."""
    instances = {thing.public_id: name for name, thing in there.plugins.items()}
    instances |= {step.public_id: step.name for step in plan.steps if isinstance(step.now, PluginState)}

    def of(kind: type[S]) -> Iterator[tuple[S, Thing[S]]]:
        return ((step.now, Thing(step.public_id, step.now)) for step in plan.steps if isinstance(step.now, kind))

    return Present(
        users={**there.users, **{now.email: thing for now, thing in of(UserState)}},
        events={**there.events, **{now.name: thing for now, thing in of(EventState)}},
        plugins={**there.plugins, **{now.instance_name: thing for now, thing in of(PluginState)}},
        channels={
            **there.channels,
            **{(instances[now.plugin], now.channel_id): thing for now, thing in of(ChannelState)},
        },
        rules={**there.rules, **{now.name: thing for now, thing in of(RuleState)}},
        webhooks={**there.webhooks, **{now.url: thing for now, thing in of(WebhookState)}},
    )


def having(*files: str, secrets: Secrets = NO_SECRETS) -> Present:
    """What there is when files have been applied to nothing, one after the other."""
    there = Present()
    for file in files:
        there = after(there, planned(file, there, secrets))
    return there


async def stored(storage: Storage) -> Present:
    """What there is in a storage."""
    return present(await records.snapshot(storage, NOW_US))


async def carried_out(storage: Storage, plan: Plan, **options: Any) -> None:
    """Carry out a plan; passwords are not what these tests are about."""
    hashes = {step.now.email: "x" for step in plan.steps if isinstance(step.now, UserState)}
    await carry_out(
        storage, plan, **{"password_hashes": hashes, "now_us": NOW_US, "old_secrets_until_us": 0, **options}
    )
