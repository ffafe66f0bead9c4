"""Work that takes a while: how far it is, for people at a terminal, and how it is stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webmacs.cli.setting import until_told_to_stop
from webmacs.errors import WebmacsError

Advance = Callable[[float, str], None]
"""Called with the share of the work that is done, and with what that is in words."""


class Stopped(WebmacsError):
    """Somebody wanted the work to end before it was done."""


@contextmanager
def stoppable(left: str) -> Iterator[Callable[[], None]]:
    """SIGTERM and Ctrl-C end the work inside as an error that says what is `left` of it.

    What it gives is called now and then between two steps: drivers of databases are known to lose a cancellation.

    Raises:
        Stopped: the work was not done to its end.

    """
    finished = False
    with until_told_to_stop() as told:

        def check() -> None:
            if told.is_set():
                raise asyncio.CancelledError

        yield check
        finished = True
    if not finished:
        raise Stopped(f"stopped: {left}")


@contextmanager
def as_a_filter() -> Iterator[Callable[[], None]]:
    """Ctrl-C ends the process at once, also while it waits for whoever reads its output. Looks like `stoppable`."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield lambda: None
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """A bar on standard error where that is a terminal, which goes away in the end; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _share, _words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=1.0, words="")
        yield lambda share, words: bars.update(bar, completed=share, words=words)


def readings(number: int) -> str:
    """So many readings, as people read it."""
    return f"{number:,} reading{'' if number == 1 else 's'}"
