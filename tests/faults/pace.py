"""What a controller at a steady pace notices: how long each acknowledgement takes."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final

from tests.faults.installation import Installation
from tests.wire import TELEMETRY
from webmacs.model import Role

HZ: Final = 50.0


async def paced(site: Installation, seconds: float, *, first: int = 0) -> list[float]:
    """One reading after the other, named by numbers from `first` on; milliseconds to each acknowledgement."""
    url, params = f"{site.server.address}{TELEMETRY}", {"token": site.plant.tokens[Role.OPERATOR]}
    delays_ms: list[float] = []
    async with site.client.ws_connect(url, params=params) as link:
        began = time.perf_counter()
        while (asked := time.perf_counter()) < began + seconds:
            value = first + len(delays_ms)
            items = [{"value": float(value), "event_public_id": site.plant.linked[0]}]
            await link.send_json({"datapoints": items, "batch_id": str(value)})
            assert (await link.receive_json(timeout=60))["accepted"] == 1
            delays_ms.append((time.perf_counter() - asked) * 1000)
            await asyncio.sleep(max(0.0, began + len(delays_ms) / HZ - time.perf_counter()))
    return delays_ms


def p99(delays_ms: list[float]) -> str:
    """The 99th percentile, for people."""
    return f"{statistics.quantiles(delays_ms, n=100)[98]:.1f} ms"
