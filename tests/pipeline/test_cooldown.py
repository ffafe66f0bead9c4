"""The cooldown against a model that keeps everything that ever passed."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from webmacs.pipeline.cooldown import Cooldown

KEYS = st.sampled_from("abc")
INTERVALS_US = st.sampled_from([0, 1, 4, 10])


def passed(cooldown: Cooldown[str], *times_us: int, interval_us: int = 10, key: str = "a") -> list[bool]:
    return [cooldown.passes(key, now_us, interval_us) for now_us in times_us]


def test_a_key_passes_at_once_and_again_when_its_interval_is_over() -> None:
    assert passed(Cooldown(), 100, 101, 109, 110, 119, 120) == [True, False, False, True, False, True]


def test_keys_are_counted_apart() -> None:
    cooldown = Cooldown[str]()
    assert [cooldown.passes(key, 100, 10) for key in "abab"] == [True, True, False, False]


def test_without_an_interval_every_one_passes() -> None:
    assert passed(Cooldown(), 100, 100, 99, 101, interval_us=0) == [True] * 4


def test_what_passed_before_counts_for_a_key_that_is_not_known_here() -> None:
    cooldown = Cooldown[str]()
    assert not cooldown.passes("a", 109, 10, 100)
    assert cooldown.passes("b", 110, 10, 100)


def test_what_passed_here_counts_more_than_what_is_said_to_have_passed_before() -> None:
    cooldown = Cooldown[str]()
    assert cooldown.passes("a", 110, 10, 100)
    assert not cooldown.passes("a", 119, 10, 100)
    cooldown.keep()
    assert not cooldown.passes("a", 119, 10, 100)


def test_what_was_rolled_back_passes_again() -> None:
    cooldown = Cooldown[str]()
    for _ in range(3):
        assert passed(cooldown, 100, 101) == [True, False]
        cooldown.forget()
    assert passed(cooldown, 100) == [True]
    cooldown.keep()
    assert passed(cooldown, 100) == [False]


def test_forgetting_takes_back_no_more_than_one_transaction() -> None:
    cooldown = Cooldown[str]()
    passed(cooldown, 100)
    cooldown.keep()
    passed(cooldown, 110)
    cooldown.forget()
    assert passed(cooldown, 109) == [False]


def test_a_clock_set_back_by_more_than_the_interval_holds_nobody_up() -> None:
    assert passed(Cooldown(), 100, 91, 90, 99, 100) == [True, False, True, False, True]


def test_what_passes_in_a_transaction_can_be_seen_until_it_ends() -> None:
    cooldown = Cooldown[str]()
    passed(cooldown, 100, 105, 110)
    passed(cooldown, 103, key="b")
    assert cooldown.tentative == {"a": 110, "b": 103}
    cooldown.keep()
    assert cooldown.tentative == {}


def test_of_keys_that_are_gone_nothing_is_kept() -> None:
    cooldown = Cooldown[str]()
    for key in "abc":
        passed(cooldown, 100, key=key)
    cooldown.keep()
    cooldown.retain({"b", "z"})
    assert cooldown._kept == {"b": 100}


@dataclass
class Model:
    """All that ever passed, with the transaction it passed in, oldest first; nothing is overwritten."""

    passed: list[tuple[str, int]] = field(default_factory=list)
    committed: int = 0
    """So many of them are committed."""

    def last(self, key: str) -> int | None:
        times = [time_us for passed_key, time_us in self.passed if passed_key == key]
        return times[-1] if times else None

    def passes(self, key: str, now_us: int, interval_us: int, before_us: int | None) -> bool:
        last_us = self.last(key)
        last_us = before_us if last_us is None else last_us
        held_up = last_us is not None and now_us - interval_us < last_us < now_us + interval_us
        if not held_up:
            self.passed.append((key, now_us))
        return not held_up

    def keep(self) -> None:
        self.committed = len(self.passed)

    def forget(self) -> None:
        del self.passed[self.committed :]

    def retain(self, keys: set[str]) -> None:
        kept = [item for item in self.passed[: self.committed] if item[0] in keys]
        self.passed = kept + self.passed[self.committed :]
        self.committed = len(kept)


class CooldownMachine(RuleBasedStateMachine):
    """Transactions that commit or do not, under a clock that is set forward and back."""

    def __init__(self) -> None:
        super().__init__()
        self.cooldown, self.model = Cooldown[str](), Model()
        self.now_us = 1_000

    @rule(key=KEYS, interval_us=INTERVALS_US, before_us=st.none() | st.integers(985, 1_000))
    def arrives(self, key: str, interval_us: int, before_us: int | None) -> None:
        expected = self.model.passes(key, self.now_us, interval_us, before_us)
        assert self.cooldown.passes(key, self.now_us, interval_us, before_us) is expected

    @rule(step_us=st.integers(0, 6) | st.integers(-15, 15))
    def the_clock_moves(self, step_us: int) -> None:
        self.now_us += step_us

    @rule()
    def commits(self) -> None:
        self.cooldown.keep()
        self.model.keep()

    @rule()
    def is_rolled_back(self) -> None:
        self.cooldown.forget()
        self.model.forget()

    @rule(keys=st.sets(KEYS))
    def keys_go(self, keys: set[str]) -> None:
        """Between two transactions or during one."""
        self.cooldown.retain(keys)
        self.model.retain(keys)
        assert self.cooldown._kept.keys() <= keys

    @invariant()
    def it_holds_one_time_a_key(self) -> None:
        under_way = dict(self.model.passed[self.model.committed :])
        assert self.cooldown.tentative == under_way
        assert self.cooldown._kept == dict(self.model.passed[: self.model.committed])


TestCooldown = CooldownMachine.TestCase
TestCooldown.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
