"""How often a password may be guessed."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import pytest

from webmacs.config import AuthSettings
from webmacs.errors import TooOften
from webmacs.logins import SHARED, Logins, Pauses
from webmacs.metrics import Metrics
from webmacs.testing import ManualClock

FREE, PAUSE_S, LONGEST_S = 3, 1.0, 60.0
OWNER, HOME, ELSEWHERE, STRANGER = "owner@example.org", "192.0.2.1", "192.0.2.2", "198.51.100.1"


class Door:
    """Logins, and a clock that stands still."""

    def __init__(self, **settings: int) -> None:
        self.clock, self.metrics = ManualClock(), Metrics()
        times = {"failure_pause_s": PAUSE_S, "max_failure_pause_s": LONGEST_S}
        self.logins = Logins(
            AuthSettings.model_validate({"free_failures": FREE, **times, **settings}), self.clock, self.metrics
        )

    def knock(self, account: str = OWNER, address: str = STRANGER, *, well: bool = False) -> float:
        """One try; how long it has to wait, 0 if it was looked at."""
        try:
            with self.logins.attempt(account, address) as attempt:
                attempt.ended(well=well)
        except TooOften as refused:
            return refused.retry_after_s
        return 0.0

    def guess(self, account: str = OWNER, address: str = STRANGER, tries: int = 100) -> None:
        """As often as one may, waiting whenever it has to be."""
        for _ in range(tries):
            if wait_s := self.knock(account, address):
                self.wait(wait_s)

    def wait(self, seconds: float) -> None:
        """No less than that, on a clock of whole microseconds."""
        self.clock.advance(seconds + 1e-6)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.mark.promise("S5")
def test_some_failures_are_free_and_then_pauses_double_up_to_the_longest(door: Door) -> None:
    assert [door.knock() for _ in range(FREE + 1)] == [0.0] * (FREE + 1)
    pauses = []
    for _ in range(10):
        pause_s = door.knock()
        assert door.knock() == pause_s  # to be refused makes nothing worse
        pauses.append(pause_s)
        door.wait(pause_s)
        assert door.knock() == 0.0
    assert pauses == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[LONGEST_S] * 4], rel=1e-3)


def test_one_who_knows_the_password_ends_the_pauses(door: Door) -> None:
    door.guess(address=HOME, tries=10)
    door.wait(door.knock(address=HOME))
    assert door.knock(address=HOME, well=True) == 0.0
    assert [door.knock(address=HOME) for _ in range(FREE + 1)] == [0.0] * (FREE + 1)


def test_the_right_password_has_to_wait_as_well(door: Door) -> None:
    door.guess(address=HOME, tries=10)
    assert door.knock(address=HOME, well=True) > 0


def test_in_time_failures_are_forgiven(door: Door) -> None:
    for _ in range(FREE + 1):
        door.knock()
    door.clock.advance(PAUSE_S + LONGEST_S * (FREE + 1))
    assert [door.knock() for _ in range(FREE + 1)] == [0.0] * (FREE + 1)


def test_one_who_goes_on_for_ever_stays_at_the_longest_pause_and_no_longer(door: Door) -> None:
    door.guess(tries=1000)
    assert 0 < door.knock() <= LONGEST_S


def test_one_guesser_holds_up_the_owner_nowhere_else(door: Door) -> None:
    for number in range(200):
        door.guess(address=STRANGER, tries=2)
        assert door.knock(address=ELSEWHERE, well=True) == 0.0
        assert door.knock(address=f"203.0.113.{number}", well=True) == 0.0  # where the owner has never been


def test_many_addresses_come_to_a_pause_too(door: Door) -> None:
    tried = [door.knock(address=f"203.0.113.{number}") for number in range(SHARED * FREE + 2)]
    assert tried[:-1] == [0.0] * (SHARED * FREE + 1)
    assert tried[-1] > 0


def test_where_the_owner_is_known_they_hold_up_nobody(door: Door) -> None:
    door.knock(address=HOME, well=True)
    for number in range(200):
        door.guess(address=f"203.0.113.{number}", tries=5)
    assert door.knock(address="203.0.113.250") > 0
    assert [door.knock(address=HOME) for _ in range(FREE + 1)] == [0.0] * (FREE + 1)
    assert door.knock(address=HOME) > 0  # but there, too, one may not guess


@pytest.mark.promise("S5")
def test_one_password_tried_on_many_accounts_comes_to_a_pause(door: Door) -> None:
    tried = [door.knock(account=f"{number}@example.org") for number in range(SHARED * FREE + 2)]
    assert tried[:-1] == [0.0] * (SHARED * FREE + 1)
    assert tried[-1] > 0
    assert door.knock(account="0@example.org", address=ELSEWHERE) == 0.0


def test_an_account_of_ones_own_does_not_help_to_guess_those_of_others(door: Door) -> None:
    looked_at = 0
    for number in range(500):
        door.knock(account="mine@example.org", well=True)
        looked_at += door.knock(account=f"{number}@example.org") == 0.0
        door.knock(account="mine@example.org")
        door.knock(account="mine@example.org", well=True)
    assert looked_at <= SHARED * FREE + 1


def test_one_who_comes_back_does_not_give_new_tries_to_others(door: Door) -> None:
    looked_at = 0
    for number in range(100):
        looked_at += door.knock(address=f"203.0.113.{number}") == 0.0
        door.knock(address=HOME, well=True)
    assert looked_at == SHARED * FREE + 1


def test_ones_own_mistakes_are_forgiven_everywhere(door: Door) -> None:
    for number in range(100):
        for account, address in ((f"{number}@example.org", HOME), (OWNER, f"203.0.113.{number}")):
            assert [door.knock(account, address) for _ in range(FREE)] == [0.0] * FREE
            assert door.knock(account, address, well=True) == 0.0


def test_mistakes_where_one_is_known_hold_one_up_nowhere_else(door: Door) -> None:
    for number in range(20):
        home = f"203.0.113.{number}"
        assert door.knock(address=home, well=True) == 0.0
        door.guess(address=home, tries=FREE)
    assert door.knock(address=ELSEWHERE, well=True) == 0.0


def test_what_nobody_could_judge_does_not_count(door: Door) -> None:
    for _ in range(100):
        with door.logins.attempt(OWNER, HOME):
            pass


def test_what_raises_does_not_count_and_is_over(door: Door) -> None:
    door.knock()
    for _ in range(100):
        with pytest.raises(ZeroDivisionError), door.logins.attempt(OWNER, STRANGER):
            raise ZeroDivisionError


@pytest.mark.promise("S5")
@pytest.mark.parametrize("failures", range(1, FREE + 3))
def test_after_failures_no_more_are_under_way_than_are_free(door: Door, failures: int) -> None:
    for _ in range(failures):
        door.knock()
    door.clock.advance(door.knock() and PAUSE_S * 4 if failures > FREE else 0.0)
    with ExitStack() as stack:
        for _ in range(max(1, FREE - failures)):
            stack.enter_context(door.logins.attempt(OWNER, STRANGER))
        assert door.knock() == PAUSE_S
    assert door.knock() == 0.0


def test_without_failures_people_may_come_all_at_once(door: Door) -> None:
    with ExitStack() as stack:
        for number in range(100):
            stack.enter_context(door.logins.attempt(f"{number}@example.org", HOME))
            stack.enter_context(door.logins.attempt(OWNER, HOME))


def test_those_who_have_to_wait_are_counted(door: Door) -> None:
    door.guess(tries=FREE + 2)
    assert "webmacs_logins_refused_total 1.0" in door.metrics.text().decode()


def test_the_log_names_the_address_and_never_the_account(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        door.guess(tries=FREE)
        assert caplog.text == ""
        door.knock()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert STRANGER in record.getMessage()
    assert OWNER not in caplog.text


def test_no_more_is_remembered_than_allowed() -> None:
    door = Door(max_tracked_logins=10)
    for number in range(100):
        door.knock(f"{number}@example.org", f"2001:db8:0:{number}::/64")
        door.knock(f"{number}@example.org", f"2001:db8:1:{number}::/64", well=True)
    logins = door.logins
    assert [len(each) for each in (logins._pairs, logins._addresses, logins._accounts, logins._known)] == [10] * 4


def test_what_failed_longest_ago_is_forgotten_first() -> None:
    pauses: Pauses[str] = Pauses(1, PAUSE_S, LONGEST_S, 2, ManualClock())
    for key in ("a", "b", "a", "c"):
        pauses.failed(key)
    assert [pauses.count(key) for key in ("a", "b", "c")] == [2.0, 0.0, 1.0]


def test_any_number_of_failures_has_a_pause() -> None:
    pauses: Pauses[str] = Pauses(1, PAUSE_S, LONGEST_S, 2, ManualClock())
    assert [pauses.failed("a") for _ in range(3000)][-1] == LONGEST_S
