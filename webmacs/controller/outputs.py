"""What outputs are to be set to: setpoints while they live, safe values when nobody is there to give any. No clock.

Of one output, the first of these that applies:

1. The server has been away for `safe_after_s`: its safe value.
2. It has a setpoint that was set, and holds: that one. It holds until the next one, or for `hold_s` after it was given.
3. It has a setpoint that is not older than `ttl_s`: that one. So one that is older is never set: not after a restart, a
   reconnection, a late answer, nor after a device was away.
4. It had one that holds no more, or nobody has given one for `safe_after_s` since its device was opened, so that what
   it is set to is from before: its safe value.
5. What it has.

An output without a safe value stays as it is where it would be set to that. All times are seconds of a clock that does
not step; a setpoint's age is the server's business, and comes with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Policy:
    """See the module. `hold_s` 0: until the next one."""

    ttl_s: float
    hold_s: float
    safe_after_s: float


@dataclass(frozen=True, slots=True)
class Key:
    """An output: the public id of its instance, and its channel."""

    instance: str
    channel_id: str


@dataclass(frozen=True, slots=True)
class Order:
    """Set an output. `reason` is for people; `setpoint_us` says which setpoint it is, None for a safe value."""

    key: Key
    value: float
    reason: str
    setpoint_us: int | None = None


@dataclass(slots=True)
class _Output:
    """One of them."""

    safe_value: float | None
    opened_at: float
    value: float = math.nan  # the newest setpoint
    time_us: int | None = None
    given_at: float = -math.inf
    set_us: int | None = None  # the setpoint that it is set to
    safe: bool = False  # it is set to its safe value
    doubt: float = -math.inf  # an order failed: until then it is not repeated


@dataclass(slots=True)
class Outputs:
    """All outputs whose devices are open."""

    policy: Policy
    now: float
    """Begin: from here on, the server counts as away."""
    expired: int = 0
    """Setpoints that came too late to be set."""
    _outputs: dict[Key, _Output] = field(default_factory=dict)
    _away_since: float | None = None

    def __post_init__(self) -> None:
        self._away_since = self.now

    def of(self, instance: str) -> set[Key]:
        """Those of an instance."""
        return {key for key in self._outputs if key.instance == instance}

    # -- what happens --------------------------------------------------------------------------------------------------

    def opened(self, key: Key, safe_value: float | None, now: float) -> None:
        """Its device is open. What it is set to is not known."""
        self._outputs[key] = _Output(safe_value, now)

    def closed(self, key: Key) -> None:
        """Its device is closed, or it is no output any more."""
        self._outputs.pop(key, None)

    def given(self, key: Key, value: float, time_us: int, age_s: float, now: float) -> bool:
        """Somebody gave it a setpoint at that time of the server, `age_s` ago; whether it is new and still good.

        The newest counts, in whatever order they come.
        """
        output = self._outputs.get(key)
        if output is None or (output.time_us is not None and time_us <= output.time_us):
            return False
        if age_s > self.policy.ttl_s:
            self.expired += 1
            return False
        output.value, output.time_us, output.given_at = value, time_us, now - max(age_s, 0.0)
        output.doubt = -math.inf
        return True

    def server_there(self) -> None:
        """There is a connection."""
        self._away_since = None

    def server_gone(self, now: float) -> None:
        """There is none."""
        if self._away_since is None:
            self._away_since = now

    def done(self, order: Order, now: float, *, succeeded: bool) -> None:
        """An order was carried out, or not: then it is due again after a pause, if it still is."""
        output = self._outputs.get(order.key)
        if output is None:
            return
        if not succeeded:  # which may mean that it was set and nobody knows
            output.safe, output.set_us, output.doubt = False, None, now + RETRY_S
        elif order.setpoint_us is None:
            output.safe, output.set_us = True, None
        else:
            output.safe, output.set_us = False, order.setpoint_us

    # -- what follows --------------------------------------------------------------------------------------------------

    def due(self, now: float, instance: str | None = None) -> list[Order]:
        """What is to be set now; of one instance, or of all."""
        return [
            order
            for key, output in self._outputs.items()
            if instance in {None, key.instance} and now >= output.doubt and (order := self._order(key, output, now))
        ]

    def next_at(self, now: float, instance: str | None = None) -> float | None:
        """When to look again, if nothing happens until then; None: never."""
        moments = [
            at
            for key, output in self._outputs.items()
            if instance in {None, key.instance}
            for at in self._moments(output)
            if at > now
        ]
        return min(moments, default=None)

    def safe_orders(self, instance: str, reason: str) -> list[Order]:
        """What sets the outputs of an instance to their safe values, before its device is closed.

        A list: while the orders are carried out, outputs of other instances come and go.
        """
        return [
            Order(key, output.safe_value, reason)
            for key, output in self._outputs.items()
            if key.instance == instance and output.safe_value is not None and not output.safe
        ]

    def _order(self, key: Key, output: _Output, now: float) -> Order | None:
        policy = self.policy
        if self._away_since is not None and now >= self._away_since + policy.safe_after_s:
            return self._safe(key, output, "the server is away")
        holds = policy.hold_s == 0 or now < output.given_at + policy.hold_s
        if output.time_us is not None and holds:
            if output.set_us == output.time_us:
                return None
            if now <= output.given_at + policy.ttl_s:
                return Order(key, output.value, "setpoint", output.time_us)
        if output.time_us is not None or now >= output.opened_at + policy.safe_after_s:
            return self._safe(key, output, "no setpoint holds")
        return None

    def _safe(self, key: Key, output: _Output, reason: str) -> Order | None:
        if output.safe_value is None or output.safe:
            return None
        return Order(key, output.safe_value, reason)

    def _moments(self, output: _Output) -> Iterator[float]:
        """When what is due may change by itself."""
        if self._away_since is not None:
            yield self._away_since + self.policy.safe_after_s
        if output.time_us is not None and self.policy.hold_s > 0:
            yield output.given_at + self.policy.hold_s
        if output.time_us is not None:
            yield math.nextafter(output.given_at + self.policy.ttl_s, math.inf)
        yield output.opened_at + self.policy.safe_after_s
        yield output.doubt
