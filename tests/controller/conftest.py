"""An agent with everything that a test wants to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.controller.devices import Bench
from tests.controller.pretender import TOKEN, Pretender, pretending
from webmacs.config import ControllerSettings
from webmacs.controller.agent import Agent, running
from webmacs.controller.clocks import LocalClock, MachineClock
from webmacs.controller.credentials import Credentials
from webmacs.controller.directory import opened
from webmacs.plugins.base import Device

BRISK: dict[str, Any] = {
    "poll_interval_s": 0.02,
    "hello_timeout_s": 0.1,
    "answer_timeout_s": 2.0,
    "first_retry_s": 0.02,
    "max_retry_s": 0.1,
    "config_interval_s": 0.2,
    "status_interval_s": 0.2,
    "shutdown_timeout_s": 2.0,
    "device_timeout_s": 0.5,
}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@asynccontextmanager
async def agent_for(
    address: str,
    directory: Path,
    bench: Bench,
    *,
    credentials: Credentials | None = None,
    clock: LocalClock | None = None,
    find: Callable[[str], type[Device]] | None = None,
    **settings: Any,
) -> AsyncIterator[Agent]:
    """An agent at work, its spool in that directory."""
    chosen = ControllerSettings.model_validate({**BRISK, "server_url": address, **settings})
    clock = clock or MachineClock()
    with opened(directory, chosen, clock) as place:
        async with aiohttp.ClientSession() as session:
            agent = Agent(chosen, place, session, credentials or Credentials(token=TOKEN), clock, find or bench.find)
            async with running(agent):
                yield agent


@asynccontextmanager
async def scene(pretender: Pretender, directory: Path, bench: Bench, **settings: Any) -> AsyncIterator[Agent]:
    """The same, and a server that says hello."""
    async with pretending(pretender) as address, agent_for(address, directory, bench, **settings) as agent:
        yield agent


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
