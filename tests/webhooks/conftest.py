"""Fixtures of the tests of webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

BOTH_LOOPS = ("test_addresses", "test_attempt", "test_names", "test_tls")


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What meets receivers does so on the loop that servers run on, and on the one that everybody has."""
    module = item.nodeid.partition("::")[0]
    factories = {"asyncio": asyncio.new_event_loop}
    if any(name in module for name in BOTH_LOOPS):
        factories["uvloop"] = uvloop.new_event_loop
    return factories
