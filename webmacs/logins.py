"""How often a password may be guessed: pauses that grow with each failure, and end. No I/O.

Failures are counted in three places, so that neither one account nor one address can be used to try many times, and yet
nobody can keep somebody else out (`docs/adr/0012-a-stranger-cannot-lock-you-out.md`):

- for an account at an address: few are free;
- for an address, whatever the account, and for an account, whatever the address: more are free.

An account that has been logged in to from an address is known there, and only the first count holds for it.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from webmacs.clock import Clock
from webmacs.config import AuthSettings
from webmacs.errors import TooOften
from webmacs.metrics import Metrics

_log = logging.getLogger(__name__)

K = TypeVar("K")

SHARED: Final = 4  # so many times as many failures are free where several people, or several addresses, come together


@dataclass(slots=True)
class _Failures:
    count: float
    counted_at: float
    pause_until: float
    under_way: int = 0


class Pauses(Generic[K]):
    """Failures by key, of a bounded number of keys, and how long to pause after the last.

    Each `max_pause_s` beyond a pause one failure is forgiven, so that who makes a mistake now and then never comes to
    one, and who stops guessing is rid of them in time. While there are failures, so many tries may be under way as are
    still free, or one: else many at once would all come before the first of them has failed.
    """

    def __init__(self, free: int, pause_s: float, max_pause_s: float, max_keys: int, clock: Clock) -> None:
        self._free, self._pause_s, self._max_pause_s = free, pause_s, max_pause_s
        self._most = free + 1 + math.ceil(math.log2(max_pause_s / pause_s))  # more would not make the pause longer
        self._max_keys, self._clock = max_keys, clock
        self._known: OrderedDict[K, _Failures] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._known)

    def wait_s(self, key: K) -> float:
        """How long it takes until there may be another try; 0: there may be one now."""
        failures = self._current(key)
        if failures is None:
            return 0.0
        left = failures.pause_until - self._clock.monotonic()
        if left <= 0 and failures.under_way >= max(1.0, self._free - failures.count):
            return self._pause_s
        return max(0.0, left)

    def begun(self, key: K) -> Callable[[], None]:
        """A try is under way; what is returned says that it is no more."""
        failures = self._current(key)
        if failures is None:
            return _nothing
        failures.under_way += 1

        def over() -> None:
            failures.under_way -= 1

        return over

    def failed(self, key: K) -> float:
        """A try has failed; how long the pause is that begins."""
        now = self._clock.monotonic()
        failures = self._current(key)
        if failures is None:
            failures = self._known[key] = _Failures(0.0, now, now)
            if len(self._known) > self._max_keys:
                self._known.popitem(last=False)
        failures.count = min(failures.count + 1, self._most)
        self._known.move_to_end(key)
        beyond = failures.count - self._free
        if beyond <= 0:
            return 0.0
        pause_s = min(self._max_pause_s, self._pause_s * 2 ** (beyond - 1))
        failures.pause_until = failures.counted_at = now + pause_s
        return pause_s

    def forgive(self, key: K, count: float) -> None:
        """Take back so many failures, and the pause if those that are left are free."""
        failures = self._current(key)
        if failures is None:
            return
        failures.count -= count
        if failures.count <= 0:
            del self._known[key]
        elif failures.count <= self._free:
            failures.pause_until = failures.counted_at = self._clock.monotonic()

    def count(self, key: K) -> float:
        """How many failures count now."""
        failures = self._current(key)
        return 0.0 if failures is None else failures.count

    def _current(self, key: K) -> _Failures | None:
        """What is remembered of a key, with what has been forgiven since; None when that is everything."""
        failures = self._known.get(key)
        if failures is None:
            return None
        now = self._clock.monotonic()
        if now <= failures.counted_at:
            return failures
        failures.count = max(0.0, failures.count - (now - failures.counted_at) / self._max_pause_s)
        failures.counted_at = now
        if not failures.count:
            del self._known[key]
            return None
        return failures


class Try:
    """One password that is being looked at. Say `ended`, unless nobody could tell whether it is right."""

    def __init__(self, logins: Logins, account: str, address: str) -> None:
        self._logins, self._account, self._address = logins, account, address

    def ended(self, *, well: bool) -> None:
        """It was the right one, or not."""
        if well:
            self._logins.succeeded(self._account, self._address)
        else:
            self._logins.failed(self._account, self._address)


class Logins:
    """Who has to wait before another password is looked at; the same for accounts that do not exist."""

    def __init__(self, settings: AuthSettings, clock: Clock, metrics: Metrics) -> None:
        free, shared = settings.free_failures, SHARED * settings.free_failures
        times = (settings.failure_pause_s, settings.max_failure_pause_s, settings.max_tracked_logins, clock)
        self._pairs: Pauses[tuple[str, str]] = Pauses(free, *times)
        self._addresses: Pauses[str] = Pauses(shared, *times)
        self._accounts: Pauses[str] = Pauses(shared, *times)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._max_known = settings.max_tracked_logins
        self._refused = metrics.counter("logins_refused", "Logins that came too soon after others had failed")

    @contextmanager
    def attempt(self, account: str, address: str) -> Iterator[Try]:
        """Around the look at a password for that account, asked for from that address. Raises `TooOften`."""
        pair = (account, address)
        waits = [self._pairs.wait_s(pair)]
        if pair not in self._known:
            waits += [self._addresses.wait_s(address), self._accounts.wait_s(account)]
        if wait_s := max(waits):
            self._refused.add()
            raise TooOften("Too many failed logins for this account, or from this address; try again later", wait_s)
        under_way: Sequence[Callable[[], None]] = (
            self._pairs.begun(pair),
            self._addresses.begun(address),
            self._accounts.begun(account),
        )
        try:
            yield Try(self, account, address)
        finally:
            for over in under_way:
                over()

    def succeeded(self, account: str, address: str) -> None:
        """What has failed for that account at that address is forgiven, everywhere, and it is known there from now on.

        Nothing else is: who has an account of his own could else go on guessing those of others.
        """
        pair = (account, address)
        failures = self._pairs.count(pair)
        self._pairs.forgive(pair, failures)
        self._addresses.forgive(address, failures)
        if pair not in self._known:
            self._accounts.forgive(account, failures)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > self._max_known:
            self._known.popitem(last=False)

    def failed(self, account: str, address: str) -> None:
        """It was not the password."""
        pair = (account, address)
        pause_s = max(self._pairs.failed(pair), self._addresses.failed(address))
        if pair not in self._known:
            pause_s = max(pause_s, self._accounts.failed(account))
        if pause_s:  # the account is not named: it is what somebody has typed, now and then a password
            _log.warning("failed logins from %s: the next one has to wait %.0f s", address or "nowhere", pause_s)


def _nothing() -> None:
    pass
