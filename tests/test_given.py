"""The newest setpoint of each event."""

from __future__ import annotations

from webmacs.given import Given, NewestGiven


def test_the_last_one_of_an_event_is_the_newest_whatever_the_clock_says() -> None:
    given = NewestGiven()
    for value, time_us in ((1.0, 200), (2.0, 100)):  # the server's clock was set back
        given.take({"a": Given("a", value, time_us)})
    assert given.last("a") == Given("a", 2.0, 100)


def test_what_is_loaded_replaces_everything() -> None:
    given = NewestGiven()
    given.take({"a": Given("a", 1.0, 1)})
    given.load([Given("b", 2.0, 2), Given("b", 3.0, 3)])
    assert given.of(["a", "b"]) == [Given("b", 3.0, 3)]


def test_events_that_are_gone_are_forgotten() -> None:
    given = NewestGiven()
    given.load([Given("a", 1.0, 1), Given("b", 2.0, 2)])
    given.retain({"b", "c"})
    assert given.of(["a", "b", "c"]) == [Given("b", 2.0, 2)]
