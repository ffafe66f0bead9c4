"""`revpi`: the digital inputs and outputs of a Revolution Pi.

On the device itself the channels are called as its piCtory file has them, which the server cannot know: an instance of
such a device gets its channels one by one.
"""

from __future__ import annotations

from typing import ClassVar, Final

from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, PluginDescription

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
                ChannelDescription(f"Output_{number}", f"Digital Output {number}", Direction.OUTPUT, "bool", 0.0, 1.0)
                for number in TERMINALS
            ),
        ),
    )
