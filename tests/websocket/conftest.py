"""One server a module. What is on the wire does not depend on the storage, so there is one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.plant import Server, furnished_server
from webmacs.handlers import sockets


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
