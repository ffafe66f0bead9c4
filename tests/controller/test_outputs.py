"""What outputs are set to: setpoints while they live, and nothing older; safe values when nobody is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from webmacs.controller.outputs import Key, Order, Outputs, Policy

KEY = Key("one", "heater")
TTL_S, SAFE_AFTER_S = 60.0, 10.0


def outputs(*, hold_s: float = 0.0, safe_value: float | None = 0.0) -> Outputs:
    """At 0 the device was opened and the server is there."""
    made = Outputs(Policy(TTL_S, hold_s, SAFE_AFTER_S), 0.0)
    made.server_there()
    made.opened(KEY, safe_value, 0.0)
    return made


def carried_out(some: Outputs, now: float) -> list[tuple[float, str]]:
    """What is due, and then done."""
    orders = some.due(now)
    for order in orders:
        some.done(order, now, succeeded=True)
    return [(order.value, order.reason) for order in orders]


def test_a_setpoint_is_set_once() -> None:
    some = outputs()
    assert some.given(KEY, 40.0, 1, 0.1, 1.0)
    assert carried_out(some, 1.0) == [(40.0, "setpoint")]
    assert carried_out(some, 2.0) == []
    assert not some.given(KEY, 40.0, 1, 1.1, 2.0)  # the same one again, after a reconnection
    assert carried_out(some, 3000.0) == []


def test_the_newest_setpoint_counts_in_whatever_order_they_come() -> None:
    some = outputs()
    assert some.given(KEY, 2.0, 2, 0.0, 1.0)
    assert not some.given(KEY, 1.0, 1, 0.5, 1.0)
    assert carried_out(some, 1.0) == [(2.0, "setpoint")]


def test_a_setpoint_that_is_too_old_is_never_set() -> None:
    some = outputs()
    assert not some.given(KEY, 40.0, 1, TTL_S + 0.1, 1.0)
    assert some.expired == 1
    assert carried_out(some, 1.0) == []
    assert carried_out(some, SAFE_AFTER_S) == [(0.0, "no setpoint holds")]  # what it has is from before


def test_one_that_gets_too_old_before_it_could_be_set_is_not_set() -> None:
    some = outputs()
    some.given(KEY, 40.0, 1, 0.0, 1.0)
    (order,) = some.due(1.0)
    some.done(order, 1.0, succeeded=False)
    assert some.due(1.5) == []  # not again at once
    assert [due.value for due in some.due(2.0)] == [40.0]
    assert carried_out(some, 1.0 + TTL_S + 0.1) == [(0.0, "no setpoint holds")]


def test_a_setpoint_holds_for_as_long_as_it_is_to() -> None:
    some = outputs(hold_s=30.0)
    some.given(KEY, 40.0, 1, 5.0, 1.0)
    assert carried_out(some, 1.0) == [(40.0, "setpoint")]
    assert carried_out(some, 25.9) == []
    assert some.next_at(2.0) == SAFE_AFTER_S  # nothing follows from that; then:
    assert some.next_at(SAFE_AFTER_S) == 26.0
    assert carried_out(some, 26.0) == [(0.0, "no setpoint holds")]
    some.given(KEY, 41.0, 2, 0.0, 27.0)
    assert carried_out(some, 27.0) == [(41.0, "setpoint")]


def test_outputs_are_safe_when_the_server_is_away_for_long() -> None:
    some = outputs()
    some.given(KEY, 40.0, 1, 0.0, 1.0)
    carried_out(some, 1.0)
    some.server_gone(5.0)
    some.server_gone(14.0)  # still
    assert carried_out(some, 14.9) == []
    assert carried_out(some, 15.0) == [(0.0, "the server is away")]
    assert carried_out(some, 16.0) == []


@pytest.mark.parametrize(("back_at", "then"), [(20.0, [(40.0, "setpoint")]), (62.0, [])])
def test_after_an_outage_a_setpoint_is_set_again_only_while_it_lives(
    back_at: float, then: list[tuple[float, str]]
) -> None:
    some = outputs()
    some.given(KEY, 40.0, 1, 0.0, 1.0)
    carried_out(some, 1.0)
    some.server_gone(5.0)
    carried_out(some, 15.0)
    some.server_there()
    assert carried_out(some, back_at) == then


def test_a_short_outage_changes_nothing() -> None:
    some = outputs()
    some.given(KEY, 40.0, 1, 0.0, 1.0)
    carried_out(some, 1.0)
    some.server_gone(5.0)
    some.server_there()
    assert carried_out(some, 100.0) == []


def test_a_controller_that_meets_no_server_makes_outputs_safe() -> None:
    some = Outputs(Policy(TTL_S, 0.0, SAFE_AFTER_S), 0.0)
    some.opened(KEY, 0.0, 9.0)
    assert some.due(9.9) == []
    assert carried_out(some, 10.0) == [(0.0, "the server is away")]


def test_an_output_without_a_safe_value_stays_as_it_is() -> None:
    some = outputs(safe_value=None)
    some.given(KEY, 40.0, 1, 0.0, 1.0)
    carried_out(some, 1.0)
    some.server_gone(5.0)
    assert carried_out(some, 100.0) == []
    assert list(some.safe_orders("one", "closed")) == []
    some.server_there()
    assert carried_out(some, 101.0) == []


def test_before_a_device_is_closed_its_outputs_are_safe() -> None:
    some = outputs()
    some.given(KEY, 40.0, 1, 0.0, 1.0)
    carried_out(some, 1.0)
    (order,) = some.safe_orders("one", "closed")
    assert order == Order(KEY, 0.0, "closed")
    some.done(order, 2.0, succeeded=True)
    assert list(some.safe_orders("one", "closed")) == list(some.safe_orders("two", "closed")) == []


def test_a_device_that_was_opened_again_is_set_again_while_the_setpoint_lives() -> None:
    some = outputs()
    some.given(KEY, 40.0, 1, 0.0, 1.0)
    carried_out(some, 1.0)
    some.closed(KEY)
    assert not some.given(KEY, 41.0, 2, 0.0, 2.0)  # there is nothing to set
    some.opened(KEY, 0.0, 3.0)
    assert some.given(KEY, 40.0, 1, 2.0, 3.0)
    assert carried_out(some, 3.0) == [(40.0, "setpoint")]


def test_when_an_order_fails_nobody_knows_what_the_output_has() -> None:
    some = outputs()
    carried_out(some, SAFE_AFTER_S)  # it is safe
    some.given(KEY, 40.0, 1, 0.0, 20.0)
    (order,) = some.due(20.0)
    some.done(order, 20.0, succeeded=False)  # it may have been set all the same
    some.server_gone(20.0)
    assert carried_out(some, 30.0) == [(0.0, "the server is away")]


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_no_age_is_too_strange(age_s: float, now: float) -> None:
    some = outputs()
    some.given(KEY, 1.0, 1, -age_s, now)  # a server's clock that was set back
    assert [order.value for order in some.due(now)] in ([1.0], [0.0])


class Operation(RuleBasedStateMachine):
    """People, outages and devices that fail, in any order; what is set is compared with what may be."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.outputs = outputs(hold_s=0.0)
        self.times: dict[int, float] = {}  # when each setpoint was given
        self.count = 0
        self.away_since: float | None = None
        self.has: float | None = None  # what the device has; None: nobody knows
        self.sets: dict[int, int] = {}
        self.resets = 0

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 9.9, 10.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(age_s=st.sampled_from([0.0, 1.0, 30.0, 59.0, 61.0, 1000.0]))
    def give(self, age_s: float) -> None:
        self.count += 1
        self.times[self.count] = self.now - age_s
        assert self.outputs.given(KEY, float(self.count), self.count, age_s, self.now) == (age_s <= TTL_S)

    @precondition(lambda self: self.count)
    @rule()
    def give_the_last_again(self) -> None:
        age_s = self.now - self.times[self.count]
        self.outputs.given(KEY, float(self.count), self.count, age_s, self.now)

    @rule(there=st.booleans())
    def meet_or_lose_the_server(self, there: bool) -> None:
        if there:
            self.outputs.server_there()
            self.away_since = None
        else:
            self.outputs.server_gone(self.now)
            self.away_since = self.now if self.away_since is None else self.away_since

    @rule(succeeds=st.booleans())
    def work(self, succeeds: bool) -> None:
        for order in self.outputs.due(self.now):
            if order.setpoint_us is not None:
                assert self.now - self.times[order.setpoint_us] <= TTL_S + 1e-6, "too old"
                assert order.value == float(order.setpoint_us)
            else:
                assert order.value == 0.0
            assert self.has != order.value or self.has is None, "set to what it has"
            self.outputs.done(order, self.now, succeeded=succeeds)
            self.has = order.value if succeeds else None

    @invariant()
    def when_the_server_is_away_for_long_the_output_is_safe_after_the_next_look(self) -> None:
        if self.away_since is None or self.now < self.away_since + SAFE_AFTER_S:
            return
        due = self.outputs.due(self.now)
        assert all(order.value == 0.0 for order in due)

    @invariant()
    def when_something_will_be_due_it_is_known_when(self) -> None:
        if self.outputs.due(self.now):
            return
        at = self.outputs.next_at(self.now)
        if at is not None:
            assert at > self.now
            assert self.outputs.due((self.now + at) / 2) == []


TestOperation = Operation.TestCase


def test_outputs_are_made_safe_while_those_of_another_instance_are_closed() -> None:
    some = Outputs(Policy(60.0, 0.0, 30.0), 0.0)
    here, there = Key("one", "heater"), Key("two", "fan")
    for key in (there, here):
        some.opened(key, 0.0, 0.0)
    made_safe = []
    for order in some.safe_orders("one", "closed"):
        some.closed(there)  # its device is closed at the same time
        made_safe.append(order.key)
    assert made_safe == [here]
