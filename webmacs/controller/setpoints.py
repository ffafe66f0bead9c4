"""From the server to the outputs: what was given, pushed by the server or asked for, and which reading was our own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from webmacs.controller.clocks import Clocks
from webmacs.controller.instances import Instance
from webmacs.controller.outputs import Key, Outputs
from webmacs.controller.wire import Setpoint, setpoint

US: Final = 1e6
KEPT_REPORTS: Final = 4096  # of each event: more are not told between two looks at the latest readings
KEPT_SETPOINTS: Final = 1000  # of events that are linked to no output here, or not yet


class Setpoints:
    """Knows which event belongs to which output, and the newest setpoint of each event.

    A server may speak of an event before it says what that is linked to: such setpoints are kept, too.
    """

    def __init__(self, outputs: Outputs, clocks: Clocks, wake: Callable[[str], None]) -> None:
        """`wake` is called with the instance whose outputs have something new."""
        self._outputs, self._clocks, self._wake = outputs, clocks, wake
        self._newest: dict[str, Setpoint] = {}
        self._keys: dict[str, Key] = {}
        self._reports: dict[str, deque[int]] = {}

    @property
    def events(self) -> Collection[str]:
        """Those that are linked to an output."""
        return self._keys.keys()

    def follow(self, instances: Iterable[Instance]) -> None:
        """Which outputs there are."""
        self._keys = {
            channel.event: Key(instance.public_id, channel.channel_id)
            for instance in instances
            for channel in instance.channels
            if channel.settable
        }
        self._bound()
        self._reports = {event: times for event, times in self._reports.items() if event in self._keys}

    def reported(self, event: str, time_us: int) -> None:
        """We are about to tell the server a reading of that time of an event that is linked to an output."""
        self._reports.setdefault(event, deque(maxlen=KEPT_REPORTS)).append(time_us)

    def given(self, setpoints: Iterable[Setpoint]) -> None:
        """What the server has. What we have told it ourselves is none."""
        for new in setpoints:
            old = self._newest.get(new.event)
            ours = new.time_us in self._reports.get(new.event, ())
            if not ours and (old is None or new.time_us > old.time_us):
                self._newest[new.event] = new
                self._offer(new)
        self._bound()

    def latest(self, readings: Iterable[object]) -> None:
        """The same, of the newest readings of all events: those of outputs are taken for setpoints."""
        found = [_understood(reading) for reading in readings]
        self.given(each for each in found if each is not None and each.event in self._keys)

    def opened(self, instance: Instance) -> None:
        """Its outputs can be set."""
        for channel in instance.channels:
            known = self._newest.get(channel.event)
            if channel.settable and known is not None:
                self._offer(known)

    def _offer(self, new: Setpoint) -> None:
        key = self._keys.get(new.event)
        if key is None:
            return
        age_s = (self._clocks.server_us() - new.time_us) / US
        if self._outputs.given(key, new.value, new.time_us, age_s, asyncio.get_running_loop().time()):
            self._wake(key.instance)

    def _bound(self) -> None:
        """Forget the oldest of those that are for nobody here."""
        others = [event for event in self._newest if event not in self._keys]
        for event in others[: max(len(others) - KEPT_SETPOINTS, 0)]:
            del self._newest[event]


def _understood(reading: object) -> Setpoint | None:
    try:
        return setpoint(reading)  # type: ignore[arg-type]  # what is none of a kind raises
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
