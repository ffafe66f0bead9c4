"""What a controller shows of itself."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from tests.controller.conftest import agent_for, scene, until
from tests.controller.devices import Bench
from tests.controller.pretender import Pretender, instance
from tests.virtual_time import virtual_time
from webmacs.controller import face
from webmacs.controller.agent import Agent
from webmacs.controller.face import Lines, Screen
from webmacs.controller.instances import State
from webmacs.tasks import beside


@pytest.fixture
def pretender() -> Pretender:
    pretender = Pretender()
    pretender.plugins = [instance(), instance("two", plugin_id="unknown")]
    return pretender


def shown(screen: Screen) -> str:
    console = Console(width=140, file=io.StringIO(), force_terminal=False)
    console.print(screen.draw())
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


async def test_the_picture_has_devices_connection_spool_and_what_is_amiss(
    tmp_path: Path, bench: Bench, pretender: Pretender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "REFRESH_S", 0.05)
    terminal = io.StringIO()
    async with scene(pretender, tmp_path, bench) as agent:
        screen = Screen(agent, Console(file=terminal, force_terminal=True, width=140))
        async with beside(screen.run()):
            await until(lambda: pretender.values)
            await asyncio.sleep(0.2)
            logging.getLogger("webmacs.test").warning("something was said")
            await until(lambda: "something was said" in shown(screen))
            picture = shown(screen)
            await until(lambda: "something was said" in terminal.getvalue())
    assert agent.server.address in picture
    assert "connected" in picture
    assert "Rig one" in picture
    assert "/s" in picture
    assert "the plugin 'unknown' is not installed here" in picture
    assert "readings wait" in picture


async def test_the_picture_says_what_is_missing(tmp_path: Path, bench: Bench) -> None:
    async with agent_for("http://127.0.0.1:9", tmp_path, bench) as agent:
        screen = Screen(agent)
        assert "not connected: not connected yet" in shown(screen)
        assert "no devices: add an instance of a plugin on the server" in shown(screen)


async def test_elsewhere_a_line_now_and_then_says_it(
    tmp_path: Path,
    bench: Bench,
    pretender: Pretender,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(face, "LINE_S", 0.1)
    async with scene(pretender, tmp_path, bench) as agent, beside(Lines(agent).run()):
        await until(lambda: pretender.values)
        await until(lambda: "connected; 1 of 2 devices well" in caplog.text)
        pretender.refuses = {"message": "no", "retry": False}
        await until(lambda: "3 refused" in caplog.text or "6 refused" in caplog.text or "9 refused" in caplog.text)


@virtual_time
async def test_a_rate_is_steady_also_where_a_picture_is_drawn_more_often_than_a_device_is_read() -> None:
    figures = SimpleNamespace(readings=0, last_ns=None, missed=0)
    instance = SimpleNamespace(public_id="a", name="Rig")
    worker = SimpleNamespace(instance=instance, figures=figures, state=State.CONNECTED, message="")
    glance = face.Glance(cast(Agent, SimpleNamespace(fleet=SimpleNamespace(workers=[worker]))))
    rates = []
    for turn in range(40):
        glance.look(0)
        rates.append(glance.rate)
        await asyncio.sleep(0.5)
        figures.readings += 2 * (turn % 2)  # two channels, once a second
    assert rates[0] == 0.0
    assert all(rate == pytest.approx(2.0, abs=0.5) for rate in rates[12:])
    assert [row.name for row in glance.rows] == ["Rig"]
