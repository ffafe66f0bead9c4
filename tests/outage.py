"""A storage that is away, or slow, for as long as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from webmacs.errors import StorageUnavailable
from webmacs.storage.base import Storage

HOT_PATH = ("reserve", "recall", "append")


class Outage:
    """Stands between the pipeline and a storage that works."""

    def __init__(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = False
        """While this is so, every call is refused at once, as by a database that is not there."""
        self.refused = 0
        self.stored = 0
        self._open = asyncio.Event()
        self._open.set()
        for name in HOT_PATH:
            monkeypatch.setattr(storage, name, self._guarded(getattr(storage, name)))

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """The storage is away meanwhile."""
        self.away = True
        try:
            yield
        finally:
            self.away = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """The storage answers nothing meanwhile."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def _guarded(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(*arguments: Any) -> Any:
            await self._open.wait()
            if self.away:
                self.refused += 1
                raise StorageUnavailable("away, as told by the test")
            result = await call(*arguments)
            self.stored += 1
            return result

        return guarded
