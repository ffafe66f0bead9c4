"""How many may look back at what was measured at the same time."""

from __future__ import annotations

import asyncio
import os

from webmacs.config import StorageSettings


def lookbacks(settings: StorageSettings) -> asyncio.Semaphore:
    """The turns that all those share who ask for stretches of the past.

    Charts are asked for again and again: half of the connections are for everyone else, and half of the processors,
    where the database is on the same machine, for what is stored and for who watches it.
    """
    return asyncio.Semaphore(max(1, min(settings.pool_size, os.cpu_count() or 1) // 2))
