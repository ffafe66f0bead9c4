"""What commands share: the configuration they are given, a storage to work on, how they end, what they are called."""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec
from urllib.parse import urlsplit

import click

from webmacs.config import Settings, load_settings
from webmacs.errors import StorageError, WebmacsError
from webmacs.model import Actor

if TYPE_CHECKING:
    from webmacs.storage.base import Storage

P = ParamSpec("P")

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

config_option = click.option(
    "--config",
    "config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="WEBMACS_CONFIG",
    help="The configuration file (TOML). Default: $WEBMACS_CONFIG, else webmacs.toml here, else defaults.",
)


def settings_from(config: Path | None) -> Settings:
    """The settings of a command line."""
    return load_settings(configuration_file(config), os.environ)


def configuration_file(config: Path | None) -> Path | None:
    """The file that is meant: the one given, else webmacs.toml here, else none."""
    here = Path("webmacs.toml")
    return here if config is None and here.is_file() else config


@asynccontextmanager
async def opened_storage(settings: Settings, *, new: bool = False) -> AsyncIterator[Storage]:
    """The storage of an installation, beside a server that may be running on it.

    Unless it may be `new`, there must be something in it: else a command in the wrong directory would make one.

    Raises:
        StorageError: it cannot be opened, or there is none.

    """
    from webmacs.extensions import load_storage  # and all that belongs to a server: not every command needs it

    storage = load_storage(settings)
    storage.actor = Actor(f"{_login_name()} at the command line")
    try:
        if not new and await storage.revision() is None:
            raise StorageError(f"{place(storage.url)}: there is no installation yet; is it the right --config?")
        await storage.open()
        yield storage
    finally:
        await storage.close()


def _login_name() -> str:
    """Who types, as the system calls them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have a user that has no name
        return f"user {os.getuid()}"


def place(url: str) -> str:
    """A storage's URL without user and password."""
    if url.startswith("sqlite:///"):
        return url.removeprefix("sqlite:///")
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def runs(command: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine as a command; our errors become one line on stderr and exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            asyncio.run(command(*args, **kwargs))
        except WebmacsError as error:
            raise one_line(error) from error

    return run


def one_line(error: WebmacsError) -> click.ClickException:
    """An error of ours as a command ends with it: one line on stderr and exit code 1.

    Part of it may be what a server has said, which is not to give our terminal orders.
    """
    text = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return click.ClickException(" ".join(text.split()))


def plainly(error: OSError) -> str:
    """What the system says, without what asyncio adds to it."""
    number = error.errno or 0  # of a name that is not known it is negative, and no number of the system
    return (os.strerror(number) if number > 0 else error.strerror or type(error).__name__).lower()


@contextmanager
def until_told_to_stop() -> Iterator[asyncio.Event]:
    """SIGTERM and SIGINT cancel what runs inside, once, so that it can tidy up; ending that way is no error.

    They also set the event, for which the work waits in the end: drivers of databases are known to lose a
    cancellation.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    told = asyncio.Event()

    def tell() -> None:
        if not told.is_set():
            told.set()
            task.cancel()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, tell)
    try:
        yield told
    except asyncio.CancelledError:
        if not told.is_set() or task.uncancel():
            raise
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def this_command() -> str:
    """How this program was called, to be pasted into a shell in the same directory."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{shlex.quote(short_path(Path(sys.executable)))} -m webmacs"
    found = shutil.which(program.name)
    if found is not None and Path(found).absolute() == program.absolute():
        return shlex.quote(program.name)
    return shlex.quote(short_path(program))


def suggested(command: str, config: Path | None) -> str:
    """A command of ours for the same installation, to be pasted into a shell in the same directory."""
    where = "" if config is None else f" --config {shlex.quote(short_path(config))}"
    return f"`{this_command()} {command}{where}`"


def short_path(path: Path) -> str:
    """A path as a person would type it: from here where it is below, else from the root."""
    here, whole = Path.cwd(), path.absolute()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)
