"""A plan on a real storage: all of it or nothing, and nothing when somebody was faster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.declaration.plants import NOW_US, after, carried_out, planned, stored
from webmacs.catalog import Snapshot
from webmacs.declaration.sources import Secrets
from webmacs.declaration.state import Present
from webmacs.errors import Conflict
from webmacs.model import Action, Operator, Role
from webmacs.storage import accounts, plugins, records, rules, webhooks
from webmacs.storage.base import Storage

BOSS = '[[users]]\nemail = "boss@example.org"\nrole = "admin"\npassword_env = "P"\n'
PLANT = f"""{BOSS}
[[events]]
name = "T"
unit = "°C"
min_value = -0.1
max_value = 100
public_id = "t-1"

[[plugins]]
instance_name = "Rig"
plugin_id = "rig"
config = {{ port = "ä" }}

[[plugins.channels]]
channel_id = "t"
event = "T"

[[rules]]
name = "Hot"
event = "T"
above = 80.1

[[webhooks]]
url = "https://example.org/a"
events = ["sensor.reading"]
secret_env = "S"
"""
OTHER = """
[[users]]
email = "boss@example.org"
username = "The boss"

[[events]]
name = "T"
type = "range"
max_value = 200

[[events]]
name = "New"
unit = "V"
min_value = 0
max_value = 1

[[plugins]]
instance_name = "Rig"
demo_mode = true
enabled = false
config = { port = "b" }

[[plugins.channels]]
channel_id = "t"
event = "New"
direction = "bidirectional"

[[plugins.channels]]
channel_id = "v"
event = ""

[[rules]]
name = "Hot"
event = "New"
outside = [1, 2]
action = "webhook"
emits = "experiment.started"
enabled = false
cooldown_s = 0

[[webhooks]]
url = "https://example.org/a"
events = ["experiment_started", "sensor.reading"]
enabled = false
"""
FIRST = Secrets({"webhooks[0]": "first"})


async def apply(storage: Storage, file: str, secrets: Secrets = FIRST) -> Present:
    """What there is to be afterwards."""
    there = await stored(storage)
    plan = planned(file, there, secrets)
    await carried_out(storage, plan)
    return after(there, plan)


def owners(catalog: Snapshot) -> set[int | None]:
    """Whose the instances, rules and webhooks are."""
    ids = [plugin.user_id for plugin in catalog.plugins] + [rule.user_id for rule in catalog.rules]
    return {*ids, *(webhook.user_id for webhook in catalog.webhooks)}


async def test_what_was_planned_is_there_afterwards(storage: Storage) -> None:
    for file in (PLANT, OTHER, PLANT + "\n"):
        assert await apply(storage, file) == await stored(storage)
        assert planned(file, await stored(storage), FIRST).changes == ()


async def test_new_things_belong_to_the_administrator_of_the_same_file(storage: Storage) -> None:
    await apply(storage, PLANT)
    catalog = await records.snapshot(storage, NOW_US)
    (boss,) = catalog.users.values()
    assert {event.user_public_id for event in catalog.events.values()} == {boss.public_id}
    assert owners(catalog) == {boss.id}


async def test_things_that_were_there_stay_whose_they_were(storage: Storage) -> None:
    without = PLANT.replace(BOSS, "")
    await apply(storage, without)
    await apply(storage, BOSS + without.replace("80.1", "90"))
    catalog = await records.snapshot(storage, NOW_US)
    assert [rule.threshold for rule in catalog.rules] == [90.0]
    assert owners(catalog) == {None}


async def test_an_old_secret_stays_good_beside_the_new_one(storage: Storage) -> None:
    await apply(storage, PLANT)
    there = await stored(storage)
    plan = planned(PLANT, there, Secrets({"webhooks[0]": "second"}))
    await carried_out(storage, plan, old_secrets_until_us=NOW_US + 1)
    (webhook,) = await webhooks.webhooks(storage)
    assert webhook.secrets(NOW_US) == ("second", "first")
    assert webhook.secrets(NOW_US + 1) == ("second",)


async def test_a_plan_of_nothing_writes_nothing(storage: Storage) -> None:
    await carried_out(storage, planned(""))
    assert await stored(storage) == Present()


# -- somebody is faster ---------------------------------------------------------------------------------------------


async def an_event(storage: Storage) -> None:
    await records.add_event(storage, name="New", unit="V", now_us=NOW_US)


async def an_event_of_that_id(storage: Storage) -> None:
    await records.add_event(storage, name="Else", unit="V", now_us=NOW_US, public_id="n-1")


async def a_rule(storage: Storage) -> None:
    await rules.add_rule(
        storage, name="Cold", event="t-1", operator=Operator.LT, threshold=1, action=Action.LOG, now_us=NOW_US
    )


async def a_user(storage: Storage) -> None:
    await accounts.add_user(
        storage, email="ann@example.org", username="x", password_hash="x", role=Role.ADMIN, now_us=NOW_US
    )


async def no_event(storage: Storage) -> None:
    await records.drop_event(storage, "t-1")


async def no_instance(storage: Storage) -> None:
    await plugins.remove_plugin(storage, (await stored(storage)).plugins["Rig"].public_id)


async def no_rule(storage: Storage) -> None:
    await rules.remove_rule(storage, (await stored(storage)).rules["Hot"].public_id)


async def another_rule(storage: Storage) -> None:
    await rules.change_rule(storage, (await stored(storage)).rules["Hot"].public_id, threshold=81.0)


async def another_link(storage: Storage) -> None:
    await storage.write(plugins.link_channel((await stored(storage)).channels["Rig", "t"].public_id, None))


async def another_webhook(storage: Storage) -> None:
    webhook = (await stored(storage)).webhooks["https://example.org/a"]
    await webhooks.enable_webhook(storage, webhook.public_id, enabled=False)


NEW = '[[events]]\nname = "New"\nunit = "V"\nmin_value = 0\nmax_value = 1\npublic_id = "n-1"\n'
COLD = '[[rules]]\nname = "Cold"\nevent = "T"\nbelow = 1\n'
ANN = '[[users]]\nemail = "ann@example.org"\npassword_env = "P"\n'
LINK = '[[plugins]]\ninstance_name = "Rig"\n[[plugins.channels]]\nchannel_id = "{}"\nevent = "{}"\n'
X = 'channel_name = "X"\nunit = "V"\n'
RACES = {
    "an event of that name": (NEW, an_event),
    "an event of that id": (NEW, an_event_of_that_id),
    "a rule of that name": (COLD, a_rule),
    "a user of that address": (ANN, a_user),
    "no event for a rule": (COLD, no_event),
    "no event for a rule that changes": (LINK.format("v", "T"), no_event),
    "no event for a channel": (LINK.format("x", "T") + X, no_event),
    "no instance for a channel": (LINK.format("x", "") + X, no_instance),
    "no rule to change": ('[[rules]]\nname = "Hot"\nabove = 1\n', no_rule),
    "a rule changed": ('[[rules]]\nname = "Hot"\ncooldown_s = 1\n', another_rule),
    "a channel linked": (LINK.format("t", "New"), another_link),
    "a webhook changed": (
        '[[webhooks]]\nurl = "https://example.org/a"\nevents = ["experiment.started"]\n',
        another_webhook,
    ),
}


@pytest.mark.parametrize(("file", "meanwhile"), RACES.values(), ids=RACES.keys())
async def test_who_was_faster_is_a_conflict_and_nothing_of_the_file_is_applied(
    storage: Storage, file: str, meanwhile: Callable[[Storage], Awaitable[None]]
) -> None:
    await apply(storage, PLANT)
    beside = '[[events]]\nname = "Beside"\nunit = "V"\nmin_value = 0\nmax_value = 1\n'
    more = NEW if "New" in file and file != NEW else ""
    plan = planned(beside + more + file, await stored(storage), FIRST)
    await meanwhile(storage)
    there = await stored(storage)
    with pytest.raises(Conflict, match=r"somebody changed the same things .* run it again"):
        await carried_out(storage, plan)
    assert await stored(storage) == there


async def test_of_two_who_each_take_one_of_the_last_two_administrators_the_second_is_refused(storage: Storage) -> None:
    await apply(storage, BOSS + ANN.replace("password", 'role = "admin"\npassword'))
    there = await stored(storage)
    down = '[[users]]\nemail = "{}@example.org"\nrole = "viewer"\n'
    first, second = (planned(down.format(name), there) for name in ("boss", "ann"))
    await carried_out(storage, first)
    with pytest.raises(Conflict):
        await carried_out(storage, second)
    assert (await stored(storage)).users["ann@example.org"].state.role is Role.ADMIN
