"""Both ways to a server, where it does not do as it should."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.controller.conftest import agent_for, scene, until
from tests.controller.devices import Bench
from tests.controller.pretender import Pretender, instance
from webmacs.controller.credentials import Credentials
from webmacs.controller.document import Document
from webmacs.controller.server import Server


@pytest.fixture
def pretender() -> Pretender:
    pretender = Pretender()
    pretender.plugins = [instance()]
    return pretender


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_with_a_wrong_token_it_goes_on_measuring_and_trying(
    tmp_path: Path, bench: Bench, pretender: Pretender, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody may give it back its right, and until then nothing is lost."""
    credentials = Credentials(token="wm_wrong")
    async with scene(pretender, tmp_path, bench):
        await until(lambda: pretender.values)
    pretender.batches.clear()
    bench.measured.clear()
    async with scene(pretender, tmp_path, bench, transport=transport, credentials=credentials) as agent:
        await until(lambda: agent.spool.depth >= 30)
        assert agent.problem is not None
        assert "Invalid or expired token" in agent.problem
    assert pretender.values == []
    assert "wm_wrong" not in caplog.text
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: set(range(30)) <= set(pretender.values))


@pytest.mark.parametrize("status", [404, 500, 502])
async def test_over_http_an_answer_of_somebody_else_costs_no_reading(
    tmp_path: Path, bench: Bench, pretender: Pretender, status: int
) -> None:
    async with scene(pretender, tmp_path, bench, transport="http") as agent:
        await until(lambda: pretender.values)
        pretender.status = status
        await until(lambda: agent.problem is not None)
        measured = len(bench.measured)
        await until(lambda: len(bench.measured) >= measured + 9)
        pretender.status = 0
        await until(lambda: len(pretender.values) > measured + 9)
    assert sorted(pretender.values) == bench.measured
    assert agent.outbox.totals.refused == 0


async def test_over_http_what_can_never_be_taken_is_put_aside(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    async with scene(pretender, tmp_path, bench, transport="http") as agent:
        await until(lambda: pretender.values)
        pretender.status = 422
        await until(lambda: agent.outbox.totals.refused)
    assert "as told by the test (422)" in (tmp_path / "refused.jsonl").read_text()


async def test_a_server_that_is_silent_for_once_is_left_and_tried_again(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    async with scene(pretender, tmp_path, bench, answer_timeout_s=0.5) as agent:
        await until(lambda: pretender.values)
        pretender.answers = False
        pretender.features = None  # and after the reconnection it does not even say hello
        await until(lambda: pretender.connections >= 2)
        assert agent.server.acknowledges
        pretender.answers = True
        await until(lambda: agent.outbox.totals.repeated > 0)
    assert sorted(pretender.values) == bench.measured


async def test_a_server_that_acknowledged_once_is_never_taken_for_one_that_does_not(tmp_path: Path) -> None:
    document = Document(tmp_path / "server.json")
    Server("http://one/", document).learn(acknowledges=True)
    assert Server("http://one", document).acknowledges is True
    assert Server("http://two", document).acknowledges is None


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_messages_that_make_no_sense_change_nothing(
    tmp_path: Path, bench: Bench, pretender: Pretender, transport: str
) -> None:
    nonsense: list[dict[str, Any]] = [
        {"type": "ack", "batch_id": "nobody's", "accepted": 1},
        {"type": "error", "message": "Invalid JSON"},
        {"type": "setpoints", "setpoints": [{}]},
        {"type": "hello"},
        {"type": "news"},
    ]
    async with scene(pretender, tmp_path, bench, transport=transport):
        await until(lambda: pretender.values)
        for message in nonsense:
            await pretender.say(message)
        pretender.plugins = [*pretender.plugins, {"public_id": "broken"}]
        before = len(pretender.values)
        await until(lambda: len(pretender.values) >= before + 30)
    assert sorted(pretender.values) == bench.measured


async def test_a_list_of_instances_that_cannot_be_understood_stops_no_device(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: pretender.values)
        pretender.plugins = [{"public_id": "broken"}]
        await until(lambda: agent.following.problem is not None)
        before = len(bench.measured)
        await until(lambda: len(bench.measured) >= before + 9)
    assert bench.log == ["open", "heater=0", "close"]


async def test_all_pages_of_instances_are_read(tmp_path: Path, bench: Bench, pretender: Pretender) -> None:
    pretender.plugins = [instance(f"{number}", enabled=number > 248) for number in range(250)]
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: len(agent.fleet.workers) == 1)


async def test_unchanged_values_are_left_out_where_that_is_wanted(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    pretender.plugins = [instance(plugin_id="pushing")]
    from webmacs.plugins.base import Sample

    async with scene(pretender, tmp_path, bench, dedup=True):
        for value in (1.0, 1.0, 1.0, 2.0, 2.0, 1.0):
            bench.pushed.put_nowait(Sample("in0", value))
        await until(lambda: pretender.values == [1.0, 2.0, 1.0])


async def test_it_ends_at_once_where_there_is_no_server(tmp_path: Path, bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    async with agent_for("http://127.0.0.1:9", tmp_path, bench):
        await asyncio.sleep(0.1)
        began = loop.time()
    assert loop.time() - began < 1.0
