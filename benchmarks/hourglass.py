"""Readings whose value says when they were sent: what a screen shows tells how old it is.

A process of its own, started as any worker of this package. The value runs from 1 to 10 in nine seconds and begins
again, so that it always has three decimals on the dashboard, which are milliseconds.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Final

from benchmarks import wire, workers

ROUND_S: Final = 9.0
FIRST: Final = 1.0


@dataclass(frozen=True, slots=True)
class Sand:
    """All events, so many times a second, for so long after the sign. `share` of the events are sent at a time."""

    port: int
    token: str
    events: list[str]
    rate: float
    seconds: float
    parts: int = 5


@dataclass(frozen=True, slots=True)
class Run:
    """`late_ms`: how late the latest message was sent."""

    messages: int
    late_ms: float


def value_at(unix_s: float) -> float:
    """The value of a reading that is sent at that time."""
    return round(FIRST + unix_s % ROUND_S, 3)


def main() -> None:
    """Send in `parts` over each period, as a handful of controllers would."""
    sand = Sand(**workers.job())
    link = wire.connect(sand.port, wire.TELEMETRY, sand.token)
    size = -(-len(sand.events) // sand.parts)
    shares = [sand.events[start : start + size] for start in range(0, len(sand.events), size)]
    period_s = 1 / sand.rate / len(shares)
    workers.say_ready()
    workers.wait_for_sign()
    began = time.monotonic()
    late_s, messages = 0.0, 0
    while (due := began + messages * period_s) < began + sand.seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        late_s = max(late_s, time.monotonic() - due)
        value = value_at(time.time())
        datapoints = [{"value": value, "event_public_id": event} for event in shares[messages % len(shares)]]
        link.sendall(wire.client_frame(json.dumps({"datapoints": datapoints}).encode()))
        messages += 1
    workers.hand_back(Run(messages, late_s * 1000))


if __name__ == "__main__":
    main()
