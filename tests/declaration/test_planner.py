"""From a file and what is there to a plan: what is new, what changes, what stays, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.declaration.plants import NO_SECRETS, having, planned, problems
from webmacs.declaration.plan import Mode, Plan, Verdict
from webmacs.declaration.problem import Problem
from webmacs.declaration.sources import Secrets
from webmacs.declaration.state import (
    ChannelState,
    EventState,
    PluginState,
    Present,
    RuleState,
    UserState,
    WebhookState,
)
from webmacs.model import Action, Direction, Operator, Role, WebhookEvent

BOSS = '[[users]]\nemail = "boss@example.org"\nrole = "admin"\npassword_env = "P"\n'
TEMPERATURE = '[[events]]\nname = "T"\nunit = "°C"\nmin_value = 0\nmax_value = 100\npublic_id = "t-1"\n'
RIG = '[[plugins]]\ninstance_name = "Rig"\nplugin_id = "rig"\n'
HOT = '[[rules]]\nname = "Hot"\nevent = "T"\nabove = 80\n'
HOOK = '[[webhooks]]\nurl = "https://example.org/a"\nevents = ["sensor.reading"]\n'
ALL = BOSS + TEMPERATURE + RIG + HOT + HOOK
RIG_T, RIG_V = "Rig \N{EN DASH} Temperature", "Rig \N{EN DASH} Valve"


def verdicts(plan: Plan) -> dict[str, Verdict]:
    return {step.name: step.verdict for step in plan.steps}


def changed(plan: Plan) -> dict[str, Any]:
    """What the things that change will be, by name."""
    return {step.name: step.now for step in plan.changes}


# -- what is new ----------------------------------------------------------------------------------------------------


def test_what_is_missing_is_added() -> None:
    plan = planned(ALL)
    assert set(verdicts(plan).values()) == {Verdict.ADD}
    states = changed(plan)
    assert states["boss@example.org"] == UserState("boss@example.org", "boss", Role.ADMIN)
    assert states["T"] == EventState("T", "°C", "sensor", 0.0, 100.0)
    assert states["Rig"] == PluginState("Rig", "rig", demo_mode=False, enabled=True, config_json=None)
    assert states["Hot"] == RuleState("Hot", "t-1", Operator.GT, 80.0, None, Action.LOG, None, True, 60)
    assert states["https://example.org/a"] == WebhookState("https://example.org/a", ("sensor.reading",), True, None)


def test_an_instance_comes_with_the_channels_of_its_plugin_and_events_for_them() -> None:
    plan = planned(RIG)
    assert list(verdicts(plan)) == ["Rig", RIG_T, RIG_V, "Rig / t", "Rig / v"]
    ids = {step.name: step.public_id for step in plan.steps}
    states = changed(plan)
    assert states[RIG_V] == EventState(RIG_V, "%", "actuator", 0.0, 100.0)
    assert states["Rig / v"] == ChannelState(ids["Rig"], "v", "Valve", Direction.OUTPUT, "%", ids[RIG_V])


def test_a_channel_that_is_linked_by_the_file_brings_no_event() -> None:
    link = '[[plugins.channels]]\nchannel_id = "t"\nevent = "T"\n[[plugins.channels]]\nchannel_id = "v"\nevent = ""\n'
    plan = planned(TEMPERATURE + RIG + link)
    assert list(verdicts(plan)) == ["T", "Rig", "Rig / t", "Rig / v"]
    assert (changed(plan)["Rig / t"].event, changed(plan)["Rig / v"].event) == ("t-1", None)


def test_an_event_that_is_called_like_that_of_a_channel_is_used() -> None:
    named = f'[[events]]\nname = "{RIG_T}"\nunit = "K"\nmin_value = 0\nmax_value = 1\npublic_id = "own"\n'
    for plan in (planned(named + RIG), planned(RIG, having(named))):
        assert changed(plan)["Rig / t"].event == "own"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("catalog_channels = false", ["Rig"]),
        ("auto_create_events = false", ["Rig", "Rig / t", "Rig / v"]),
    ],
)
def test_channels_and_events_come_only_if_they_are_wanted(line: str, names: list[str]) -> None:
    assert list(verdicts(planned(f"{RIG}{line}\n"))) == names


def test_a_channel_may_be_one_that_the_catalogue_does_not_have() -> None:
    own = '[[plugins.channels]]\nchannel_id = "x"\nchannel_name = "X"\nunit = "V"\ndirection = "output"\nevent = "T"\n'
    state = changed(planned(TEMPERATURE + RIG + own))["Rig / x"]
    assert (state.channel_name, state.unit, state.direction, state.event) == ("X", "V", Direction.OUTPUT, "t-1")


def test_a_plugin_may_be_installed_where_the_device_is_and_not_here() -> None:
    own = '[[plugins.channels]]\nchannel_id = "x"\nchannel_name = "X"\nunit = "V"\n'
    plan = planned(f'[[plugins]]\ninstance_name = "Far"\nplugin_id = "far"\ncatalog_channels = false\n{own}')
    assert list(verdicts(plan)) == ["Far", "Far / x"]
    assert changed(plan)["Far"].plugin_id == "far"


def test_a_channel_may_be_linked_to_an_event_that_comes_with_an_instance_further_down() -> None:
    first = '[[plugins]]\ninstance_name = "Other"\nplugin_id = "rig"\ncatalog_channels = false\n'
    link = f'[[plugins.channels]]\nchannel_id = "t"\nevent = "{RIG_T}"\n'
    plan = planned(first + link + RIG)
    assert changed(plan)["Other / t"].event == changed(plan)["Rig / t"].event


def test_a_rule_may_watch_what_comes_with_an_instance() -> None:
    plan = planned(f'{RIG}[[rules]]\nname = "Hot"\nevent = "{RIG_T}"\nabove = 1\n')
    assert plan.events[changed(plan)["Hot"].event].name == RIG_T


def test_new_things_belong_to_the_first_administrator() -> None:
    plan = planned(ALL)
    assert plan.owner == next(step.public_id for step in plan.steps if step.name == "boss@example.org")
    assert planned(TEMPERATURE, having(BOSS)).owner is not None
    assert planned(TEMPERATURE).owner is None


# -- what is there --------------------------------------------------------------------------------------------------


def test_the_second_time_there_is_nothing_to_do() -> None:
    plan = planned(ALL, having(ALL))
    assert plan.changes == ()
    assert set(verdicts(plan).values()) == {Verdict.KEEP}


def test_what_the_file_does_not_say_stays() -> None:
    there = having(ALL, '[[rules]]\nname = "Hot"\ncooldown_s = 5\nenabled = false\n')
    bare = '[[users]]\nemail = "boss@example.org"\n[[events]]\nname = "T"\n[[plugins]]\ninstance_name = "Rig"\n'
    bare += '[[rules]]\nname = "Hot"\n[[webhooks]]\nurl = "https://example.org/a"\n'
    assert planned(bare, there).changes == ()
    assert planned("", there).steps == ()


@pytest.mark.parametrize(
    ("file", "name", "aspects"),
    [
        ('[[users]]\nemail = "BOSS@example.org"\nusername = "Bo"', "boss@example.org", {"username": "Bo"}),
        ('[[events]]\nname = "T"\nunit = "K"\ntype = "range"', "T", {"unit": "K", "type": "range", "max_value": 100.0}),
        ('[[events]]\nname = "T"\nmax_value = 7', "T", {"min_value": 0.0, "max_value": 7.0}),
        ('[[plugins]]\ninstance_name = "Rig"\nenabled = false', "Rig", {"enabled": False, "plugin_id": "rig"}),
        ('[[plugins]]\ninstance_name = "Rig"\nconfig = { a = [1] }', "Rig", {"config_json": '{"a": [1]}'}),
        ('[[rules]]\nname = "Hot"\nabove = 90', "Hot", {"operator": Operator.GT, "threshold": 90.0}),
        ('[[rules]]\nname = "Hot"\noutside = [1, 2]', "Hot", {"operator": Operator.NOT_BETWEEN, "threshold_high": 2.0}),
        (
            '[[rules]]\nname = "Hot"\naction = "webhook"\nemits = "sensor.reading"',
            "Hot",
            {"emits": WebhookEvent.READING},
        ),
        ('[[webhooks]]\nurl = "https://example.org/a"\nenabled = false', "https://example.org/a", {"enabled": False}),
    ],
)
def test_what_is_otherwise_than_the_file_says_changes(file: str, name: str, aspects: dict[str, object]) -> None:
    plan = planned(file, having(ALL))
    (now,) = changed(plan).values()
    assert list(changed(plan)) == [name]
    assert {aspect: getattr(now, aspect) for aspect in aspects} == aspects


def test_a_range_that_becomes_a_threshold_has_no_upper_bound() -> None:
    there = having(ALL, '[[rules]]\nname = "Hot"\nbetween = [1, 2]\n')
    now = changed(planned('[[rules]]\nname = "Hot"\nbelow = 3\n', there))["Hot"]
    assert (now.operator, now.threshold, now.threshold_high) == (Operator.LT, 3.0, None)


def test_a_channel_can_be_linked_to_another_event_and_to_none() -> None:
    there = having(TEMPERATURE + RIG)
    link = '[[plugins]]\ninstance_name = "Rig"\n[[plugins.channels]]\nchannel_id = "t"\nevent = "{}"\n'
    assert changed(planned(link.format("T"), there))["Rig / t"].event == "t-1"
    assert changed(planned(link.format(""), there))["Rig / t"].event is None
    assert planned(link.format(RIG_T), there).changes == ()


def test_channels_that_somebody_removed_do_not_come_back_by_themselves() -> None:
    there = having(RIG)
    without = Present(plugins=there.plugins, events=there.events)
    assert planned(RIG, without).changes == ()
    named = f'{RIG}[[plugins.channels]]\nchannel_id = "t"\n'
    assert changed(planned(named, without))["Rig / t"].event == there.events[RIG_T].public_id


def test_a_new_instance_has_the_channels_that_its_configuration_brings() -> None:
    plan = planned(f'{RIG}config = {{ more = ["x"] }}\n')
    assert [name for name in verdicts(plan) if "/" in name] == ["Rig / t", "Rig / v", "Rig / x"]
    states = changed(plan)
    assert (states["Rig / x"].channel_name, states["Rig / x"].direction) == ("X", Direction.INPUT)


def test_a_channel_that_a_configuration_has_brought_later_can_be_named() -> None:
    there = having(RIG)
    named = '[[plugins.channels]]\nchannel_id = "x"\n'
    states = changed(planned(f'{RIG}config = {{ more = ["x"] }}\n{named}', there))
    assert states["Rig / x"].channel_name == "X"
    stored = having(f'{RIG}config = {{ more = ["x"] }}\n')
    without = replace(stored, channels={}, events={})
    assert changed(planned(f"{RIG}{named}", without))["Rig / x"].channel_name == "X"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{ nonsense = 1 }", "plugins[0].config: nonsense: unknown key"),
        ('{ more = ["t"] }', "plugins[0].config: plugin 'rig' has two channels with the channel_id 't'"),
        ('{ more = ["x", 1] }', "plugins[0].config: more.1: Input should be a valid string"),
    ],
)
def test_a_configuration_that_the_plugin_refuses_is_a_problem(config: str, said: str) -> None:
    for there in (None, having(RIG)):
        assert problems(f"{RIG}config = {config}\n", there) == [said]


@pytest.mark.parametrize("config", ["{ a = 1, b = 2 }", "{ b = 2, a = 1.0 }"])
def test_a_configuration_that_means_the_same_is_the_same(config: str) -> None:
    assert planned(f"{RIG}config = {config}\n", having(f"{RIG}config = {{ a = 1, b = 2 }}\n")).changes == ()


def test_a_configuration_that_cannot_be_read_is_replaced() -> None:
    there = having(RIG)
    broken = replace(there.plugins["Rig"], state=replace(there.plugins["Rig"].state, config_json="{"))
    plan = planned(f"{RIG}config = {{ a = 1 }}\n", Present(plugins={"Rig": broken}))
    assert changed(plan)["Rig"].config_json == '{"a": 1}'


def test_what_a_webhook_wants_to_hear_of_has_no_order() -> None:
    there = having('[[webhooks]]\nurl = "http://h"\nevents = ["sensor.reading", "experiment.started"]\n')
    other = '[[webhooks]]\nurl = "http://h"\nevents = ["experiment.started", "sensor.reading"]\n'
    assert planned(other, there).changes == ()


def test_another_secret_is_a_change_and_none_is_not() -> None:
    first, second = Secrets({"webhooks[0]": "one"}), Secrets({"webhooks[0]": "two"})
    there = having(HOOK, secrets=first)
    assert planned(HOOK, there, first).changes == ()
    assert planned(HOOK, there, NO_SECRETS).changes == ()
    (now,) = changed(planned(HOOK, there, second)).values()
    assert now.secret == "two"
    assert "two" not in repr(planned(HOOK, there, second))


def test_a_password_is_for_a_new_user_alone() -> None:
    secrets = Secrets({"users[0]": "correct horse"})
    assert planned(BOSS, Present(), secrets).passwords == {"boss@example.org": "correct horse"}
    assert planned(BOSS, having(BOSS), secrets).passwords == {}
    assert "correct horse" not in repr(planned(BOSS, Present(), secrets))


# -- what is missing, and no more -----------------------------------------------------------------------------------


def test_in_the_other_mode_what_is_there_stays_as_it_is() -> None:
    there = having(ALL)
    other = (
        ALL.replace("80", "1").replace("°C", "K").replace('["sensor.reading"]', '["experiment.started"]')
        + '[[events]]\nname = "New"\nunit = "V"\nmin_value = 0\nmax_value = 1\n'
    )
    assert len(planned(other, there).changes) == 4
    plan = planned(other, there, mode=Mode.ADD)
    assert [(step.name, step.verdict) for step in plan.changes] == [("New", Verdict.ADD)]


def test_in_the_other_mode_an_instance_that_is_there_gets_the_channels_that_it_lacks() -> None:
    more = (
        f'{RIG}enabled = false\n[[plugins.channels]]\nchannel_id = "x"\nchannel_name = "X"\nunit = "V"\nevent = "T"\n'
    )
    more += '[[plugins.channels]]\nchannel_id = "t"\nevent = "T"\n'
    plan = planned(more, having(TEMPERATURE + RIG), mode=Mode.ADD)
    assert [(step.name, step.verdict) for step in plan.changes] == [("Rig / x", Verdict.ADD)]


def test_in_the_other_mode_what_could_not_be_changed_is_no_matter() -> None:
    other = '[[events]]\nname = "T"\npublic_id = "other"\nmin_value = 900\n'
    other += '[[plugins]]\ninstance_name = "Rig"\nplugin_id = "x"\n'
    other += '[[users]]\nemail = "boss@example.org"\nrole = "viewer"\n'
    assert problems(other, having(ALL)) != []
    assert problems(other, having(ALL), mode=Mode.ADD) == []


# -- what cannot be -------------------------------------------------------------------------------------------------

NO_EVENT, NO_RULE = "is missing: there is no event 'N' yet", "there is no rule 'N' yet"
NO_CHANNEL = "is missing: 'Rig' has no channel 'x' yet, and the plugin's catalogue has none"
ELSEWHERE = "for one that is installed where the device is, add catalog_channels = false"
NO_CHANGE = "'Rig' is an instance of 'rig', and cannot become one of 'system'"
TOO_LONG = "the event of channel 't' would have a name of 264 characters, more than 255"
NEITHER = "neither in the installation nor in the file"
NEW_EVENT = '[[events]]\nname = "N"\nunit = "V"\nmin_value = 0\nmax_value = 1\n'
TO_RIG = '[[plugins]]\ninstance_name = "Rig"\n'
CHANNEL = "[[plugins.channels]]\nchannel_id = "
IMPOSSIBLE = {
    "an event of which too little is said": (
        '[[events]]\nname = "N"',
        [f"events[0].{key}: {NO_EVENT}" for key in ("unit", "min_value", "max_value")],
    ),
    "bounds that are the wrong way round": (
        '[[events]]\nname = "T"\nmin_value = 200',
        ["events[0].min_value: 200 is above max_value (100)"],
    ),
    "another id for an event": (
        '[[events]]\nname = "T"\npublic_id = "t-2"',
        ["events[0].public_id: the event has 't-1' already, which cannot be changed to 't-2'"],
    ),
    "the id of another event": (
        f'{NEW_EVENT}public_id = "t-1"',
        ["events[0].public_id: 't-1' is that of the event 'T'"],
    ),
    "an event twice": (
        '[[events]]\nname = "T"\n[[events]]\nname = "T"',
        ["events[1].name: 'T' is events[0] already; leave one of them out"],
    ),
    "an instance of nothing": (
        '[[plugins]]\ninstance_name = "N"',
        ["plugins[0].plugin_id: is missing: there is no plugin instance 'N' yet"],
    ),
    "an instance of a plugin that is not installed": (
        f'[[plugins]]\ninstance_name = "N"\nplugin_id = "rug"\n{CHANNEL}"t"',
        [
            f"plugins[0].plugin_id: no plugin 'rug' is installed here (is it 'rig'?); {ELSEWHERE}",
        ],
    ),
    "an instance that becomes one of another plugin": (
        f'{TO_RIG}plugin_id = "system"',
        [f"plugins[0].plugin_id: {NO_CHANGE}: give the new one another instance_name"],
    ),
    "a name that is too long for events": (
        f'[[plugins]]\ninstance_name = "{"n" * 250}"\nplugin_id = "rig"\n{CHANNEL}"v"\nevent = ""',
        [f"plugins[0]: instance_name: {TOO_LONG}; shorten it by 9, or make no events"],
    ),
    "a channel of which too little is said": (
        f'{TO_RIG}{CHANNEL}"x"',
        [f"plugins[0].channels[0].{key}: {NO_CHANNEL}" for key in ("channel_name", "unit")],
    ),
    "a channel twice": (
        f'{TO_RIG}{CHANNEL}"t"\n{CHANNEL}"t"',
        ["plugins[0].channels[1].channel_id: 't' is plugins[0].channels[0] already; leave one of them out"],
    ),
    "a channel that is linked to nothing": (
        f'{TO_RIG}{CHANNEL}"t"\nevent = "Rig - Valve"',
        [f"plugins[0].channels[0].event: no event is called 'Rig - Valve', {NEITHER}; is it '{RIG_V}'?"],
    ),
    "more channels than there may be": (
        TO_RIG + "".join(f'{CHANNEL}"{n}"\nchannel_name = "X"\nunit = "V"\n' for n in range(999)),
        ["plugins[0].channels: would be 1,001 in all, and there may be 1,000"],
    ),
    "a rule of which too little is said": (
        '[[rules]]\nname = "N"',
        [
            f"rules[0].event: is missing: {NO_RULE}",
            f"rules[0]: {NO_RULE}: say when it fires, by above, below, between or the like",
        ],
    ),
    "rules that watch nothing": (
        '[[rules]]\nname = "N"\nevent = "Nowhere"\nabove = 1\n[[rules]]\nname = "Hot"\nevent = "TT"',
        [
            f"rules[0].event: no event is called 'Nowhere', {NEITHER}; there are 'T', '{RIG_T}', '{RIG_V}'",
            f"rules[1].event: no event is called 'TT', {NEITHER}; is it 'T'?",
        ],
    ),
    "what webhooks are told by a rule that tells none": (
        '[[rules]]\nname = "Hot"\nemits = "sensor.reading"',
        ['rules[0].emits: is what webhooks are told of: add action = "webhook"'],
    ),
    "a webhook twice, of which too little is said": (
        '[[webhooks]]\nurl = "http://h/CANARY"\n[[webhooks]]\nurl = "http://h/CANARY"',
        [
            "webhooks[0].events: is missing: there is no webhook for this url yet",
            "webhooks[1].url: this one is webhooks[0] already; leave one of them out",
        ],
    ),
    "a user of whom too little is said": (
        '[[users]]\nemail = "a@b"',
        [
            "users[0].password_file: is missing (or password_env): a@b is new and needs a password",
            "users[0].username: is missing: 'a' will not do for one; String should have at least 2 characters",
        ],
    ),
    "a name that somebody has": (
        '[[users]]\nemail = "boss@c"\npassword_env = "P"',
        ["users[0].username: 'boss' is the name of boss@example.org; choose another one"],
    ),
    "the last administrator": (
        '[[users]]\nemail = "boss@example.org"\nrole = "viewer"',
        ["users[0].role: boss@example.org would be viewer, and no administrator would be left"],
    ),
}


@pytest.mark.parametrize(("file", "found"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_what_cannot_be_is_named_with_its_place_and_the_mend(file: str, found: list[str]) -> None:
    assert problems(file, having(ALL)) == found


def test_a_reference_to_nothing_at_all_is_named() -> None:
    assert problems(HOT) == [
        "rules[0].event: no event is called 'T', neither in the installation nor in the file; there is none at all"
    ]


def test_all_that_is_wrong_is_said_at_once() -> None:
    bad = NEW_EVENT.replace("max_value = 1", "max_value = -1") + '[[rules]]\nname = "N"\nevent = "X"\nabove = 1\n'
    secrets = Secrets(problems=(Problem("webhooks[0].secret_env", "is not set"),))
    found = problems(bad + "[[webhooks]]\nurl = 'http://h'\nsecret_env = 'S'\n", secrets=secrets)
    assert [problem.partition(":")[0] for problem in found] == [
        "webhooks[0].secret_env",
        "events[0].min_value",
        "rules[0].event",
        "webhooks[0].events",
    ]


def test_an_administrator_may_step_down_when_another_one_is_there() -> None:
    other = '[[users]]\nemail = "new@example.org"\nrole = "admin"\npassword_env = "P"\n'
    down = '[[users]]\nemail = "boss@example.org"\nrole = "operator"\n'
    there = having(BOSS)
    assert problems(down, there) != []
    assert problems(down + other, there) == problems(down, having(BOSS, other)) == []
