"""`webmacs serve` as a process of its own: killed, traced, told to stop, and started again where it was."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path

import psutil

from tests.cli.process import bare_environment
from tests.plant import SECRET

DEADLINE_S = 120.0

CONFIGURATION = """
[server]
port = {port}
[auth]
secret_key = "{secret}"
[storage]
url = "{url}"
[logging]
level = "warning"
"""


class ServerProcess:
    """One installation, and the process that serves it. Settings are given as `SECTION__KEY="value"`.

    `program` is what the interpreter runs in place of the package; it is there for servers that break a promise.
    """

    def __init__(self, url: str, directory: Path, *, program: str = "", **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._config, self.log = directory / "webmacs.toml", directory / "log"
        self._config.write_text(CONFIGURATION.format(port=self.port, secret=SECRET, url=url), "utf-8")
        self._config.chmod(0o600)
        self._program = ("-c", program) if program else ("-m", "webmacs")
        self._settings = {f"WEBMACS_{name}": value for name, value in settings.items()}
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The one that was started last."""
        assert self._process is not None
        return self._process

    def memory_mib(self) -> float:
        """Resident memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    async def start(self) -> None:
        """Return when the process runs, which is long before it listens."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self._program, "serve", "--config", str(self._config)),
                stderr=log,
                cwd=self._directory,
                env={**bare_environment(), **self._settings},
                start_new_session=True,  # as a service has it: Linux shares the processors between sessions
            )

    async def until_it_listens(self) -> None:
        """Wait until it lets clients in."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert self.process.returncode is None, self.said()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def end(self, how: signal.Signals = signal.SIGKILL) -> tuple[int, float]:
        """End it, if it still runs: its exit code, and the seconds that it took. Without a process: as if it had."""
        began = time.monotonic()
        if self._process is None:
            return 0, 0.0
        if self._process.returncode is None:
            self._process.send_signal(how)
        async with asyncio.timeout(DEADLINE_S):
            return await self._process.wait(), time.monotonic() - began

    def said(self) -> str:
        """All that is in its log."""
        return self.log.read_text("utf-8")
