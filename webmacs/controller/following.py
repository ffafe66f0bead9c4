"""What a server has configured, fetched again and again, and kept for the time when there is no server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from webmacs.controller.api import Api, Unreachable
from webmacs.controller.document import Document
from webmacs.controller.instances import Instance, as_document, enabled_instances
from webmacs.errors import AuthError, SpoolError

_log = logging.getLogger(__name__)

PATH: Final = "/plugins"


class Following:
    """Hands on the instances that are switched on: those of the last time at once, and whenever they change."""

    def __init__(
        self,
        api: Api,
        kept: Document,
        interval_s: float,
        follow: Callable[[Sequence[Instance]], Awaitable[None]],
    ) -> None:
        self._api, self._kept, self._interval_s, self._follow = api, kept, interval_s, follow
        self._changed = asyncio.Event()
        self._instances: list[Instance] | None = None
        self.problem: str | None = None
        """Why the server could not be asked the last time."""

    def changed(self) -> None:
        """Something was changed: ask now."""
        self._changed.set()

    async def run(self) -> None:
        """Go on for ever."""
        await self._recall()
        while True:
            self._changed.clear()
            try:
                await self._take(enabled_instances(await self._api.pages(PATH)))
                self.problem = None
            except (Unreachable, AuthError, ValueError) as error:
                if str(error) != self.problem:
                    _log.warning("the server does not say which instances there are: %s", error)
                self.problem = str(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._changed.wait()

    async def _recall(self) -> None:
        """Those of the last time."""
        kept = self._kept.read().get("instances")
        if isinstance(kept, list) and kept:
            with contextlib.suppress(ValueError):
                self._instances = enabled_instances(kept)
                await self._follow(self._instances)

    async def _take(self, instances: list[Instance]) -> None:
        if instances == self._instances:
            return
        self._instances = instances
        try:
            self._kept.write(as_document(instances))
        except SpoolError as error:
            _log.warning("%s", error)
        await self._follow(instances)
