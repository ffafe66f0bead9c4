"""aiohttp with next to nothing around it, at the addresses of the real server: what the library and the kernel allow.

What a controller sends is counted; a message with a `batch_id`, as the last one has, is acknowledged. With `passed on`
it also goes to every browser as it is: one ready-made frame, written to each transport.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import uvloop
from aiohttp import WSMsgType, web

from benchmarks import wire
from benchmarks.server import free_port, wait_until_it_listens
from benchmarks.workers import ROOT
from webmacs.frames import text_frame

GREETING: Final = '{"type":"connected"}'
ACK: Final = '{"type":"ack"}'
BATCH_ID: Final = '"batch_id"'
MAX_MESSAGE_BYTES: Final = 131_072
KINDS: Final = ("count", "pass on")


class Bare:
    """Its two handlers."""

    def __init__(self, *, pass_on: bool) -> None:
        self._pass_on = pass_on
        self._browsers: set[asyncio.Transport] = set()
        self.messages = 0

    async def telemetry(self, request: web.Request) -> web.WebSocketResponse:
        """Count, and hand on where that is asked for."""
        controller = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE_BYTES)
        await controller.prepare(request)
        async for message in controller:
            if message.type is not WSMsgType.TEXT:
                break
            self.messages += 1
            if self._pass_on:
                frame = text_frame(message.data.encode())
                for transport in self._browsers:
                    transport.write(frame)
            elif BATCH_ID in message.data:
                await controller.send_str(ACK)
        return controller

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """Greet, and belong to the browsers until the end."""
        browser = web.WebSocketResponse(compress=False)
        await browser.prepare(request)
        await browser.send_str(GREETING)
        transport = request.transport
        assert transport is not None
        self._browsers.add(transport)
        try:
            async for _ in browser:
                pass
        finally:
            self._browsers.discard(transport)
        return browser


@dataclass(frozen=True, slots=True)
class BareServer:
    """A running one."""

    port: int
    process: psutil.Process


@contextmanager
def running(directory: Path, *, pass_on: bool = False) -> Iterator[BareServer]:
    """In a process of its own.

    Raises:
        RuntimeError: it did not start; with what it said.

    """
    port, log = free_port(), directory / "bare.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare", KINDS[pass_on], str(port)],
            stdout=output,
            stderr=output,
            cwd=ROOT,
            start_new_session=True,  # as the server under test
        )
    try:
        wait_until_it_listens(port, process, log)
        yield BareServer(port, psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until killed."""
    kind, port = sys.argv[1:]
    bare = Bare(pass_on=kind == KINDS[True])
    app = web.Application()
    app.add_routes([web.get(wire.TELEMETRY, bare.telemetry), web.get(wire.STREAM, bare.stream)])
    web.run_app(app, host=wire.HOST, port=int(port), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
