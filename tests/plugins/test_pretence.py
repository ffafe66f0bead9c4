"""Made-up values of devices in demo mode."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription
from webmacs.plugins.pretence import Pretence, plausible

LIMITS = st.floats(-1e308, 1e308)
SMALLEST = 5e-324


@example(SMALLEST, SMALLEST, "", 0.0, "a")
@given(LIMITS, LIMITS, st.sampled_from(["", "bool", "°C"]), st.floats(0, 1e9), st.text("abc", min_size=1))
def test_a_value_is_within_the_range_whatever_it_is(one: float, other: float, unit: str, at: float, name: str) -> None:
    channel = ChannelDescription(name, "X", Direction.INPUT, unit, min(one, other), max(one, other))
    assert channel.min_value <= plausible(channel, at) <= channel.max_value


def test_a_value_wanders_and_each_channel_has_its_own() -> None:
    one, other = (ChannelDescription(name, name, Direction.INPUT, "°C", 0.0, 100.0) for name in ("a", "b"))
    course = [plausible(one, float(second)) for second in range(100)]
    assert max(course) - min(course) > 30
    assert max(abs(later - earlier) for earlier, later in pairwise(course)) < 7
    assert course != [plausible(other, float(second)) for second in range(100)]


def test_what_is_on_or_off_is_one_of_them() -> None:
    switch = ChannelDescription("s", "S", Direction.INPUT, "bool", 0.0, 1.0)
    assert {plausible(switch, float(second)) for second in range(100)} == {0.0, 1.0}


def test_what_can_be_set_has_its_safe_value_until_it_is_set() -> None:
    channels = [
        ChannelDescription("safe", "Safe", Direction.OUTPUT, "V", 0.0, 10.0, safe_value=3.0),
        ChannelDescription("plain", "Plain", Direction.BIDIRECTIONAL, "V", 1.0, 10.0),
    ]
    pretence = Pretence()
    assert [sample.value for sample in pretence.read(channels)] == [3.0, 1.0]
    assert pretence.write(channels[0], 7.0) == 7.0
    assert [sample.value for sample in pretence.read(channels)] == [7.0, 1.0]
