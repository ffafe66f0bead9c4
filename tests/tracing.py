"""Measuring coverage in many threads on CPython 3.11.

`sys.settrace` is refused there while another thread is in it. A thread that is refused as it begins never runs, and
whoever waits for it waits for ever: so it asks again, as the refusal itself makes room.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

ATTEMPTS: Final = 1000
PAUSE_S: Final = 0.001


def patient(settrace: Callable[[Any], None]) -> Callable[[Any], None]:
    """`settrace` that does not give up at the first refusal."""

    def again(function: Any) -> None:
        for _ in range(ATTEMPTS):
            try:
                return settrace(function)
            except RuntimeError:
                time.sleep(PAUSE_S)
        return settrace(function)

    return again


def install() -> None:
    """For this process, from now on."""
    if sys.version_info < (3, 12):
        sys.settrace = patient(sys.settrace)
