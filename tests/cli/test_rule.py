"""`webmacs rule`: what is asked for is stored, what makes no sense is refused, and what is there can be seen."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Configure
from tests.cli.hooks import snapshot
from tests.cli.runner import complaint, done, misuse, on_terminal, rows, run, said
from tests.plant import Plant, settings_for
from webmacs.cli.setting import opened_storage
from webmacs.model import Action, Operator, Role, Rule, WebhookEvent
from webmacs.storage import accounts, records
from webmacs.storage.rules import fired

ABOVE = ("--event", "Sensor 0", "--above", "5")


def only_rule(url: str) -> Rule:
    (rule,) = snapshot(url).rules
    return rule


# -- adding -------------------------------------------------------------------------------------------------------


def test_the_id_of_a_new_rule_is_printed_alone(config: Path, plant: Plant, storage_url: str) -> None:
    result = run("rule", "add", "Hot", *ABOVE, "--config", config)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == only_rule(storage_url).public_id + "\n"


def test_a_rule_logs_and_rests_for_a_minute_unless_told_otherwise(config: Path, plant: Plant, storage_url: str) -> None:
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    rule = only_rule(storage_url)
    assert (rule.name, rule.operator, rule.threshold, rule.threshold_high) == ("Hot", Operator.GT, 5.0, None)
    assert (rule.action, rule.emits, rule.enabled, rule.cooldown_s) == (Action.LOG, None, True, 60)
    assert snapshot(storage_url).events_by_id[rule.event_id].public_id == plant.linked[0]


def test_a_rule_is_all_that_was_asked_for(config: Path, plant: Plant, storage_url: str) -> None:
    more = ("--action", "webhook", "--emits", "system_health_changed", "--cooldown", "0", "--disabled")
    done("rule", "add", "Hot", *ABOVE, *more, "--config", config)
    rule = only_rule(storage_url)
    assert (rule.action, rule.emits) == (Action.WEBHOOK, WebhookEvent.HEALTH_CHANGED)
    assert (rule.enabled, rule.cooldown_s) == (False, 0)


@pytest.mark.parametrize(
    ("condition", "operator", "bounds"),
    [
        (("--above", "-5"), Operator.GT, (-5.0, None)),
        (("--below", "1e-3"), Operator.LT, (0.001, None)),
        (("--at-least", "5"), Operator.GTE, (5.0, None)),
        (("--at-most", "5"), Operator.LTE, (5.0, None)),
        (("--equals", "0"), Operator.EQ, (0.0, None)),
        (("--between", "-8", "-2"), Operator.BETWEEN, (-8.0, -2.0)),
        (("--outside", "2", "2"), Operator.NOT_BETWEEN, (2.0, 2.0)),
    ],
)
def test_every_condition_can_be_asked_for(
    config: Path,
    plant: Plant,
    storage_url: str,
    condition: tuple[str, ...],
    operator: Operator,
    bounds: tuple[float, float | None],
) -> None:
    done("rule", "add", "Hot", "--event", "Sensor 0", *condition, "--config", config)
    rule = only_rule(storage_url)
    assert (rule.operator, (rule.threshold, rule.threshold_high)) == (operator, bounds)


def test_a_rule_belongs_to_the_first_administrator(config: Path, plant: Plant, storage_url: str) -> None:
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    owner = snapshot(storage_url).users_by_id[only_rule(storage_url).user_id or 0]
    assert owner.email == plant.emails[Role.ADMIN]


def test_where_there_is_no_administrator_a_rule_belongs_to_nobody(config: Path, storage_url: str) -> None:
    async def fill() -> None:
        async with opened_storage(settings_for(storage_url, Path()), new=True) as storage:
            await records.add_event(storage, name="Sensor 0", unit="", now_us=1)
            await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.OPERATOR, now_us=1)

    asyncio.run(fill())
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    assert only_rule(storage_url).user_id is None


@pytest.mark.parametrize("given", ["id", "beginning of the id", "or 0", "SENSOR 0"])
def test_an_event_is_found_by_as_much_as_tells_it_from_the_others(
    config: Path, plant: Plant, storage_url: str, given: str
) -> None:
    event = {"id": plant.linked[0], "beginning of the id": plant.linked[0][:13].upper()}.get(given, given)
    done("rule", "add", "Hot", "--event", event, "--above", "5", "--config", config)
    assert snapshot(storage_url).events_by_id[only_rule(storage_url).event_id].public_id == plant.linked[0]


def test_an_exact_name_wins_over_those_that_have_it_in_them(config: Path, plant: Plant, storage_url: str) -> None:
    async def more() -> str:
        async with opened_storage(settings_for(storage_url, Path())) as storage:
            return await records.add_event(storage, name="Sensor", unit="", now_us=1)

    event = asyncio.run(more())
    done("rule", "add", "Hot", "--event", "Sensor", "--above", "5", "--config", config)
    assert snapshot(storage_url).events_by_id[only_rule(storage_url).event_id].public_id == event


# -- what is refused ----------------------------------------------------------------------------------------------


def test_an_event_that_several_may_be_is_refused_with_all_of_them(config: Path, plant: Plant) -> None:
    text = complaint("rule", "add", "Hot", "--event", "sensor", "--above", "5", "--config", config)
    assert text == "'sensor' may be 'Sensor 0', 'Sensor 1', 'Sensor 2'; say more of the event that is meant"


@pytest.mark.parametrize("wanted", ["Pressure", "", " "])
def test_an_event_that_is_not_there_is_refused_with_those_that_are(config: Path, plant: Plant, wanted: str) -> None:
    text = complaint("rule", "add", "Hot", "--event", wanted, "--above", "5", "--config", config)
    assert text == f"no event is called {wanted!r}; there are 'Sensor 0', 'Sensor 1', 'Sensor 2', 'Spare'"


def test_of_very_many_events_some_are_named(config: Path, plant: Plant, storage_url: str) -> None:
    async def more() -> None:
        async with opened_storage(settings_for(storage_url, Path())) as storage:
            for number in range(8):
                await records.add_event(storage, name=f"More\x1b{number}", unit="", now_us=1)

    asyncio.run(more())
    text = complaint("rule", "add", "Hot", "--event", "more", "--above", "5", "--config", config)
    assert "'More 0', " in text
    assert "and" not in text
    text = complaint("rule", "add", "Hot", "--event", "nothing", "--above", "5", "--config", config)
    assert text.endswith("'More 3' and 4 more")


def test_where_there_are_no_events_that_is_said(config: Path) -> None:
    done("migrate", "--config", config)
    text = complaint("rule", "add", "Hot", *ABOVE, "--config", config)
    assert text == "no event is called 'Sensor 0'; there is none at all"


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (("--above", "nan"), "--above nan: threshold and threshold_high must be finite numbers"),
        (("--at-most", "1e400"), "--at-most inf: threshold and threshold_high must be finite numbers"),
        (("--between", "0", "inf"), "--between 0 inf: threshold and threshold_high must be finite numbers"),
        (("--outside", "5", "1"), "--outside 5 1: threshold_high (1) is below threshold (5)"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_named(nowhere: Path, condition: tuple[str, ...], text: str) -> None:
    assert complaint("rule", "add", "Hot", "--event", "Sensor 0", *condition, "--config", nowhere) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            (),
            "when does it fire? Give one of --above, --below, --at-least, --at-most, --equals, --between, --outside",
        ),
        (("--above", "5", "--at-most", "9"), "when does it fire? Give one of --above, --at-most"),
        (
            ("--above", "5", "--emits", "sensor.reading"),
            "--emits is what webhooks are told of: add --action webhook",
        ),
        (("--above", "five"), "Invalid value for '--above': 'five' is not a valid float."),
        (
            ("--above", "5", "--cooldown", "-1"),
            "Invalid value for '--cooldown': -1 is not in the range 0<=x<=2147483647.",
        ),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(nowhere: Path, arguments: tuple[str, ...], text: str) -> None:
    assert misuse("rule", "add", "Hot", "--event", "Sensor 0", *arguments, "--config", nowhere) == text


def test_what_webhooks_are_told_of_is_one_of_their_events(nowhere: Path) -> None:
    text = complaint("rule", "add", "Hot", *ABOVE, "--action", "webhook", "--emits", "alarm", "--config", nowhere)
    assert text.startswith("'alarm' is no event of webhooks; there are sensor.threshold_exceeded, ")


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "a\tb", "a\0b", "\udcff"])
def test_a_name_that_cannot_be_shown_is_refused(nowhere: Path, name: str) -> None:
    text = complaint("rule", "add", name, *ABOVE, "--config", nowhere)
    assert text == "a rule's name has 1 to 255 printable characters"


def test_the_longest_name_is_taken(config: Path, plant: Plant, storage_url: str) -> None:
    done("rule", "add", "ä" * 255, *ABOVE, "--config", config)
    assert only_rule(storage_url).name == "ä" * 255


def test_a_name_is_taken_once(config: Path, plant: Plant) -> None:
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    text = complaint("rule", "add", "Hot", "--event", "Sensor 1", "--below", "1", "--config", config)
    assert text == "a rule called 'Hot' exists already; choose another name, or remove it first"


def test_a_command_in_the_wrong_place_makes_no_database(configure: Configure, tmp_path: Path) -> None:
    config = configure("sqlite:///test.db")
    assert "is it the right --config?" in complaint("rule", "list", "--config", config)
    assert not (tmp_path / "test.db").exists()


# -- what still hinders it ----------------------------------------------------------------------------------------


def test_a_rule_on_an_event_of_which_nothing_comes_says_so(config: Path, plant: Plant) -> None:
    text = said("rule", "add", "Hot", "--event", "Spare", "--above", "5", "--config", config)
    assert text == "note: Spare is linked to no channel of an enabled plugin instance: nothing comes\n"


def test_a_rule_that_nobody_would_hear_of_says_how_to_mend_it(config: Path, plant: Plant) -> None:
    text = said("rule", "add", "Hot", *ABOVE, "--action", "webhook", "--config", config)
    assert text.startswith("note: no webhook wants to hear of sensor.threshold_exceeded yet; `")
    assert text.endswith(f" webhook add URL --event sensor.threshold_exceeded --config {config}`\n")


def test_a_rule_that_somebody_hears_of_says_nothing(config: Path, plant: Plant) -> None:
    done("webhook", "add", "http://127.0.0.1:9/", "--event", "experiment_started", "--config", config)
    more = ("--action", "webhook", "--emits", "experiment.started")
    assert said("rule", "add", "Hot", *ABOVE, *more, "--config", config) == ""


# -- what is there ------------------------------------------------------------------------------------------------


def fire(url: str, *times_us: int) -> None:
    """Rules have fired at these times."""

    async def write() -> None:
        async with opened_storage(settings_for(url, Path())) as storage:
            await storage.write(fired(dict(enumerate(times_us, 1))))

    asyncio.run(write())


def test_the_lines_of_a_list_have_columns_that_stay(config: Path, plant: Plant, storage_url: str) -> None:
    first = done("rule", "add", "Hot", *ABOVE, "--config", config).strip()
    more = ("--action", "webhook", "--cooldown", "0", "--disabled")
    second = done("rule", "add", "Off", "--event", "Spare", "--outside", "-1", "1.5", *more, "--config", config).strip()
    fire(storage_url, 1_500_000)
    assert rows("rule", "list", "--config", config) == [
        [first, "Hot", "Sensor 0", "above 5 V", "log", "", "60", "1970-01-01T00:00:01.500000+00:00", "on"],
        [second, "Off", "Spare", "outside -1 to 1.5 V", "webhook", "sensor.threshold_exceeded", "0", "", "off"],
    ]


def test_an_event_without_unit_has_none_in_its_condition(config: Path, plant: Plant, storage_url: str) -> None:
    async def more() -> None:
        async with opened_storage(settings_for(storage_url, Path())) as storage:
            await records.add_event(storage, name="Count", unit="", now_us=1)

    asyncio.run(more())
    done("rule", "add", "Many", "--event", "Count", "--above", "5", "--config", config)
    assert rows("rule", "list", "--config", config)[0][3] == "above 5"


@pytest.mark.parametrize("width", [80, 120])
def test_people_see_a_table(config: Path, plant: Plant, storage_url: str, tmp_path: Path, width: int) -> None:
    first = done("rule", "add", "Reactor too hot", *ABOVE, "--config", config).strip()
    more = ("--action", "webhook", "--emits", "sensor_reading", "--disabled")
    second = done("rule", "add", "Off", "--event", "Spare", "--below", "1", *more, "--config", config).strip()
    fire(storage_url, 1_500_000)
    head, one, watches, other, tells = on_terminal("rule", "list", "--config", config, cwd=tmp_path, width=width)
    assert head == "ID        Rule             State  Cooldown  Last fired"
    assert re.fullmatch(rf"{first[:8]}  Reactor too hot  on     60 s      \d+ d ago", one)
    assert watches == "          Sensor 0 above 5 V, logs a warning"
    assert other == f"{second[:8]}  Off              off    60 s      never"
    assert tells == "          Spare below 1 V, tells webhooks of sensor.reading"


def test_lines_may_be_had_on_a_terminal_too(config: Path, plant: Plant, tmp_path: Path) -> None:
    public_id = done("rule", "add", "Hot", *ABOVE, "--config", config).strip()
    (line,) = on_terminal("rule", "list", "--lines", "--config", config, cwd=tmp_path, width=80)
    assert line.startswith(f"{public_id}\tHot\t")


def test_where_there_are_no_rules_it_is_said_how_to_make_one(config: Path, plant: Plant) -> None:
    result = run("rule", "list", "--config", config)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("no rules yet; `")
    assert result.stderr.endswith(" rule add --help` says how to make one\n")


# -- changes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["id", "Hot", "beginning", "ho"])
def test_a_rule_is_switched_off_and_on(config: Path, plant: Plant, storage_url: str, given: str) -> None:
    public_id = done("rule", "add", "Hot", *ABOVE, "--config", config).strip()
    rule = {"id": public_id, "beginning": public_id[:8]}.get(given, given)
    assert said("rule", "disable", rule, "--config", config) == (
        "switched off 'Hot': Sensor 0 above 5 V, logs a warning\n"
    )
    assert not only_rule(storage_url).enabled
    assert said("rule", "enable", rule, "--config", config).startswith("switched on 'Hot'")
    assert only_rule(storage_url).enabled


def test_a_removed_rule_is_gone_and_was_described(config: Path, plant: Plant, storage_url: str) -> None:
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    done("rule", "add", "Hotter", *ABOVE, "--config", config)
    assert said("rule", "remove", "Hot", "--config", config) == ("removed 'Hot': Sensor 0 above 5 V, logs a warning\n")
    assert only_rule(storage_url).name == "Hotter"


@pytest.mark.parametrize("command", ["remove", "enable", "disable"])
def test_a_rule_that_is_not_there_is_refused_with_those_that_are(config: Path, plant: Plant, command: str) -> None:
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    for wanted in ("Cold", ""):  # a script's empty variable is not the only rule there is
        assert complaint("rule", command, wanted, "--config", config) == (
            f"no rule is called {wanted!r}; there are 'Hot'"
        )


def test_a_rule_that_several_may_be_is_left_alone(config: Path, plant: Plant, storage_url: str) -> None:
    done("rule", "add", "Hot 1", *ABOVE, "--config", config)
    done("rule", "add", "Hot 2", *ABOVE, "--config", config)
    text = complaint("rule", "remove", "hot", "--config", config)
    assert text == "'hot' may be 'Hot 1', 'Hot 2'; say more of the rule that is meant"
    assert len(snapshot(storage_url).rules) == 2
