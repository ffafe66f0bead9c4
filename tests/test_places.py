"""How many sockets and other connections there may be, and that no place is lost."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from webmacs.config import ServerSettings
from webmacs.metrics import Metrics
from webmacs.places import Arrivals, Places

ALL, HERE, MINE = (f"Too many connections{whose}" for whose in ("", " from this address", " of this user"))


def places(total: int = 100, address: int = 100, user: int = 100, refused: int = 1) -> Places:
    return Places(
        ServerSettings(
            max_connections=total,
            max_connections_per_address=address,
            max_connections_per_user=user,
            max_refused=refused,
        )
    )


@pytest.mark.parametrize(
    ("house", "why"),
    [(places(total=2), ALL), (places(address=2), HERE), (places(user=2), MINE), (places(2, 2, 2), ALL)],
)
def test_so_many_are_let_in_and_again_when_one_has_gone(house: Places, why: str) -> None:
    with house.place("a", 1):
        with house.place("a", 1):
            assert house.refusal("a", 1) == why
        assert house.refusal("a", 1) is None


def test_each_address_and_each_user_is_counted_alone() -> None:
    house = places(address=1, user=1)
    with house.place("a", 1):
        assert (house.refusal("a", 2), house.refusal("b", 1), house.refusal("b", 2)) == (HERE, MINE, None)
        assert (house.refusal("a"), house.refusal("b")) == (HERE, None)  # before it is known who it is


def test_a_place_is_given_back_by_whoever_leaves_in_a_hurry() -> None:
    house = places(1, 1, 1)
    with pytest.raises(ZeroDivisionError), house.place("a", 1):
        raise ZeroDivisionError
    assert (house.taken, house.refusal("a", 1)) == (0, None)


def test_nothing_is_remembered_of_those_who_have_gone() -> None:
    house = places()
    with ExitStack() as stack:
        for number in range(50):
            stack.enter_context(house.place(f"192.0.2.{number}", number))
        assert house.taken == 50
    for number in range(50):
        house.refusal(f"198.51.100.{number}", 1000 + number)
    assert (house.taken, len(house._by)) == (0, 0)


def test_so_many_that_are_refused_are_waited_for() -> None:
    house = places(refused=2)
    with house.way_out() as first, house.way_out() as second:
        with house.way_out() as third:
            assert (first, second, third) == (True, True, False)
        with house.way_out() as fourth:
            assert fourth is False
    with pytest.raises(ZeroDivisionError), house.way_out():
        raise ZeroDivisionError
    with house.way_out() as first, house.way_out() as second:
        assert (first, second) == (True, True)


# -- connections that are no sockets ---------------------------------------------------------------------------------


def arrivals(metrics: Metrics, total: int = 100, address: int = 100, now: float = 0.0) -> Arrivals:
    limits = ServerSettings(max_http_connections=total, max_http_connections_per_address=address)
    return Arrivals(limits, metrics, lambda: now)


def test_one_address_has_so_many_connections_and_leaves_the_others_theirs() -> None:
    metrics = Metrics()
    house = arrivals(metrics, address=2)
    first, second = house.enter("192.0.2.1"), house.enter("192.0.2.1")
    assert first is not None
    assert second is not None
    assert house.enter("192.0.2.1") is None
    assert house.enter("192.0.2.2") is not None
    assert all(house.enter(None) is not None for _ in range(5))  # of a proxy, whose clients are many
    first()
    assert house.enter("192.0.2.1") is not None
    assert "webmacs_connections 8.0" in metrics.text().decode()
    assert "webmacs_connections_refused_total 1.0" in metrics.text().decode()


def test_in_all_there_are_so_many_a_proxys_too() -> None:
    house = arrivals(Metrics(), total=3)
    leaves = [house.enter(address) for address in ("192.0.2.1", "192.0.2.2", None)]
    assert [house.enter(address) for address in ("192.0.2.3", None)] == [None, None]
    for leave in leaves:
        assert leave is not None
        leave()
    assert all(house.enter(None) is not None for _ in range(3))


def test_that_connections_are_refused_is_said_but_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    house = arrivals(Metrics(), address=1)
    for _ in range(50):
        house.enter("192.0.2.1")
    (record,) = caplog.records
    assert "192.0.2.1" in record.getMessage()
    assert "server.max_http_connections_per_address" in record.getMessage()
