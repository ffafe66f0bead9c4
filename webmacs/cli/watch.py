"""`webmacs watch`: the live stream of any server, as a table for people or as lines for programs."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
import click
from click.core import ParameterSource

from webmacs.cli import access
from webmacs.cli.board import Board
from webmacs.cli.feed import Feed, Mode, SignIn
from webmacs.cli.names import Names
from webmacs.cli.point import Point
from webmacs.cli.printable import printable
from webmacs.cli.setting import runs, settings_from, until_told_to_stop
from webmacs.errors import WebmacsError
from webmacs.tasks import end

if TYPE_CHECKING:
    from rich.console import Console

    from webmacs.cli.table import View

REFRESH_S: Final = 0.25
IDLE_SHARE: Final = 4  # of the time that drawing takes, where there are thousands of events or the machine is small


@dataclass(frozen=True, slots=True)
class Server:
    """A server and how we are let in."""

    address: str
    sign_in: SignIn
    trust: ssl.SSLContext | bool


class Display(Protocol):
    """Where readings are shown."""

    def show(self, points: Sequence[Point]) -> None:
        """New readings."""
        ...

    def changed(self, mode: Mode, problem: str | None) -> None:
        """Readings come another way."""
        ...

    async def run(self) -> None:
        """Keep the display alive until cancelled."""
        ...


class Unread(WebmacsError):
    """Whoever read our lines has read enough."""


@click.command("watch")
@click.argument("url", required=False)
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="NAME",
    help="Only events of this name, part of a name, or id. Repeatable.",
)
@click.option("--token", envvar="WEBMACS_API_TOKEN", help="An API token or JWT. Default: $WEBMACS_API_TOKEN.")
@click.option("--email", help="Log in as this user; the password is asked for.")
@click.option("--password-stdin", is_flag=True, help="Read the password of --email from standard input.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="WEBMACS_CONFIG",
    help="Watch the installation of this configuration file, by its own key. Default: webmacs.toml here.",
)
@click.option("--lines", is_flag=True, help="A line a reading: time, event, value, unit, with tabs between.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, as the server sent it.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many readings.")
@click.option(
    "--cafile",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Trust the certificates in this file (PEM).",
)
@runs
async def command(
    url: str | None,
    events: tuple[str, ...],
    token: str | None,
    email: str | None,
    password_stdin: bool,  # noqa: ARG001 - see `_password`
    config: Path | None,
    lines: bool,
    as_json: bool,
    count: int | None,
    cafile: Path | None,
) -> None:
    """Show the live readings of any server in the terminal.

    URL is http(s)://host, ws(s)://host or host:port, and --token or --email the way in. Without a URL, the server of
    the installation on this machine that --config names is watched, and no credential is needed.

    As a table; with --lines, or where the output is not a terminal, as a line for each reading.

    \b
    Examples:
      webmacs watch --config demo/webmacs.toml
      webmacs watch https://plant.example.org --email me@example.org
      webmacs watch plant:8000 --token wm_… --event temperature --json | jq .value
    """  # noqa: D301 - click wants the character itself
    server = _server(url, token, email, config, cafile)
    names = Names()
    display: Display
    if as_json or lines or not sys.stdout.isatty():
        display = Lines(names, as_json=as_json)
    else:
        display = Screen(names, server.address)
    with until_told_to_stop() as told:
        try:
            await watch(server, names, display, told, events, count)
        except Unread:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor what is still buffered


async def watch(
    server: Server, names: Names, display: Display, ended: asyncio.Event, events: Sequence[str], count: int | None
) -> None:
    """Show until `ended` is set, or until `count` readings were shown.

    Raises:
        WebmacsError: the server refuses us, or is not there when it is asked for a token or for names.

    """
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=server.trust)) as session:
        audience = Audience(server, names, display, session, ended, count)
        token = await access.reach(server.address, audience.sign_in(session))
        chosen: list[str] = []
        if events:
            await access.reach(server.address, names.load(session, server.address, token))
            chosen = names.chosen(events)
        feed = Feed(session, server.address, audience.sign_in, token, audience, events=chosen)
        tasks = [asyncio.ensure_future(work) for work in (feed.run(), display.run(), ended.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*tasks)
    for task in done:
        task.result()


class Audience:
    """Listens to the feed: learns names, hands readings to the display, and counts them."""

    def __init__(
        self,
        server: Server,
        names: Names,
        display: Display,
        session: aiohttp.ClientSession,
        ended: asyncio.Event,
        count: int | None,
    ) -> None:
        self._server, self._names, self._display, self._session = server, names, display, session
        self._ended, self._left = ended, count
        self._token = ""

    async def sign_in(self, session: aiohttp.ClientSession) -> str:
        """As the server wants it; the token is for the names, too."""
        self._token = await self._server.sign_in(session)
        return self._token

    async def received(self, points: list[Point]) -> None:
        """See `Listener`."""
        await self._names.follow(points, self._session, self._server.address, self._token)
        if self._left is not None:
            points = points[: self._left]
            self._left -= len(points)
        if points:
            self._display.show(points)
        if self._left == 0:
            self._ended.set()

    def changed(self, mode: Mode, problem: str | None) -> None:
        """See `Listener`. The problem may be in words of the server's."""
        self._display.changed(mode, None if problem is None else printable(problem))


class Lines:
    """One line a reading on standard output; what hinders on standard error."""

    def __init__(self, names: Names, *, as_json: bool) -> None:
        self._names, self._as_json = names, as_json

    def show(self, points: Sequence[Point]) -> None:
        """See `Display`."""
        try:
            print("\n".join([self._line(point) for point in points]), flush=True)
        except BrokenPipeError:
            raise Unread from None

    def changed(self, mode: Mode, problem: str | None) -> None:
        """See `Display`."""
        if problem is not None:
            print(f"{mode}: {problem}", file=sys.stderr)

    async def run(self) -> None:
        """See `Display`. Nothing to do."""
        await asyncio.Event().wait()

    def _line(self, point: Point) -> str:
        if self._as_json:
            text = json.dumps(point.raw, ensure_ascii=False, separators=(",", ":"))
            return text if text.isprintable() else json.dumps(point.raw, separators=(",", ":"))
        label = self._names.event(point.event)
        return f"{point.time.isoformat(timespec='microseconds')}\t{label.name}\t{point.value!r}\t{label.unit}"


class Screen:
    """The live table on the terminal's other screen, which gives the first one back as it was."""

    def __init__(self, names: Names, address: str, console: Console | None = None) -> None:
        """`console` None: standard output."""
        self._board = Board(names, time.monotonic())
        self._address, self._console = address, console
        self._mode = Mode.CONNECTING
        self._problem: str | None = None

    def show(self, points: Sequence[Point]) -> None:
        """See `Display`."""
        self._board.take(points, time.monotonic())

    def changed(self, mode: Mode, problem: str | None) -> None:
        """See `Display`."""
        self._mode, self._problem = mode, problem

    async def run(self) -> None:
        """See `Display`. Draws some times a second."""
        from rich.console import Console
        from rich.live import Live

        from webmacs.cli.table import draw

        console = self._console or Console(highlight=False)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                began = time.monotonic()
                view = self._view(console.width, console.height, ascii_only=console.options.ascii_only)
                live.update(draw(self._board, view), refresh=True)
                spent = time.monotonic() - began
                await asyncio.sleep(max(REFRESH_S, IDLE_SHARE * spent))

    def _view(self, width: int, height: int, *, ascii_only: bool) -> View:
        from webmacs.cli.table import View

        now, wall = time.monotonic(), datetime.now(UTC)
        return View(self._address, self._mode, self._problem, now, wall, width, height, ascii_only)


def _server(url: str | None, token: str | None, email: str | None, config: Path | None, cafile: Path | None) -> Server:
    """From the command line to a server and a way in."""
    if url is None:
        settings = settings_from(config)
        where = access.own_address(settings)
        given = token if _typed("token") else None
        own: SignIn | None = access.by_own_key(settings)
    else:
        if _typed("config"):
            raise click.UsageError("give a URL or --config, not both")
        settings, own = None, None
        address = access.address(url)
        where, given = address.url, token or address.token
    if given:
        sign_in = access.by_token(given)
    elif email:
        sign_in = access.by_password(where, email, _password())
    elif own is not None:
        sign_in = own
    else:
        raise click.ClickException("no credential: give --token or --email, or set WEBMACS_API_TOKEN")
    return Server(where, sign_in, access.trust(settings, cafile))


def _typed(option: str) -> bool:
    """Whether an option stands on the command line: what the environment has for another server is not meant here."""
    return click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE


def _password() -> str:
    if click.get_current_context().params["password_stdin"]:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, err=True))
