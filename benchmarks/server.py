"""The server under test: `python -m webmacs serve` in a process of its own, default settings, on a furnished store."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from benchmarks import wire
from benchmarks.workers import ROOT
from tests.plant import Plant, furnish, settings_for
from webmacs.extensions import load_storage
from webmacs.model import Role
from webmacs.storage.base import Storage

EVENTS: Final = 50
START_TIMEOUT_S: Final = 30.0

Prepare = Callable[[Storage, Plant], Awaitable[None]]
"""Puts more into a furnished storage before the server starts on it."""


class Server:
    """A running server with 50 linked events and a running experiment."""

    def __init__(self, port: int, plant: Plant, process: psutil.Process) -> None:
        self.port = port
        self.events = plant.linked
        self.operator_token = plant.tokens[Role.OPERATOR]
        self.viewer_token = plant.tokens[Role.VIEWER]
        self.plant = plant
        self.process = process

    def cpu_s(self) -> float:
        """Processor time that the server has taken so far, all its threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory_mib(self) -> float:
        """Resident memory."""
        return float(self.process.memory_info().rss) / 2**20


@contextmanager
def running(
    url: str, directory: Path, events: int = EVENTS, prepare: Prepare | None = None, more: str = ""
) -> Iterator[Server]:
    """A server on an empty storage, with that many linked events; `more` are further lines of its configuration.

    Raises:
        RuntimeError: it did not start; with what it said.

    """
    plant = asyncio.run(_furnish(url, directory, events, prepare))
    port = free_port()
    config, log = directory / "webmacs.toml", directory / "log"
    config.write_text(
        f"[server]\nport = {port}\n"
        f"[auth]\nsecret_key = {json.dumps(secrets.token_urlsafe(48))}\n"
        f"[storage]\nurl = {json.dumps(url)}\n{more}"
    )
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "webmacs", "serve", "--config", config],
            stderr=output,
            cwd=ROOT,
            start_new_session=True,  # as a service has it: Linux shares the processors between sessions
        )
    try:
        wait_until_it_listens(port, process, log)
        yield Server(port, plant, psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _furnish(url: str, directory: Path, events: int, prepare: Prepare | None) -> Plant:
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    try:
        plant = await furnish(storage, events=events)
        if prepare is not None:
            await prepare(storage, plant)
        return plant
    finally:
        await storage.close()


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((wire.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until one can connect.

    Raises:
        RuntimeError: it ends, or takes too long; with what it said.

    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection((wire.HOST, port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
