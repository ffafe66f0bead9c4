"""A call of a device: it has a deadline, and what goes wrong is said in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from webmacs.errors import DeviceError

T = TypeVar("T")


async def within(timeout_s: float, call: Awaitable[T]) -> T:
    """What the call returns. What it raises that is no error of devices is a fault of its plugin, and is let through.

    Raises:
        DeviceError: it has failed, or has not answered in time, and is cancelled.

    """
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except TimeoutError as error:
        raise DeviceError(f"the device does not answer within {timeout_s:g} s") from error
