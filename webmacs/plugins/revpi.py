"""`revpi`: the digital inputs and outputs of a Revolution Pi, as other controllers know them.

On the device itself the channels are called as its piCtory file has them, which the server cannot know: an instance of
such a device gets its channels one by one. Ours does not talk to one; in demo mode it shows what one looks like.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from webmacs.errors import DeviceError
from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, PluginDescription, Sample
from webmacs.plugins.pretence import Pretence

TERMINALS: Final = range(1, 15)


class RevPi(Device):
    """Fourteen inputs, fourteen outputs."""

    description: ClassVar = PluginDescription(
        "revpi",
        "Revolution Pi",
        "0.1.0",
        "KUNBUS GmbH",
        "Digital inputs and outputs of a Revolution Pi with a DIO module",
        "https://revolutionpi.com",
        (
            *(
                ChannelDescription(f"Input_{number}", f"Digital Input {number}", Direction.INPUT, "bool", 0.0, 1.0)
                for number in TERMINALS
            ),
            *(
                ChannelDescription(
                    f"Output_{number}", f"Digital Output {number}", Direction.OUTPUT, "bool", 0.0, 1.0, safe_value=0.0
                )
                for number in TERMINALS
            ),
        ),
    )

    def __init__(self, config: Any, *, demo: bool = False) -> None:
        super().__init__(config, demo=demo)
        self._pretence = Pretence()

    async def open(self) -> None:
        """Raises `DeviceError` but in demo mode."""
        if not self.demo:
            raise DeviceError(
                "a Revolution Pi is served by a controller of its own, with this server's address; here the plugin"
                " 'revpi' works in demo mode alone: set demo_mode"
            )

    async def read(self, channel_ids: Sequence[str]) -> Iterable[Sample]:
        """Made-up values."""
        return self._pretence.read(self.known(channel_ids))

    async def write(self, channel_id: str, value: float) -> float:
        """Switch a made-up output."""
        return self._pretence.write(self.settable(channel_id, value), value)
