"""The agent as a whole: against a server that says hello, one that does not, and one that says nothing at all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.controller.conftest import agent_for, scene, until
from tests.controller.devices import Bench
from tests.controller.pretender import Pretender, channel, instance, pretending
from tests.controller.stored import stored_rows
from tests.plant import Server
from webmacs.controller.credentials import Credentials
from webmacs.controller.instances import State
from webmacs.model import Role
from webmacs.plugins.base import Device, Sample


async def test_what_is_measured_is_stored_once_in_order(server: Server, tmp_path: Path, bench: Bench) -> None:
    """A real server that knows nothing of controllers but acknowledgements."""
    credentials = Credentials(token=server.plant.tokens[Role.ADMIN])
    async with agent_for(server.address, tmp_path / "spool", bench, credentials=credentials) as agent:
        await until(lambda: agent.outbox.totals.stored >= 60)
    rows = await stored_rows(server.parts.storage)
    assert sorted(row.value for row in rows) == bench.measured
    for event in server.plant.linked:
        own = [row for row in rows if row.event == event]
        assert [row.value for row in own] == sorted(row.value for row in own)
        assert [row.time_us for row in own] == sorted(row.time_us for row in own)
    assert agent.server.acknowledges
    assert agent.spool.depth == 0


async def test_a_server_that_says_hello_is_sent_readings_with_their_times(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    async with scene(pretender, tmp_path, bench):
        await until(lambda: len(pretender.values) >= 30)
        now = pretender.now()
    assert pretender.values == bench.measured
    assert {reading["event_public_id"] for reading in pretender.readings} == {"one.in0", "one.in1", "one.in2"}
    assert all(type(now).fromisoformat(reading["timestamp"]) <= now for reading in pretender.readings)


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_a_server_that_never_acknowledges_gets_each_reading_at_most_once(
    tmp_path: Path, bench: Bench, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    pretender = Pretender(features=None, answers=False)
    pretender.plugins = [instance()]
    async with scene(pretender, tmp_path, bench, transport=transport, answer_timeout_s=0.5) as agent:
        await until(lambda: len(pretender.values) >= 60)
        pretender.cut()
        await until(lambda: len(pretender.values) >= 90)
    assert len(set(pretender.values)) == len(pretender.values)
    assert agent.server.acknowledges is False
    assert caplog.text.count("this server does not acknowledge what it is given") == 1


async def test_over_http_everything_is_the_same(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    async with scene(pretender, tmp_path, bench, transport="http"):
        await until(lambda: len(pretender.values) >= 30)
        pretender.status, pretender.headers = 503, {"Retry-After": "0"}
        await asyncio.sleep(0.1)
        pretender.status = 0
        before = len(pretender.values)
        await until(lambda: len(pretender.values) >= before + 30)
        await until(lambda: pretender.statuses)
    assert sorted(pretender.values) == bench.measured


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_a_session_that_ends_is_followed_by_another_one(tmp_path: Path, bench: Bench, transport: str) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    credentials = Credentials(email="me@example.org", password="secret")
    async with scene(pretender, tmp_path, bench, transport=transport, credentials=credentials):
        await until(lambda: pretender.values)
        pretender.logins += 1  # the token of before is not good any more
        pretender.cut()
        before = len(pretender.values)
        await until(lambda: len(pretender.values) >= before + 9)
    assert sorted(pretender.values) == bench.measured
    assert pretender.logins == 3


async def test_during_an_outage_readings_wait_and_afterwards_live_ones_go_first(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    async with pretending(pretender) as address:
        port = int(address.rpartition(":")[2])
        async with agent_for(address, tmp_path, bench):
            await until(lambda: pretender.values)
    pretender.batches.clear()
    bench.measured.clear()
    async with agent_for(address, tmp_path, bench, backlog_rate=100.0) as agent:
        await until(lambda: len(bench.measured) >= 90)  # by what was configured the last time
        assert agent.problem is not None
        count = len(bench.measured)
        async with pretending(pretender, port):
            await until(lambda: agent.connected_at is not None)
            missed = len(bench.measured)
            await until(lambda: any(value >= missed for value in pretender.values))
            first_live = next(at for at, value in enumerate(pretender.values) if value >= missed)
            assert first_live < count  # long before all of the backlog
            await until(lambda: set(range(missed)) <= set(pretender.values))
    assert len(set(pretender.values)) == len(pretender.values)


async def test_what_a_server_will_never_take_is_put_aside_with_the_reason(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    pretender.refuses = {"message": "Batch refused by the storage", "retry": False}
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: agent.outbox.totals.refused >= 9)
        pretender.refuses = None
        await until(lambda: pretender.values)
    put_aside = (tmp_path / "refused.jsonl").read_text()
    assert put_aside.count('"reason": "Batch refused by the storage"') == put_aside.count("\n") > 0
    assert put_aside.count("one.in") + len(pretender.values) == len(bench.measured)


async def test_what_a_server_takes_later_is_sent_later(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    pretender.refuses = {"message": "Storage unavailable, batch not stored", "retry": True}
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: agent.outbox.problem is not None and len(bench.measured) >= 9)
        pretender.refuses = None
        await until(lambda: len(pretender.values) >= 30)
    assert sorted(pretender.values) == bench.measured
    assert not (tmp_path / "refused.jsonl").exists()


async def test_a_batch_that_is_there_already_with_other_times_is_stored(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    pretender.refuses = {"message": "batch_id was used before with other contents", "retry": False}
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: agent.outbox.totals.repeated >= 9)
    assert agent.outbox.totals.refused == 0


async def test_a_server_that_takes_less_at_once_gets_it_in_parts(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    pretender.max_batch_size = 2
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: len(pretender.values) >= 30)
        pretender.cut()
        await until(lambda: len(pretender.values) >= 60)
    assert max(len(batch["datapoints"]) for batch in pretender.batches) == 2
    assert sorted(pretender.values) == bench.measured
    assert agent.spool.depth == 0


# -- devices -----------------------------------------------------------------------------------------------------------


async def test_instances_come_change_and_go_without_a_restart(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    async with scene(pretender, tmp_path, bench, config_interval_s=60.0):
        pretender.plugins = [instance()]
        await pretender.say({"type": "changed"})
        await until(lambda: bench.log == ["open"])
        pretender.plugins = [instance(demo_mode=True)]
        await pretender.say({"type": "changed"})
        await until(lambda: bench.log == ["open", "heater=0", "close", "open demo"])
        pretender.plugins = [instance(demo_mode=True, instance_name="Another name"), instance("two")]
        await pretender.say({"type": "changed"})
        await until(lambda: bench.log[4:] == ["open"])  # the first one goes on as it is
        pretender.plugins = [instance(enabled=False), instance("two")]
        await pretender.say({"type": "changed"})
        await until(lambda: bench.log[5:] == ["heater=0", "close"])
    assert bench.log[7:] == ["heater=0", "close"]


async def test_a_channel_that_is_added_is_read_from_the_next_beat_on(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance(channel_mappings=[channel("one", "in0")])]

    def events() -> set[str]:
        return {reading["event_public_id"] for reading in pretender.readings}

    async with scene(pretender, tmp_path, bench):
        await until(lambda: events() == {"one.in0"})
        pretender.plugins = [
            instance(channel_mappings=[channel("one", "in0"), channel("one", "in1", event_public_id="other")])
        ]
        await until(lambda: events() == {"one.in0", "other"})
    assert bench.log == ["open", "close"]


async def test_a_controller_that_starts_without_a_server_measures_what_it_measured_last(
    tmp_path: Path, bench: Bench
) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    async with scene(pretender, tmp_path, bench):
        await until(lambda: pretender.values)
    bench.measured.clear()
    async with agent_for("http://127.0.0.1:9", tmp_path, bench) as agent:
        await until(lambda: agent.spool.depth >= 30)


async def test_a_device_that_pushes_is_listened_to(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance(plugin_id="pushing")]
    async with scene(pretender, tmp_path, bench):
        for value in range(20):
            bench.pushed.put_nowait(Sample("in1", float(value)))
        bench.pushed.put_nowait(Sample("unknown", 1.0))
        await until(lambda: pretender.values == list(range(20)))
    assert bench.measured == []  # it was never read


async def test_the_status_of_devices_is_reported_when_it_changes(tmp_path: Path, bench: Bench) -> None:
    pretender = Pretender()
    pretender.plugins = [instance(), instance("two", demo_mode=True), instance("three", plugin_id="unknown")]

    def told() -> dict[str, tuple[str, Any]]:
        last = pretender.statuses[-1]["instances"] if pretender.statuses else []
        return {item["public_id"]: (item["status"], item["message"]) for item in last}

    async with scene(pretender, tmp_path, bench, status_interval_s=60.0):
        missing = ("error", "the plugin 'unknown' is not installed here")
        await until(lambda: told() == {"one": ("connected", None), "two": ("demo", None), "three": missing})
        bench.fails["read"] = ConnectionError("unplugged")
        await until(lambda: told()["one"] == ("error", "ConnectionError: unplugged"))
        del bench.fails["read"]
        await until(lambda: told()["one"] == ("connected", None))


async def test_a_device_that_hangs_holds_up_nobody_else(tmp_path: Path, bench: Bench) -> None:
    other = Bench()
    pretender = Pretender()
    pretender.plugins = [instance(), instance("two", plugin_id="pushing")]

    def find(plugin_id: str) -> type[Device]:
        return (other if plugin_id == "pushing" else bench).find(plugin_id)

    bench.hangs.add("read")
    async with scene(pretender, tmp_path, bench, find=find) as agent:
        for value in range(50):
            other.pushed.put_nowait(Sample("in0", float(value)))
        await until(lambda: pretender.values == list(range(50)))
        worker = agent.fleet.workers[0]
        await until(lambda: worker.state is State.ERROR)
        assert worker.message == "the device does not answer within 0.5 s"
        bench.hangs.clear()
        await until(lambda: worker.state is State.CONNECTED)
        assert worker.figures.missed > 0


async def test_a_device_that_cannot_be_closed_is_given_up(
    tmp_path: Path, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    pretender = Pretender()
    pretender.plugins = [instance()]
    loop = asyncio.get_running_loop()
    async with scene(pretender, tmp_path, bench):
        await until(lambda: pretender.values)
        bench.fails["close"] = ZeroDivisionError("a bug")
        began = loop.time()
    assert loop.time() - began < 1.0
    assert bench.log == ["open", "heater=0", "close"]  # and nothing after that
    assert "Rig one could not be closed: ZeroDivisionError: a bug" in caplog.text
