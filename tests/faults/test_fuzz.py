"""Any bytes at all, on both sockets and where HTTP should be: an answer or a close, and nobody else notices.

Beside whoever sends them, a controller and a browser go on as if nothing were. The server is a process of its own; its
log, its descriptors and its memory are looked at.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import hypothesis
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from tests.faults.installation import Installation, installed
from tests.handlers.test_parsers import messages
from tests.promises import LONG, Figure
from tests.rawsocket import CLOSE, PING, PONG, TEXT, RawSocket, frame
from tests.wire import SOCKETS
from webmacs.model import Role
from webmacs.tasks import end

EXAMPLES: Final = 5_000 if LONG else 25
AT_ONCE: Final = 6
PAUSE_S: Final = 0.01  # between two readings of the witness
SILENCE_S: Final = 0.03  # after which nothing more is expected of half a message
UNNOTICED_S: Final = 5.0  # on a busy machine; what it was is a figure
DEADLINE_S: Final = 20.0
FLAT_MIB: Final = 24.0
CODES: Final = {1000, 1002, 1003, 1007, 1008, 1009}
ECHOED: Final = {1001, *range(1010, 1015), *range(3000, 5000)}  # what a client may say itself, and hears again
FREE: Final = {"SERVER__REQUESTS_PER_MINUTE": "0", "AUTH__FREE_FAILURES": "100000"}

# -- what is sent ------------------------------------------------------------------------------------------------------

Edit = tuple[int, bytes]


def edited(good: bytes, edits: list[Edit]) -> bytes:
    """With some bytes of it replaced."""
    for place, piece in edits:
        at = place % (len(good) + 1)
        good = good[:at] + piece + good[at + 1 :]
    return good


payloads = st.binary(max_size=200) | messages.map(lambda text: text.encode("utf-8", "replace"))
mostly = st.sampled_from([True] * 19 + [False])
frames = st.builds(
    lambda opcode, payload, final, reserved, masked, length: frame(
        opcode, payload, final=final, reserved=reserved, masked=masked, length=length
    ),
    st.sampled_from([TEXT] * 20 + [*range(16), 8, 9, 10]),
    payloads,
    mostly,
    st.sampled_from([0] * 30 + [1, 2, 4, 7]),
    mostly,
    st.sampled_from([None] * 30 + [0, 1, 125, 126, 127, 4097, 65_535, 65_536, 131_073, 2**63, 2**64 - 1]),
)
edits = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=4)
on_sockets = (
    st.lists(frames, min_size=1, max_size=5).map(b"".join)
    | st.builds(edited, frames, edits)
    | st.builds(lambda sent, at: sent[: at % (len(sent) + 1)], frames, st.integers(0, 400))
    | st.binary(max_size=300)
)

tokens = st.from_regex(r"[A-Za-z!#$%&'*+.^_`|~-]{1,12}", fullmatch=True).map(str.encode)
methods = st.sampled_from([b"GET"] * 5 + [b"POST"] * 5 + [b"PUT", b"HEAD", b"OPTIONS", b"PRI", b"get", b"", b"\x00"])
paths = ("/", "/health", "/metrics", "/api/v1/datapoints", "/api/v1/datapoints/batch", "/api/v1/datapoints/latest")
targets = st.sampled_from(
    [path.encode() for path in (*paths * 2, "/api/v1/rules?page=0", "/api/v1/events/%00", "/../x", "*", *SOCKETS)]
)
versions = st.sampled_from([b"HTTP/1.1"] * 20 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.", b"", b"ICY"])
lengths = st.sampled_from([b"0", b"5", b"-1", b"+5", b"5, 5", b"0x5", b"99999999999999999999", b"", b"5 5"])
headers = (
    st.sampled_from(
        [
            b"Host: a",
            b"Connection: close",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Content-Encoding: gzip",
            b"Content-Type: application/json",
            b"Expect: 100-continue",
            b"Authorization: Bearer wm_nobody",
        ]
    )
    | st.builds(lambda length: b"Content-Length: " + length, lengths)
    | st.builds(lambda name, value: name + b": " + value, tokens, st.binary(max_size=20))
)
chunks = st.lists(
    st.builds(
        lambda size, data: size + b"\r\n" + data + b"\r\n",
        st.sampled_from([b"5", b"0", b"5;x=y", b"ffffffffffffffff", b"-1", b"zz", b""]),
        st.sampled_from([b"hello", b"", b"{}"]) | st.binary(max_size=8),
    ),
    max_size=4,
).map(b"".join)
ends = st.sampled_from([b"\r\n"] * 20 + [b"\n", b"\r", b"\r\n\r\n", b"\x00"])
requests = st.builds(
    lambda method, target, version, found, end_of_line, body: (
        end_of_line.join([method + b" " + target + b" " + version, *found, b""]) + end_of_line + body
    ),
    methods,
    targets,
    versions,
    st.lists(headers, max_size=7),
    ends,
    st.just(b"") | chunks | payloads,
)
as_requests = (
    st.lists(requests, min_size=1, max_size=3).map(b"".join)
    | st.builds(edited, requests, edits)
    | st.binary(max_size=300)
    | on_sockets
)


# -- who looks on ------------------------------------------------------------------------------------------------------


@dataclass
class Witnesses:
    """A controller that sends a reading after the other, and a browser that watches."""

    installation: Installation
    sent: int = 0
    took_s: list[float] = field(default_factory=list)
    shown: float = 0.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def come(self) -> None:
        """Connect, and begin."""
        token = self.installation.plant.tokens[Role.OPERATOR]
        controller, browser = [await RawSocket.open(self.installation.server.address, path, token) for path in SOCKETS]
        self._tasks = [asyncio.create_task(self._send(controller)), asyncio.create_task(self._watch(browser))]

    async def leave(self) -> None:
        """Check that both are still there, that all was stored, and that the last of it was seen."""
        async with asyncio.timeout(DEADLINE_S):
            while self.shown < self.sent - 1:  # noqa: ASYNC110 - both go on meanwhile
                await asyncio.sleep(PAUSE_S)
        self.look()
        await end(*self._tasks)

    def look(self) -> None:
        """Neither has noticed anything."""
        for task in self._tasks:
            assert not task.done(), task
        assert max(self.took_s, default=0.0) < UNNOTICED_S

    async def _send(self, socket: RawSocket) -> None:
        event = self.installation.plant.linked[0]
        async with socket:
            while True:
                message = {"datapoints": [{"value": self.sent, "event_public_id": event}], "batch_id": str(self.sent)}
                began = time.monotonic()
                socket.write(frame(TEXT, json.dumps(message).encode()))
                answer = await _heard(socket)
                assert (answer["batch_id"], answer["accepted"]) == (str(self.sent), 1), answer
                self.took_s.append(time.monotonic() - began)
                self.sent += 1
                await asyncio.sleep(PAUSE_S)

    async def _watch(self, socket: RawSocket) -> None:
        event = self.installation.plant.linked[0]
        async with socket:
            while True:
                message = await _heard(socket)
                if message["type"] == "datapoints_batch":
                    values = [point["value"] for point in message["datapoints"] if point["event_public_id"] == event]
                    self.shown = max([self.shown, *values])


async def _heard(socket: RawSocket) -> Any:
    """The next message; the server's own pings are answered meanwhile."""
    while True:
        opcode, payload = await socket.receive(DEADLINE_S)
        if opcode == PING:
            socket.write(frame(PONG, payload))
        else:
            assert opcode == TEXT, (opcode, payload)
            return json.loads(payload)


# -- what comes of it --------------------------------------------------------------------------------------------------


async def on_a_socket(installation: Installation, sent: bytes, place: int) -> str:
    """What the server does: answers the ping behind it, closes with a code, hangs up, or waits for the rest of it."""
    token = installation.plant.tokens[Role.OPERATOR]
    async with await RawSocket.open(installation.server.address, SOCKETS[place % 2], token) as socket:
        socket.write(sent + frame(PING, b"behind it"))
        with suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await socket.receive(SILENCE_S)
                if (opcode, payload) == (PONG, b"behind it"):
                    return "went on"
                if opcode == CLOSE:
                    code = int.from_bytes(payload[:2], "big")
                    assert code in CODES | ECHOED, (code, payload)
                    return str(code)
                assert opcode in {TEXT, PONG}, (opcode, payload)
                if opcode == TEXT:
                    assert json.loads(payload)["type"] in {"ack", "error", "connected", "pong", "datapoints_batch"}
        return "waited"


async def as_a_request(installation: Installation, sent: bytes, _place: int) -> str:
    """The first status that comes back, if one does. None of them is the server's own fault."""
    async with await RawSocket.connect(installation.server.address) as connection:
        connection.write(sent)
        answer = await connection.within(SILENCE_S)
    statuses = [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    assert all(status < 500 for status in statuses), answer
    return str(statuses[0]) if statuses else "waited"


Attack = Callable[[Installation, bytes, int], Awaitable[str]]

PROFILE: Final = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not LONG,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
FIRST: Final = [frame(PING), b"GET / HTTP/1.1\r\n\r\n"]


@pytest.mark.promise("B11")
@pytest.mark.parametrize(
    ("what", "attack", "inputs"),
    [("sockets", on_a_socket, on_sockets), ("HTTP", as_a_request, as_requests)],
    ids=["sockets", "HTTP"],
)
async def test_whatever_bytes_come_everyone_else_goes_on(
    what: str, attack: Attack, inputs: st.SearchStrategy[bytes], tmp_path: Path, figure: Figure
) -> None:
    came: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    async with installed(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, FREE) as installation:
        process = psutil.Process(installation.server.process.pid)
        witnesses = Witnesses(installation)
        await witnesses.come()

        async def send(pieces: list[bytes]) -> None:
            came.update(await asyncio.gather(*(attack(installation, sent, place) for place, sent in enumerate(pieces))))
            assert installation.server.process.returncode is None, installation.server.said()
            assert "Traceback" not in installation.server.said(), installation.server.said()
            witnesses.look()

        @PROFILE
        @given(st.lists(inputs, min_size=1, max_size=AT_ONCE))
        def anything(pieces: list[bytes]) -> None:
            asyncio.run_coroutine_threadsafe(send(pieces), loop).result()

        await send(FIRST)  # for all that is made at the first time
        descriptors, memory = process.num_fds(), installation.server.memory_mib()
        await asyncio.to_thread(anything)
        await witnesses.leave()
        async with asyncio.timeout(DEADLINE_S):
            for group in ("controller", "frontend"):
                while await installation.counted(f"{group}_connections"):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(PAUSE_S)
            while process.num_fds() > descriptors:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(PAUSE_S)
        assert (await installation.get("/health"))["status"] == "ok"
        grown = installation.server.memory_mib() - memory
        assert grown < FLAT_MIB
        outcomes = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(came.items()))
        figure(
            f"{what}: {came.total():,} pieces ({outcomes}); answers of 500 and tracebacks 0, descriptors left"
            f" 0, memory {grown:+.1f} MiB; beside it {witnesses.sent:,} batches of a controller, all acknowledged,"
            f" half of them within {median(witnesses.took_s) * 1000:.0f} ms, all within"
            f" {max(witnesses.took_s) * 1000:.0f} ms"
        )
