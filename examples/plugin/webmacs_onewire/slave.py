"""What the kernel's driver `w1_therm` says of a thermometer in its file `w1_slave`. Pure functions."""

from __future__ import annotations

import re
from typing import Final

from webmacs.plugins.base import DeviceError

ANSWER: Final = re.compile(
    r"(?P<bytes>(?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (?P<verdict>YES|NO)\n"
    r"(?:[0-9a-f]{2} ){9}t=(?P<millidegrees>-?\d+)\n?"
)
POWERED_ON: Final = (bytes.fromhex("5005"), 0x0C)  # temperature and byte 6 of a chip that has not measured yet


def celsius(text: str) -> float:
    """The temperature. Raises `DeviceError` when this is none.

    The driver writes nothing at all when the chip did not answer, and a number also when the checksum was wrong. A chip
    that has lost its power while it measured says 85 °C with a good checksum; byte 6 tells that from a true 85 °C.
    """
    if not text:
        raise DeviceError("it does not answer; look at its wires")
    answer = ANSWER.fullmatch(text)
    if answer is None:
        raise DeviceError(f"w1_slave has {text[:80]!r}, which is not what w1_therm writes")
    if answer["verdict"] == "NO":
        raise DeviceError("the checksum is wrong; look at its wires and the pull-up resistor")
    said = bytes.fromhex(answer["bytes"])
    if (said[:2], said[6]) == POWERED_ON:
        raise DeviceError("it was without power while it measured; look at its supply")
    return int(answer["millidegrees"]) / 1000
