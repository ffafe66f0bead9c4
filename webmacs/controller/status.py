"""Tells the server how the devices are doing: when that changes, and now and then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from webmacs.controller.api import Api, Unreachable
from webmacs.controller.fleet import Fleet
from webmacs.controller.wire import status_text
from webmacs.errors import AuthError

_log = logging.getLogger(__name__)

PATH: Final = "/plugins/status"
NOT_TAKEN: Final = (403, 404, 405)
SOON_S: Final = 0.2  # what changes at nearly the same time is told at once
MAX_MESSAGE: Final = 200


class StatusReports:
    """Sends them over the telemetry socket where the server understands it, by HTTP where there is none."""

    def __init__(self, fleet: Fleet, api: Api, note: Callable[[str], bool], interval_s: float) -> None:
        self._fleet, self._api, self._note, self._interval_s = fleet, api, note, interval_s
        self._changed = asyncio.Event()
        self.by_socket = self.by_http = False
        """Whether the server takes them, and how."""

    def changed(self) -> None:
        """There is something new to tell."""
        self._changed.set()

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._changed.wait()
            await asyncio.sleep(SOON_S)
            self._changed.clear()
            await self._tell()

    async def _tell(self) -> None:
        instances = [
            {
                "public_id": worker.instance.public_id,
                "status": worker.state.value,
                "message": worker.message[:MAX_MESSAGE] or None,
            }
            for worker in self._fleet.workers
        ]
        if not instances:
            return
        if self.by_socket:
            self._note(status_text(instances))
        elif self.by_http:
            await self._post({"instances": instances})

    async def _post(self, body: dict[str, Any]) -> None:
        try:
            reply = await self._api.ask("POST", PATH, json.dumps(body))
        except (Unreachable, AuthError) as error:
            _log.debug("the status of the devices could not be told: %s", error)
            return
        if reply.status in NOT_TAKEN:
            _log.info("the server does not take the status of devices: %s", reply.said())
            self.by_http = False
