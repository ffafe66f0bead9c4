"""`webmacs watch`: what is given on the command line, what comes out, how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import signal
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tests.cli.conftest import Configure, until
from tests.cli.pretender import Pretender, hang_up, pretending, reading, telling
from tests.cli.process import bare_environment, ended, started
from tests.plant import Server
from tests.wire import acknowledged
from webmacs.cli import access, main
from webmacs.cli.feed import Mode
from webmacs.cli.names import Names
from webmacs.cli.point import in_list
from webmacs.cli.setting import one_line
from webmacs.cli.watch import Audience, Lines, Screen, Unread, watch
from webmacs.cli.watch import Server as Watched
from webmacs.errors import AuthError
from webmacs.model import Role

LATER = "2026-05-04T12:00:01.000000+00:00"


@pytest.fixture
def remote() -> Iterator[Pretender]:
    """A pretending server in a thread of its own, for commands that run in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = pretending(telling(reading("e1", 1.5), reading("e2", 2.0), reading("e1", 1.75, LATER)))
    pretender = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
    pretender.lists["events"] = [
        {"public_id": "e1", "name": "Pressure", "unit": "bar"},
        {"public_id": "e2", "name": "Level", "unit": "m"},
    ]
    yield pretender
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def run(*arguments: str, stdin: str = "", **environ: str) -> Result:
    return CliRunner(env={"WEBMACS_API_TOKEN": None, "WEBMACS_CONFIG": None, **environ}).invoke(
        main, ["watch", *arguments], input=stdin
    )


def lines_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


# -- what comes out -----------------------------------------------------------------------------------------------


def test_a_line_a_reading_with_tabs_between(remote: Pretender) -> None:
    assert lines_of(run(remote.address, "--token", "good", "--count", "3")) == [
        "2026-05-04T12:00:00.000000+00:00\tPressure\t1.5\tbar",
        "2026-05-04T12:00:00.000000+00:00\tLevel\t2.0\tm",
        "2026-05-04T12:00:01.000000+00:00\tPressure\t1.75\tbar",
    ]


def test_json_is_what_the_server_sent(remote: Pretender) -> None:
    result = run(remote.address, "--token", "good", "--json", "--count", "3")
    assert [json.loads(line) for line in lines_of(result)] == [
        reading("e1", 1.5),
        reading("e2", 2.0),
        reading("e1", 1.75, LATER),
    ]


def test_it_ends_after_so_many_readings(remote: Pretender) -> None:
    assert len(lines_of(run(remote.address, "--token", "good", "--count", "2"))) == 2


def test_events_are_chosen_by_name(remote: Pretender) -> None:
    lines_of(run(remote.address, "--token", "good", "--event", "press", "--count", "1"))
    assert remote.queries[0]["events"] == "e1"


def test_an_event_that_is_not_there_is_one_line(remote: Pretender) -> None:
    result = run(remote.address, "--token", "good", "--event", "Humidity")
    assert (result.exit_code, result.stderr) == (1, "Error: no event is called 'Humidity'\n")


def test_what_hinders_is_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Names(), as_json=False)
    lines.changed(Mode.CONNECTING, None)
    lines.changed(Mode.POLLING, "connection refused")
    assert capsys.readouterr() == ("", "polling: connection refused\n")


ORDERS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r\n"


@pytest.mark.promise("S10")
@pytest.mark.parametrize("as_json", [True, False])
async def test_a_server_gives_our_terminal_no_orders(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """Neither by what its events are called, nor by why it refuses us."""
    async with aiohttp.ClientSession() as session:
        names = Names()
        watched = Watched("http://nowhere", access.by_token("good"), trust=True)
        audience = Audience(watched, names, Lines(names, as_json=as_json), session, asyncio.Event(), 1)
        audience.changed(Mode.POLLING, f"refused{ORDERS}")
        await audience.received(in_list([reading(f"e1{ORDERS}")]))
    for said in capsys.readouterr():
        (line,) = said.splitlines()
        assert line.replace("\t", "").isprintable()
    with pytest.raises(click.ClickException) as refused:
        raise one_line(AuthError(f"refused{ORDERS}"))
    assert refused.value.message.isprintable()


# -- ways in ------------------------------------------------------------------------------------------------------


def test_the_token_may_come_from_the_environment(remote: Pretender) -> None:
    assert lines_of(run(remote.address, "--count", "1", WEBMACS_API_TOKEN="good"))


def test_the_token_may_be_part_of_the_url(remote: Pretender) -> None:
    url = f"{remote.address.replace('http', 'ws')}/ws/datapoints/stream?token=good"
    assert lines_of(run(url, "--count", "1"))


def test_one_may_log_in_with_a_password(remote: Pretender) -> None:
    assert lines_of(
        run(remote.address, "--email", "me@example.org", "--password-stdin", "--count", "1", stdin="right\n")
    )
    assert remote.logins == 1


def test_the_password_is_asked_for_and_not_shown(remote: Pretender) -> None:
    result = run(remote.address, "--email", "me@example.org", "--count", "1", stdin="right\n")
    assert len(lines_of(result)) == 1
    assert "right" not in result.output


@pytest.mark.parametrize("options", [["--token", "bad"], ["--token", "bad", "--event", "Pressure"]])
def test_a_refused_token_is_one_line(remote: Pretender, options: list[str]) -> None:
    result = run(remote.address, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: Invalid or expired token\n")


def test_a_wrong_password_is_one_line(remote: Pretender) -> None:
    result = run(remote.address, "--email", "me@example.org", "--password-stdin", stdin="wrong\n")
    assert (result.exit_code, result.stderr) == (1, "Error: Incorrect email or password\n")


def test_without_a_credential_it_says_what_to_give(remote: Pretender) -> None:
    result = run(remote.address)
    assert result.stderr == "Error: no credential: give --token or --email, or set WEBMACS_API_TOKEN\n"


def test_a_url_and_a_configuration_are_one_too_many(tmp_path: Path) -> None:
    result = run("plant:8000", "--config", str(tmp_path / "webmacs.toml"))
    assert result.exit_code == 2
    assert "give a URL or --config, not both" in result.stderr


def test_a_server_that_is_not_there_is_one_line_when_names_are_needed(port: int) -> None:
    result = run(f"127.0.0.1:{port}", "--token", "good", "--event", "Pressure")
    assert result.stderr == f"Error: cannot reach http://127.0.0.1:{port}: connection refused\n"


async def test_an_installation_on_this_machine_needs_no_credential(
    server: Server, configure: Configure, tmp_path: Path
) -> None:
    """And a token that the environment has for another server is not used for it."""
    config = configure(server.settings.storage.url, port=int(server.address.rpartition(":")[2]))
    async with started(*("watch", "--config", config), cwd=tmp_path, WEBMACS_API_TOKEN="of another server") as watching:
        await until(lambda: server.parts.hub.size("frontend"))
        telemetry = await server.telemetry()
        await acknowledged(telemetry, {"datapoints": [server.reading(7.5)], "batch_id": "1"})
        assert (await watching.line()).split("\t")[1:] == ["Sensor 0", "7.5", "V"]


async def test_another_user_may_be_given_for_an_installation(
    server: Server, configure: Configure, tmp_path: Path
) -> None:
    config = configure(server.settings.storage.url, port=int(server.address.rpartition(":")[2]))
    telemetry = await server.telemetry()
    await acknowledged(telemetry, {"datapoints": [server.reading(7.5)], "batch_id": "1"})
    seen = await ended(
        *("watch", "--config", config, "--token", server.plant.tokens[Role.VIEWER], "--count", "1"), cwd=tmp_path
    )
    assert seen.out.split("\t")[1:] == ["Sensor 0", "7.5", "V\n"]


# -- how it ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_it_quietly(tmp_path: Path, number: signal.Signals) -> None:
    async with (
        pretending(telling(reading())) as server,
        started("watch", server.address, "--token", "good", cwd=tmp_path) as watching,
    ):
        await watching.line()
        code, seconds = await watching.stop(number)
        rest = await watching.rest()
    assert (code, rest.out, rest.err) == (0, "", "")
    assert seconds < 3


async def test_it_ends_quietly_when_nobody_reads_any_more(tmp_path: Path) -> None:
    async with pretending(*[telling(*(reading(f"event {number}") for number in range(5000)))]) as server:
        command = f"{sys.executable} -m webmacs watch {server.address} --token good | head -n 1"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-o", "pipefail", "-c", command),
            cwd=tmp_path,
            env=bare_environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert len(out.splitlines()) == 1
    assert (err, process.returncode) == (b"", 0)


def test_lines_that_nobody_reads_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(Unread):
        Lines(Names(), as_json=True).show([])


async def test_readings_beyond_the_count_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    async with aiohttp.ClientSession() as session:
        names, ended = Names(), asyncio.Event()
        watched = Watched("http://nowhere", access.by_token("good"), trust=True)
        audience = Audience(watched, names, Lines(names, as_json=True), session, ended, 2)
        for _ in range(3):
            await audience.received(in_list([reading("e1"), reading("e2")]))
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert ended.is_set()


# -- in a terminal ------------------------------------------------------------------------------------------------


@contextmanager
def terminal(width: int, height: int) -> Iterator[tuple[int, int]]:
    """A terminal of that size: our end and the program's."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    os.set_blocking(ours, False)
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


async def read_until(descriptor: int, text: str) -> str:
    """What comes on a terminal, until there is that text in it."""
    seen = b""
    async with asyncio.timeout(20):
        while text.encode() not in seen:
            try:
                seen += os.read(descriptor, 65536)
            except BlockingIOError:
                await asyncio.sleep(0.01)
    return seen.decode()


async def test_a_terminal_shows_a_table_and_gets_its_screen_back(tmp_path: Path) -> None:
    async with pretending(telling(*(reading(f"event {number}") for number in range(256)))) as server:
        with terminal(80, 24) as (ours, theirs):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "webmacs", "watch", server.address, "--token", "good"),
                cwd=tmp_path,
                env={**bare_environment(), "TERM": "xterm-256color"},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
            shown = await read_until(ours, "more; --event chooses")
            process.send_signal(signal.SIGINT)
            left = await read_until(ours, "\x1b[?1049l")
            assert await asyncio.wait_for(process.wait(), 10) == 0
    assert "\x1b[?1049h" in shown
    assert "websocket" in shown
    assert "256 events" in shown + left


async def test_the_screen_follows_the_feed() -> None:
    terminal = io.StringIO()
    async with pretending(telling(reading("e1", 1.5)), hang_up) as server:
        names = Names()
        console = Console(file=terminal, force_terminal=True, color_system=None, width=80, height=24)
        screen = Screen(names, server.address, console)
        watching = asyncio.create_task(
            watch(
                Watched(server.address, access.by_token("good"), trust=True), names, screen, asyncio.Event(), [], None
            )
        )
        try:
            await until(lambda: "websocket" in terminal.getvalue() and " 1.5 " in terminal.getvalue())
        finally:
            watching.cancel()
            await asyncio.wait([watching])
    assert terminal.getvalue().startswith("\x1b[?1049h")
    assert "\x1b[?1049l" in terminal.getvalue()


async def test_a_session_is_closed_when_the_watch_ends() -> None:
    async with pretending(503) as server:
        lines = Lines(Names(), as_json=False)
        task = asyncio.create_task(
            watch(
                Watched(server.address, access.by_token("good"), trust=True), Names(), lines, asyncio.Event(), [], None
            )
        )
        await until(lambda: server.queries)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
