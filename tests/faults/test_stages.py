"""Every stage that comes with WebMACS, made to raise in every method it has, in a server with senders and browsers.

What holds for stages of any kind is in `tests/pipeline`; here it is held against the whole of it, on real storages.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.plant import Server, now_us, settings_for
from tests.promises import Figure
from tests.wire import acknowledged, heard, history, points, until
from webmacs.cli.serve import running
from webmacs.lock import FileLock
from webmacs.model import Action, Operator, Rule
from webmacs.pipeline import rules as rules_stage
from webmacs.pipeline.base import Stage
from webmacs.pipeline.broadcast import Broadcast
from webmacs.pipeline.gates import FAULTY
from webmacs.pipeline.rules import Rules
from webmacs.pipeline.runner import REFUSED
from webmacs.pipeline.thresholds import words
from webmacs.pipeline.validate import Validate
from webmacs.storage.rules import add_rule
from webmacs.storage.webhooks import add_webhook

EXCEEDED = "sensor.threshold_exceeded"
FAULT = "as told by the test"

# Of each stage, what it is asked while readings come. What validate and filter have not done yet when they fail, nobody
# can do after them; persist is the transaction itself. All three cost the batch, and nothing else.
PASSING = [
    *(("webhook", method) for method in ("record", "conclude", "keep")),
    *(("rules", method) for method in ("record", "conclude", "keep")),
    ("broadcast", "observe"),
]
STOPPING = [("validate", "process"), ("filter", "process"), ("persist", "record")]
REFUSALS = {  # what has not been parsed has no identity; what the filter has not judged may be sent again
    "validate": {"message": FAULTY},
    "filter": {"message": FAULTY},
    "persist": {"message": REFUSED},
}


def stage_of(server: Server, name: str) -> Stage:
    return next(stage for stage in server.parts.stages if stage.name == name)


@contextmanager
def failing(server: Server, name: str, method: str) -> Iterator[None]:
    """A method of a stage raises meanwhile; `keep`, when it has done its work."""
    stage = stage_of(server, name)
    own = getattr(stage, method)

    def fail(*_: Any) -> NoReturn:
        if method == "keep":
            own()
        raise ZeroDivisionError(FAULT)

    async def fail_later(*_: Any) -> NoReturn:
        fail()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage, method, fail_later if method == "observe" else fail)
        yield


def failures(server: Server, name: str) -> int:
    return server.parts.metrics.counter("stage_failures", "", stage=name).value


def has_failed(server: Server, name: str, times: int) -> bool:
    return failures(server, name) == times


def batch(server: Server, value: float, batch_id: object = None) -> dict[str, Any]:
    """One reading, of the first event; by default named for its value."""
    return {"datapoints": [server.reading(float(value))], "batch_id": str(value if batch_id is None else batch_id)}


async def watch_all(server: Server) -> None:
    """A rule without cooldown on each event, met by every value, and a webhook for all there is to hear."""
    for number, event in enumerate(server.plant.linked):
        await add_rule(
            server.parts.storage,
            name=f"rule {number}",
            event=event,
            operator=Operator.GTE,
            threshold=0.0,
            action=Action.WEBHOOK,
            cooldown_s=0,
            now_us=now_us(),
        )
    await add_webhook(
        server.parts.storage, url="http://127.0.0.1:9/", events=[EXCEEDED, "sensor.reading"], now_us=now_us()
    )
    await server.parts.catalog.reload()


async def alarms(server: Server) -> list[tuple[str, float]]:
    """What rules have asked to be told, by event and value, in order."""
    rows = await server.parts.storage.fetch("SELECT payload FROM deliveries ORDER BY id")
    payloads = [json.loads(payload) for (payload,) in rows]
    return [(payload["sensor"], payload["value"]) for payload in payloads if payload["type"] == EXCEEDED]


@pytest.mark.promise("F11")
async def test_whatever_stage_raises_the_batch_is_stored_and_it_is_logged_and_counted(
    server: Server, caplog: pytest.LogCaptureFixture, figure: Figure
) -> None:
    await watch_all(server)
    controller, stream = await server.telemetry(), await server.stream()
    expected, told = [], []
    for number, (name, method) in enumerate(PASSING):
        caplog.clear()
        server.parts.pipeline._failures._said.clear()  # else the log hears of a stage once a second
        before = failures(server, name)
        with failing(server, name, method):
            answer = await acknowledged(controller, batch(server, number))
            assert (answer["type"], answer["accepted"]) == ("ack", 1)
            await until(partial(has_failed, server, name, before + 1))
        assert f"stage {name}" in caplog.text
        assert FAULT in caplog.text
        assert (await acknowledged(controller, batch(server, number + 100)))["accepted"] == 1
        expected += [number, number + 100]
        told += [number + 100] if (name, method) in {("rules", "record"), ("rules", "conclude")} else expected[-2:]
        seen = await points(stream)
        while seen[-1]["value"] != number + 100:
            seen += await points(stream)
        assert failures(server, name) == before + 1
    assert [point.value for point in await history(server)] == expected
    assert await alarms(server) == [(server.plant.linked[0], value) for value in told]
    figure(
        f"{server.parts.storage.scheme}: {len(PASSING)} methods of stages made to raise under way, as many batches"
        f" stored; {len(expected) - len(told)} of {len(expected)} alarms missing, of the two that rules failed for"
    )


@pytest.mark.promise("F11")
async def test_what_nothing_can_be_stored_without_costs_its_batch_and_nobody_elses(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    first, other = await server.telemetry(), await server.telemetry()
    for name, method in STOPPING:
        caplog.clear()
        with failing(server, name, method):
            await first.send_json(batch(server, 0, f"{name} fails"))
            answer = await heard(first)
            assert FAULT in caplog.text
            assert answer == {"type": "error", **REFUSALS[name]} | (
                {} if name == "validate" else {"batch_id": f"{name} fails", "retry": name == "filter"}
            )
        for number, controller in enumerate((first, other), 1):
            assert (await acknowledged(controller, batch(server, number, f"{name} {number}")))["accepted"] == 1
    assert sorted(point.value for point in await history(server)) == [1.0] * 3 + [2.0] * 3


@pytest.mark.promise("F11", "P4")
async def test_a_rule_that_raises_costs_no_other_rule_its_alarm(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await watch_all(server)

    def say(rule: Rule) -> str:
        if rule.name == "rule 1":
            raise ZeroDivisionError(FAULT)
        return words(rule)

    monkeypatch.setattr(rules_stage, "words", say)
    controller = await server.telemetry()
    items = [server.reading(float(event), event) for event in range(3)]
    assert (await acknowledged(controller, {"datapoints": items, "batch_id": "1"}))["accepted"] == 3
    assert await alarms(server) == [(server.plant.linked[0], 0.0), (server.plant.linked[2], 2.0)]
    assert [len(await history(server, event)) for event in range(3)] == [1, 1, 1]
    assert failures(server, "rules") == 1
    assert "in rule 'rule 1' of event 'Sensor 1'" in caplog.text


@pytest.mark.promise("F11")
async def test_stages_that_cannot_close_keep_no_other_from_it_and_what_was_queued_is_stored(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[str] = []
    for stage in server.parts.stages:

        async def close(stage: Stage = stage) -> None:
            closed.append(stage.name)
            raise ZeroDivisionError(FAULT)

        monkeypatch.setattr(stage, "close", close)
    controller = await server.telemetry()
    for number in range(50):
        await controller.send_json(batch(server, number))
    stopping = asyncio.create_task(server.stop())
    answers = [json.loads(message.data) async for message in controller]
    await stopping
    accepted = sum(answer.get("accepted", 0) for answer in answers)
    assert accepted == server.parts.metrics.counter("readings_stored", "").value
    assert closed == ["broadcast", "rules", "webhook", "setpoints", "persist", "filter", "validate"]
    assert [(failures(server, name), f"stage {name} could not be closed" in caplog.text) for name in closed] == [
        (1, True)
    ] * len(closed)


@pytest.mark.promise("F11")
@pytest.mark.parametrize("stage", [Validate, Rules, Broadcast])
async def test_a_stage_that_cannot_start_keeps_the_server_from_starting_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: type[Stage]
) -> None:
    async def start(*_: object) -> None:
        raise ZeroDivisionError(FAULT)

    url = f"sqlite:///{tmp_path / 'test.db'}"
    with monkeypatch.context() as patched:
        patched.setattr(stage, "start", start)
        with pytest.raises(ZeroDivisionError, match=FAULT):
            async with running(settings_for(url, tmp_path)):
                raise AssertionError("it must not start")
    lock = FileLock(tmp_path / "test.db.lock")
    assert lock.acquire()  # as another server would
    lock.release()
