"""One server a module, on the loop that servers run on. What is on the wire does not depend on the storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import uvloop

from tests.plant import Server, furnished_server
from webmacs.handlers import sockets

BOTH_LOOPS = ("test_closing", "test_control_frames")


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Where a transport does more than to carry bytes, it is the other loop's, too."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.path.stem in BOTH_LOOPS:
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Tests leave it as it was."""
    directory = tmp_path_factory.mktemp("websocket")
    url, stages = f"sqlite:///{directory / 'test.db'}", {"broadcast": {"interval_s": 0}}
    async with furnished_server(url, directory, stages=stages) as running:
        yield running


@pytest.fixture
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The raw client does not answer a close frame; the server waits less long for it than it would."""
    monkeypatch.setattr(sockets, "GRACE_S", 0.0)
