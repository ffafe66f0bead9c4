"""The commands as people run them: real processes, from an environment that configures nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error of a command that failed."""
        assert self.code == 1, self
        (line,) = self.err.splitlines()
        assert line.startswith("Error: "), line
        return line.removeprefix("Error: ")


class Command:
    """A running command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self.out, self.err = process, process.stdout, process.stderr

    async def line(self) -> str:
        """The next line of standard output."""
        async with asyncio.timeout(TIMEOUT_S):
            return (await self.out.readline()).decode().rstrip("\n")

    async def says(self, text: str, *, on: asyncio.StreamReader | None = None) -> str:
        """The next line with that text in it, on standard error or elsewhere."""
        stream = on or self.err
        seen = ""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                line = (await stream.readline()).decode()
                seen += line
                assert line, f"ended without saying {text!r}: {seen}"
                if text in line:
                    return line.strip()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Tell it to end; the exit code, and how many seconds it took."""
        began = time.monotonic()
        self._process.send_signal(number)
        async with asyncio.timeout(TIMEOUT_S):
            # `Process.wait` waits for somebody to read all that it has said, too.
            while self._process.returncode is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self._process.returncode, time.monotonic() - began

    def hang_up(self) -> None:
        """Read no more of its standard output."""
        transport = self._process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()

    async def rest(self) -> Ended:
        """Wait for the end; what it said that nobody has read yet."""
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await self._process.communicate()
            return Ended(await self._process.wait(), out.decode(), err.decode())


@asynccontextmanager
async def started(*arguments: str | Path, cwd: Path, **environ: str) -> AsyncIterator[Command]:
    """`webmacs …` in a directory of its own; killed in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webmacs", *map(str, arguments)),
        cwd=cwd,
        env={**bare_environment(), **environ},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(*arguments: str | Path, cwd: Path, stdin: str = "", **environ: str) -> Ended:
    """How `webmacs …` ends."""
    async with started(*arguments, cwd=cwd, **environ) as command:
        assert command._process.stdin is not None
        command._process.stdin.write(stdin.encode())
        return await command.rest()


def bare_environment() -> dict[str, str]:
    """Ours, without what would configure WebMACS or the terminal."""
    unwanted = ("WEBMACS_", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TERM")
    root = str(Path(__file__).parents[2])
    return {**{name: value for name, value in os.environ.items() if not name.startswith(unwanted)}, "PYTHONPATH": root}
