"""A description that no installation could hold cannot be made."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, PluginDescription

LEVEL = ChannelDescription("level", "Level", Direction.INPUT, "", -1.0, 4.0)
TANK = PluginDescription("tank", "Tank", "1.0", "ACME", "A tank", "https://example.org", (LEVEL,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channel_id": ""}, r"channel_id is '', which is no text of 1 to 100 characters"),
        ({"channel_id": "x" * 101}, "channel_id is 'x+', which"),
        ({"channel_id": "a\0b"}, "channel_id is"),
        ({"channel_id": 3}, "channel_id is 3"),
        ({"name": ""}, "name is ''"),
        ({"name": "x" * 256}, "name is"),
        ({"unit": "x" * 51}, "unit is"),
        ({"unit": None}, "unit is None"),
        ({"direction": "sideways"}, "'sideways' is not a valid Direction"),
        ({"min_value": 5.0}, r"channel 'level' goes from 5\.0 to 4\.0, which is no range"),
        ({"max_value": float("inf")}, "goes from"),
        ({"min_value": float("nan")}, "goes from"),
    ],
)
def test_what_no_channel_can_be(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(LEVEL, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": ""}, "id is ''"),
        ({"id": "x" * 101}, "id is"),
        ({"name": None}, "name is None"),
        ({"version": "1\0"}, "version is"),
        ({"vendor": "x" * 256}, "vendor is"),
        ({"description": 3}, "description is 3"),
        ({"url": 3}, "url is 3"),
        ({"channels": (LEVEL, replace(LEVEL, name="Other"))}, "two channels with the channel_id 'level'"),
        ({"channels": (LEVEL, replace(LEVEL, channel_id="other"))}, "two channels with the name 'Level'"),
        (
            {"channels": tuple(replace(LEVEL, channel_id=f"{n}", name=f"{n}") for n in range(1_001))},
            "plugin 'tank' has 1001 channels, more than 1,000",
        ),
    ],
)
def test_what_no_plugin_can_be(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(TANK, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"safe_value": 1.0}, "channel 'level' is an input and cannot have a safe_value"),
        ({"direction": Direction.OUTPUT, "safe_value": 5.0}, "'level' has the safe_value 5.0, which is not within"),
        ({"direction": Direction.OUTPUT, "safe_value": math.nan}, "'level' has the safe_value nan"),
        ({"interval_s": 0.0}, "'level' has the interval_s 0.0; give seconds above 0"),
        ({"interval_s": math.inf}, "'level' has the interval_s inf"),
    ],
)
def test_what_a_controller_could_not_do(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(LEVEL, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("direction", "settable", "readable"),
    [(Direction.INPUT, False, True), (Direction.OUTPUT, True, False), (Direction.BIDIRECTIONAL, True, True)],
)
def test_a_direction_says_what_can_be_done(direction: Direction, settable: bool, readable: bool) -> None:
    channel = replace(LEVEL, direction=direction)
    assert (channel.settable, channel.readable) == (settable, readable)


def test_what_a_plugin_may_leave_out() -> None:
    replace(TANK, vendor="", description="", version="", name="", url=None, channels=())


def test_a_channel_of_one_value_and_one_of_the_longest_texts() -> None:
    replace(LEVEL, min_value=4.0)
    replace(LEVEL, channel_id="x" * 100, name="y" * 255, unit="z" * 50)
