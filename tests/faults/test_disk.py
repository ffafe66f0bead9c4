"""The disk is full under the database: senders are told, the process lives, and goes on when there is room again."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import BACKENDS
from tests.faults.installation import installed
from tests.faults.ledger import Ledger
from tests.faults.process import DEADLINE_S
from tests.faults.senders import Careful, Sender, sending
from tests.parts import require, require_root
from tests.postgres import UNPRIVILEGED, PostgresServer
from tests.promises import LONG, Figure
from webmacs.pipeline.queue import NOT_STORED

FULL_S = 20.0 if LONG else 1.0
SIZE = 100
LOG = "log of postgresql"
SIZES = {"sqlite": "4m", "postgresql": "192m", LOG: "40m"}  # an empty PostgreSQL is large
SETTINGS = {
    "PIPELINE__QUEUE_ROWS": "300",
    "PIPELINE__OVERLOAD_TIMEOUT_S": "0.3",
    "STORAGE__STATEMENT_TIMEOUT_S": "1.0",
}


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A disk that is full soon; everybody may look into it."""
    require_root("run it as root, as CI does")
    mount, umount = require("mount", "apt-get install mount"), require("umount", "apt-get install mount")
    with tempfile.TemporaryDirectory(prefix="webmacs-disk-") as made:
        directory = Path(made)
        directory.chmod(0o755)
        subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", directory], check=True)
        try:
            yield directory
        finally:
            subprocess.run([umount, "--lazy", directory], check=True)


@contextmanager
def postgres_on(disk: Path, monkeypatch: pytest.MonkeyPatch, *, log_alone: bool) -> Iterator[PostgresServer]:
    """All of it on that disk, or its write-ahead log alone: there PostgreSQL panics when there is no room."""
    if not log_alone:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
    server = PostgresServer()
    monkeypatch.undo()
    try:
        if log_alone:
            server.stop(signal.SIGINT)
            log, there = server._data / "pg_wal", disk / "pg_wal"
            shutil.copytree(log, there)
            shutil.rmtree(log)
            log.symlink_to(there)
            for path in (there, *there.rglob("*")):
                shutil.chown(path, UNPRIVILEGED)
            server.start()
        yield server
    finally:
        server.remove()


def fill(path: Path) -> None:
    """Take what room there is."""
    with path.open("ab", buffering=0) as file:
        for size in (2**16, 2**12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


@pytest.mark.promise("F5")
@pytest.mark.parametrize("kind", [*BACKENDS, LOG])
async def test_a_full_disk_is_told_and_survived(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    ledger, postgres, ended = Ledger(), None, ""
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(small_disk(SIZES[kind]))
        url = f"sqlite:///{disk / 'test.db'}"
        if kind != "sqlite":
            postgres = stack.enter_context(postgres_on(disk, monkeypatch, log_alone=kind == LOG))
            url = postgres.url()
        site = await stack.enter_async_context(installed(url, tmp_path, SETTINGS))
        senders: list[Sender] = [Careful(ledger, site.plant, random.Random(n), (SIZE, SIZE)) for n in range(6)]
        async with sending(site.server.address, *senders):
            await ledger.acknowledged_after(time.monotonic())
            filler = disk / "filler"
            began = time.monotonic()
            async with asyncio.timeout(DEADLINE_S):
                while not ledger.refused:
                    await asyncio.to_thread(fill, filler)  # what is reused on the way makes room
                    await asyncio.sleep(0.05)
            told_s = time.monotonic() - began
            assert set(ledger.said) == {NOT_STORED}
            while time.monotonic() < began + FULL_S:
                await asyncio.to_thread(fill, filler)
                await site.get("/api/v1/datapoints/latest")
                await asyncio.sleep(0.1)
            await site.until_health("degraded")
            filler.unlink()
            if postgres is not None and postgres._process is not None and postgres._process.poll() is not None:
                ended = " (PostgreSQL had ended, and was started again by hand)"
                await asyncio.to_thread(postgres.start)
            if postgres is not None:
                panics = postgres._log.read_text("utf-8").count("PANIC:")
                ended += f"; PostgreSQL panicked {panics} times" if panics else ""
            room = time.monotonic()
            back_s = await ledger.acknowledged_after(room) - room
            await site.until_health("ok")
        balance = await ledger.balance(site.storage)
        assert balance.even, balance
        assert balance.stored == balance.acknowledged
        assert await site.counted("readings_refused_total") == ledger.refused
    figure(
        f"{kind}: senders told after {told_s:.1f} s, {ledger.refused:,} readings refused as counted; storing again"
        f" {back_s:.1f} s after there was room{ended}; {balance}"
    )
