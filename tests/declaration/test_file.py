"""What a file may say: its limits are those of the API, and what is wrong with it is named with its place."""

from __future__ import annotations

import pytest

from webmacs.declaration.file import MAX_BYTES, read
from webmacs.declaration.problem import Refused
from webmacs.model import Action, Operator, Role, WebhookEvent

RULE = '[[rules]]\nname = "Hot"\nevent = "T"\n'


def refusals(text: str | bytes) -> list[str]:
    with pytest.raises(Refused) as caught:
        read(text if isinstance(text, bytes) else text.encode())
    return [str(problem) for problem in caught.value.problems]


def test_an_empty_file_says_nothing() -> None:
    declaration = read(b"")
    assert declaration.model_dump() == {"users": (), "events": (), "plugins": (), "rules": (), "webhooks": ()}


def test_what_is_not_said_is_not_there() -> None:
    declaration = read(b'[[rules]]\nname = "Hot"\n[[users]]\nemail = "a@b"\n')
    assert set(declaration.rules[0].model_dump(exclude={"name"}).values()) == {None}
    assert set(declaration.users[0].model_dump(exclude={"email"}).values()) == {None}


def test_words_become_what_they_stand_for() -> None:
    declaration = read(
        b'[[users]]\nemail = "Ann@Example.org"\nrole = "operator"\n'
        b'[[rules]]\nname = "Hot"\naction = "webhook"\nemits = "sensor_threshold_exceeded"\n'
        b'[[plugins]]\ninstance_name = "Rig"\n[[plugins.channels]]\nchannel_id = "t"\nevent = ""\n'
    )
    assert (declaration.users[0].email, declaration.users[0].role) == ("ann@example.org", Role.OPERATOR)
    assert declaration.rules[0].action is Action.WEBHOOK
    assert declaration.rules[0].emits is WebhookEvent.THRESHOLD_EXCEEDED
    assert declaration.plugins[0].channels[0].event == ""


@pytest.mark.parametrize(
    ("line", "condition"),
    [
        ("above = 90", (Operator.GT, 90.0, None)),
        ("below = -1.5", (Operator.LT, -1.5, None)),
        ("at_least = 1e3", (Operator.GTE, 1000.0, None)),
        ("at_most = 0", (Operator.LTE, 0.0, None)),
        ("equals = 0", (Operator.EQ, 0.0, None)),
        ("between = [1, 2.5]", (Operator.BETWEEN, 1.0, 2.5)),
        ("outside = [2, 2]", (Operator.NOT_BETWEEN, 2.0, 2.0)),
        ("", None),
    ],
)
def test_a_condition_is_an_operator_with_its_thresholds(
    line: str, condition: tuple[Operator, float, float | None] | None
) -> None:
    assert read(f"{RULE}{line}\n".encode()).rules[0].condition == condition


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("x = 1", "x: unknown key; there are 'users', 'events', 'plugins', 'rules', 'webhooks'"),
        (
            '[[rules]]\nname = "Hot"\n[[rules]]\nname = "Cold"\ncooldwn_s = 3',
            "rules[1].cooldwn_s: unknown key; is it 'cooldown_s'?",
        ),
        (
            '[[plugins]]\ninstance_name = "Rig"\n[[plugins.channels]]\nchannel_id = "a"\nevnt = "T"',
            "plugins[0].channels[0].evnt: unknown key; is it 'event'?",
        ),
        ("[[events]]", "events[0].name: is missing"),
        ('[[events]]\nname = ""', "events[0].name: String should have at least 1 character; it is ''"),
        (
            '[[events]]\nname = "T"\nmin_value = "cold"',
            "events[0].min_value: Input should be a valid number; it is 'cold'",
        ),
        ('[[events]]\nname = "T"\nmin_value = true', "events[0].min_value: Input should be a valid number; it is True"),
        ('[[events]]\nname = "T"\nmin_value = nan', "events[0].min_value: Input should be a finite number; it is nan"),
        (
            '[[events]]\nname = "T"\npublic_id = "unlinked"',
            "events[0].public_id: is not free; choose another one; it is 'unlinked'",
        ),
        ('[[users]]\nemail = "ann"', "users[0].email: String should match pattern"),
        (
            '[[users]]\nemail = "a@b"\nrole = "boss"',
            "users[0].role: Input should be 'viewer', 'operator' or 'admin'; it is 'boss'",
        ),
        (
            '[[users]]\nemail = "a@b"\nusername = "a"',
            "users[0].username: String should have at least 2 characters; it is 'a'",
        ),
        (f"{RULE}cooldown_s = 1.5", "rules[0].cooldown_s: Input should be a valid integer"),
        (f"{RULE}cooldown_s = -1", "rules[0].cooldown_s: Input should be greater than or equal to 0; it is -1"),
        (f"{RULE}enabled = 1", "rules[0].enabled: Input should be a valid boolean; it is 1"),
        (f"{RULE}between = [5]", "rules[0].between[1]: is missing"),
        (f"{RULE}between = [5, 2]", "rules[0]: between = [5, 2]: the lower bound comes first"),
        (
            f"{RULE}above = 1\nbelow = 2",
            "rules[0]: a rule has one condition, and there are above and below: give one of them",
        ),
        (
            f'{RULE}emits = "alarm"',
            "rules[0].emits: 'alarm' is no event of webhooks; there are sensor.threshold_exceeded",
        ),
        ('[[webhooks]]\nurl = "http://h"\nevents = []', "webhooks[0].events: "),
        (
            '[[plugins]]\ninstance_name = "R"\nconfig = { since = 2026-01-01 }',
            "plugins[0].config: holds a date, a time or a number that JSON does not have; write it as a text",
        ),
        (
            f'[[plugins]]\ninstance_name = "R"\nconfig = {{ a = "{"x" * 16_384}" }}',
            "plugins[0].config: has 16,393 characters as JSON; 16,384 are the most",
        ),
        (
            '[[plugins]]\ninstance_name = "R"\n' + '[[plugins.channels]]\nchannel_id = "c"\n' * 1_001,
            "plugins[0].channels: Tuple should have at most 1000 items after validation, not 1001",
        ),
        ("users = 1", "users: Input should be a valid tuple; it is 1"),
        ("[users]\nemail = 'a@b'", "users: Input should be a valid tuple"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_its_value(file: str, said: str) -> None:
    (found,) = refusals(file)
    assert found.startswith(said)


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(refusals('a = 1\n[[events]]\nname = ""\n[[rules]]\nname = 1\n')) == 3


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            '[[users]]\nemail = "a@b"\npassword = "CANARY"',
            "users[0].password: is not written into the file: give password_file or password_env, the name of",
        ),
        (
            '[[webhooks]]\nurl = "http://h"\nsecret = "CANARY"',
            "webhooks[0].secret: is not written into the file: give secret_file or secret_env, the name of",
        ),
        ('[[webhooks]]\nurl = "ftp://CANARY@h/CANARY"', "webhooks[0].url: String should match pattern"),
        ('[[webhooks]]\nurl = "http://h"\npaswort = "CANARY"', "webhooks[0].paswort: unknown key"),
        (
            '[[plugins]]\ninstance_name = "R"\nconfig = "CANARY"',
            "plugins[0].config: Input should be a valid dictionary",
        ),
    ],
)
def test_what_may_be_secret_is_not_repeated(file: str, said: str) -> None:
    (found,) = refusals(file)
    assert found.startswith(said)
    assert "CANARY" not in found


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[[events]\n", "is not valid TOML: "),
        (b"a = \xff", "is not valid TOML: "),
        (b"a = " + b"[" * 100_000, "is not valid TOML: "),
        (b"a = " + b"9" * 5_000, "is not valid TOML: "),
        (b" " * (MAX_BYTES + 1), "has 8,388,609 bytes; 8,388,608 are the most"),
    ],
    ids=["broken", "not UTF-8", "deep", "a number too long", "too large"],
)
def test_what_is_no_toml_is_refused_as_a_whole(data: bytes, said: str) -> None:
    (found,) = refusals(data)
    assert found.startswith(said)
