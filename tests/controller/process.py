"""`webmacs controller` as a process of its own, with a device that writes down what it measures before it says so.

The device is a plugin of a package that is laid beside the process, with an entry point as any package has it. What the
spool has taken is written down as well, at the moment at which `append` has returned: a reading in that ledger is
promised.
"""

from __future__ import annotations

import asyncio
import signal
import struct
import sys
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path

from tests.cli.process import bare_environment

ENTRY = struct.Struct("<dq")
END_S = 60.0

PLUGIN = '''
"""Counts: each value is measured once, whatever becomes of the process."""
import os, struct, time
from webmacs.plugins.base import ChannelDescription, Device, DeviceConfig, Direction, PluginDescription, Sample

ENTRY = struct.Struct("<dq")

class Counting(Device):
    description = PluginDescription("test", "Counting", "1", "Tests", "Counts", None, tuple(
        ChannelDescription(f"in{number}", f"In {number}", Direction.INPUT, "V", 0.0, 1e12) for number in range(100)))

    async def open(self):
        self.file = os.open(os.environ["MEASURED"], os.O_CREAT | os.O_APPEND | os.O_RDWR)
        size = os.fstat(self.file).st_size
        os.ftruncate(self.file, size - size % ENTRY.size)
        self.next = size // ENTRY.size

    async def read(self, channel_ids):
        samples = []
        for channel_id in channel_ids:
            samples.append(Sample(channel_id, float(self.next), time.time_ns()))
            self.next += 1
        os.write(self.file, b"".join(ENTRY.pack(sample.value, sample.time_ns) for sample in samples))
        return samples
'''

PROGRAM = """
import os, struct
from webmacs.controller.spool import Spool

entry, append = struct.Struct("<dq"), Spool.append
ledger = os.open(os.environ["PROMISED"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def noted(self, readings):
    batches = append(self, readings)
    kept = [reading for batch in batches for reading in batch.readings]
    os.write(ledger, b"".join(entry.pack(reading.value, reading.wall_ns) for reading in kept))
    return batches

Spool.append = noted
from webmacs.cli import main
main(prog_name="webmacs")
"""

CONFIGURATION = """
[controller]
server_url = "{address}"
token = "{token}"
poll_interval_s = {interval_s}
first_retry_s = 0.1
max_retry_s = 1.0
hello_timeout_s = 0.3
answer_timeout_s = 5.0
[logging]
level = "warning"
"""


class ControllerProcess:
    """One controller, and its process."""

    def __init__(
        self, address: str, token: str, directory: Path, *, interval_s: float = 0.01, noted: bool = True
    ) -> None:
        """`noted` False: as people run it, without a ledger of what the spool has taken."""
        self._program = ("-c", PROGRAM) if noted else ("-m", "webmacs")
        self._directory = directory
        self._measured, self._promised = directory / "measured", directory / "promised"
        self.spool, self.log = directory / "spool", directory / "controller.log"
        self._config = directory / "controller.toml"
        self._config.write_text(
            CONFIGURATION.format(address=address, token=token, interval_s=interval_s), encoding="utf-8"
        )
        self._config.chmod(0o600)
        package = directory / "plugin"
        (package / "counting-1.dist-info").mkdir(parents=True)
        (package / "counting.py").write_text(PLUGIN, "utf-8")
        about = package / "counting-1.dist-info"
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1\n", "utf-8")
        (about / "entry_points.txt").write_text("[webmacs.plugins]\ntest = counting:Counting\n", "utf-8")
        (package / "counting-1.dist-info" / "entry_points.txt").write_text(
            "[webmacs.plugins]\ntest = counting:Counting\n", "utf-8"
        )
        self._environment = {
            "PYTHONPATH": str(package),
            "MEASURED": str(self._measured),
            "PROMISED": str(self._promised),
        }
        self.process: Process | None = None

    async def start(self) -> None:
        """Return when the process runs, which is long before it measures."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self._program, "controller", "--plain", "--config", str(self._config)),
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env={**bare_environment(), **self._environment},
                start_new_session=True,
            )

    async def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End it, if it still runs: its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(END_S):
            return await self.process.wait()

    def measured(self) -> dict[float, int]:
        """The time of each value that the device has measured, in microseconds."""
        return dict(_entries(self._measured))

    def promised(self) -> dict[float, int]:
        """The same of those that the spool has taken."""
        return dict(_entries(self._promised))

    def said(self) -> str:
        """All that is in its log."""
        return self.log.read_text("utf-8")


def _entries(path: Path) -> Iterator[tuple[float, int]]:
    data = path.read_bytes() if path.exists() else b""
    for value, time_ns in ENTRY.iter_unpack(data[: len(data) - len(data) % ENTRY.size]):
        yield value, time_ns // 1000
