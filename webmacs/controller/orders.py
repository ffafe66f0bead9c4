"""An order to an output: carried out, compared with what the device has then, and written down."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from webmacs.controller.calls import within
from webmacs.controller.outputs import Order
from webmacs.errors import DeviceError
from webmacs.plugins.base import Device

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """`value`: what the output has, as far as is known; None: the order failed. `problem`: what is amiss, in words."""

    value: float | None
    problem: str | None = None


async def carry_out(device: Device, order: Order, instance: str, *, timeout_s: float, tolerance: float) -> Result:
    """Set an output, and log it with names and values that a program can read. Raises nothing.

    `tolerance` is how far the device may be from what it was set to, as a share of the channel's range: devices round.
    """
    channel_id = order.key.channel_id
    try:
        read_back = await within(timeout_s, device.write(channel_id, order.value))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other outputs are to be set
        why = str(error) if isinstance(error, DeviceError) else f"{type(error).__name__}: {error}"
        _log.error("output failed: %s", _told(instance, order, error=why))
        return Result(None, f"{channel_id} could not be set to {order.value:g}: {why}")
    if read_back is None or _close_enough(device, channel_id, order.value, read_back, tolerance):
        _log.info("output set: %s", _told(instance, order, read_back=read_back))
        return Result(order.value if read_back is None else read_back)
    _log.warning("output differs: %s", _told(instance, order, read_back=read_back))
    return Result(read_back, f"{channel_id} was set to {order.value:g}, and the device has {read_back:g}")


def _close_enough(device: Device, channel_id: str, value: float, read_back: float, tolerance: float) -> bool:
    channel = device.channels.get(channel_id)
    width = channel.max_value - channel.min_value if channel else abs(value)
    return math.isclose(value, read_back, rel_tol=0.0, abs_tol=tolerance * width)


def _told(instance: str, order: Order, **more: object) -> str:
    pairs = {
        "instance": instance,
        "channel": order.key.channel_id,
        "value": order.value,
        "reason": order.reason,
        "setpoint_us": order.setpoint_us,
        **more,
    }
    return " ".join(f"{name}={value!r}" for name, value in pairs.items() if value is not None)
