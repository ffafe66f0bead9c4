"""The commands in this process, where they need no other one; and on a terminal, where it matters."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from click.testing import CliRunner, Result

from tests.cli.process import bare_environment
from webmacs.cli import main

T = TypeVar("T")


def run(*arguments: str | Path, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


def done(*arguments: str | Path, stdin: str = "") -> str:
    """What a command that succeeds prints on standard output."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def said(*arguments: str | Path, stdin: str = "") -> str:
    """What a command that succeeds says on standard error."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stderr


def complaint(*arguments: str | Path, stdin: str | bytes = "") -> str:
    """The one line of a command that fails."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def misuse(*arguments: str | Path) -> str:
    """The last line of a command that was called in a way that it does not know."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.splitlines()[-1].removeprefix("Error: ")


def rows(*arguments: str | Path) -> list[list[str]]:
    """The lines of a list, by column."""
    return [line.split("\t") for line in done(*arguments).splitlines()]


async def beside(command: Callable[..., T], *arguments: str | Path, **options: str) -> T:
    """What one of these says of a command that runs while this loop goes on: it has one of its own, in a thread."""
    return await asyncio.to_thread(command, *arguments, **options)


def on_terminal(*arguments: str | Path, cwd: Path, width: int) -> list[str]:
    """What a command shows on a terminal of that width, without colours and what fills lines up."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "webmacs", *map(str, arguments)],
        cwd=cwd,
        env={**bare_environment(), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 65_536):
                shown += more
        except OSError:  # what Linux says when the other end is closed
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0, shown
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()]
