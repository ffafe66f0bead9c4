"""Controllers as a plant has them, and the ledger of what they sent and what was acknowledged.

Some ask for acknowledgements, some do not. They send batches of all sizes; some readings are late, some invalid, some
of events that nothing is linked to. They come and go: who asks is cut off in the middle and sends again under the same
`batch_id`; who does not ask ends each connection with a batch that is acknowledged, which, as order is kept, speaks for
all before it. So every reading is accounted for: all readings of a batch have one value, which no other batch has.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from typing import Final

from benchmarks import wire, workers
from tests.rawsocket import CLOSE, PING, PONG, TEXT, RawSocket, frame

SIZES: Final = (1, 2, 5, 20, 100, 450)
TEMPLATES: Final = 40  # of each size
LATE: Final = timedelta(hours=1)
SETTLE_S: Final = 60.0

VALUE: Final = b"@value@"
TIME: Final = b"@time@"
INVALID: Final = (b"NaN", b'"1.5"', b"null", b"1e400")


@dataclass(frozen=True, slots=True)
class Field:
    """The job. `rate`: readings a second of all together, 0: as many as the server takes; `first`: the first value;
    `life_s`: how long a connection lasts at most; `window_rows`: of one controller, sent and not acknowledged.
    """

    address: str
    token: str
    events: list[str]
    unlinked: str
    rate: float
    seconds: float
    first: int
    controllers: int = 8
    life_s: float = 40.0
    window_rows: int = 3_000


@dataclass(frozen=True, slots=True)
class Harvest:
    """What came of it. `readings[n]`: how many were acknowledged with the value `first + n`; all that could be were."""

    first: int
    readings: list[int]
    seconds: float
    connections: int
    again: int
    refused: int
    ack_p50_ms: float
    ack_p99_ms: float
    ack_longest_ms: float
    generator_cpu_s: float

    @property
    def rows(self) -> int:
        """Readings that were acknowledged, or spoken for by one that was."""
        return sum(self.readings)


@dataclass(frozen=True, slots=True)
class Template:
    """A message without its value, its time and its `batch_id`: how many of its readings are to be stored."""

    body: bytes
    good: int
    bad: int

    def message(self, value: int, batch_id: str | None) -> bytes:
        """The frame."""
        body = self.body.replace(VALUE, b"%d" % value)
        if TIME in body:
            body = body.replace(TIME, (datetime.now(UTC) - LATE).isoformat().encode())
        return wire.telemetry(body, batch_id)


@dataclass(slots=True)
class Sent:
    """A batch that has not been acknowledged yet."""

    value: int
    template: Template
    frame: bytes
    at: float


class Ledger:
    """What was sent, and what was acknowledged."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.readings: list[int] = []
        self.delays_ms: list[float] = []
        self.connections = self.again = self.refused = 0

    def value(self) -> int:
        """One that no batch has had."""
        self.readings.append(0)
        return self.first + len(self.readings) - 1

    def stored(self, sent: Sent) -> None:
        """That batch is stored, by the word of the server."""
        self.readings[sent.value - self.first] = sent.template.good


class Controller:
    """One of them, over as many connections as it takes."""

    def __init__(
        self, job: Field, ledger: Ledger, number: int, templates: Iterator[Template], chance: random.Random
    ) -> None:
        self._job, self._ledger, self._templates, self._chance = job, ledger, templates, chance
        self._asks = number % 2 == 0
        self._rate = job.rate / job.controllers
        self._ids = (f"{job.first}-{number}-{n}" for n in count())
        self._due = 0.0
        self._open: dict[str, Sent] = {}  # by batch_id: those that are to be acknowledged
        self._unsaid: list[Sent] = []  # without one: those that the next acknowledgement speaks for
        self._open_rows = 0
        self._again: deque[str] = deque()
        self._moved = asyncio.Event()

    async def run(self, until: float) -> None:
        """Send until that time of `time.perf_counter`, then wait until everything is acknowledged."""
        self._due = time.perf_counter() + self._chance.random() * 0.2
        while time.perf_counter() < until:
            await self._connect(min(until, time.perf_counter() + self._job.life_s * self._chance.uniform(0.1, 1)))
        async with asyncio.timeout(SETTLE_S):
            while self._open:
                await self._connect(0)

    async def _connect(self, until: float) -> None:
        self._ledger.connections += 1
        async with await RawSocket.open(self._job.address, wire.TELEMETRY, self._job.token) as link:
            reading = asyncio.create_task(self._read(link))
            sending = asyncio.create_task(self._send(link, until))
            try:
                await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()
                sending.cancel()
                await asyncio.wait((reading, sending))
            for task in (sending, reading):
                if not task.cancelled():
                    task.result()

    async def _send(self, link: RawSocket, until: float) -> None:
        for sent in list(self._open.values()):  # of a connection that was cut
            self._ledger.again += 1
            link.write(sent.frame)
            await link.drain()
        while time.perf_counter() < until:
            template = next(self._templates)
            await self._pace(template.good + template.bad)
            await self._one(link, template, asks=self._asks)
        if self._asks and until:
            return  # in the middle: what is open goes out again with the next connection
        if self._unsaid:
            await self._one(link, next(self._templates), asks=True)
        while self._open:
            await self._repeat(link)
            self._moved.clear()
            await self._moved.wait()

    async def _one(self, link: RawSocket, template: Template, *, asks: bool) -> None:
        value = self._ledger.value()
        batch_id = next(self._ids) if asks else None
        sent = Sent(value, template, template.message(value, batch_id), time.perf_counter())
        if batch_id is None:
            self._unsaid.append(sent)
        else:
            self._open[batch_id] = sent
            self._open_rows += template.good
        link.write(sent.frame)
        await link.drain()
        while self._asks and self._open_rows > self._job.window_rows:
            await self._repeat(link)
            self._moved.clear()
            await self._moved.wait()

    async def _repeat(self, link: RawSocket) -> None:
        """Send again what the server had no room for."""
        while self._again:
            sent = self._open.get(self._again.popleft())
            if sent is not None:
                self._ledger.again += 1
                link.write(sent.frame)
        await link.drain()

    async def _pace(self, readings: int) -> None:
        if not self._rate:
            return
        now = time.perf_counter()
        if self._due > now:
            await asyncio.sleep(self._due - now)
        self._due = max(self._due, now - 1.0) + readings / self._rate

    async def _read(self, link: RawSocket) -> None:
        """Take what the server says until it is cut.

        Raises:
            RuntimeError: it closes the connection, or refuses what is good.

        """
        while True:
            opcode, payload = await link.receive(SETTLE_S)
            if opcode == PING:
                link.write(frame(PONG, payload))
            elif opcode == CLOSE:
                raise RuntimeError(f"the server has closed the connection of a controller: {payload!r}")
            elif opcode == TEXT:
                self._hear(json.loads(payload))

    def _hear(self, answer: dict[str, object]) -> None:
        batch_id = str(answer.get("batch_id"))
        if answer["type"] == "error" and answer.get("retry"):
            self._ledger.refused += 1
            self._again.append(batch_id)
        elif answer["type"] != "ack":
            raise RuntimeError(f"the server refuses what is good, or has no room for it: {answer}")
        elif batch_id in self._open:  # what was sent again is acknowledged twice
            sent = self._open.pop(batch_id)
            self._open_rows -= sent.template.good
            if (answer["accepted"], answer["rejected"]) != (sent.template.good, sent.template.bad):
                raise RuntimeError(f"{sent.template.good} of a batch are good, {sent.template.bad} are not: {answer}")
            if not answer.get("duplicate"):
                self._ledger.delays_ms.append((time.perf_counter() - sent.at) * 1000)
            for one in (sent, *self._unsaid):
                self._ledger.stored(one)
            self._unsaid.clear()
        self._moved.set()


def templates(events: Sequence[str], unlinked: str, chance: random.Random) -> list[Template]:
    """Of every size in turn: one in ten late, one in ten with readings that are not to be stored."""
    event = cycle(events)
    made = []
    for number in range(TEMPLATES):
        for size in SIZES:
            late = b',"timestamp":"%s"' % TIME if chance.random() < 0.1 else b""
            items = [_item(VALUE, next(event), late) for _ in range(size)]
            if number % 10 == 0:
                items += [_item(chance.choice(INVALID), next(event)) for _ in range(1 + size // 20)]
            elif number % 10 == 5:
                items += [_item(VALUE, unlinked) for _ in range(1 + size // 20)]
            chance.shuffle(items)
            made.append(Template(b'{"datapoints":[' + b",".join(items) + b"]", size, len(items) - size))
    return made


def _item(value: bytes, event: str, more: bytes = b"") -> bytes:
    return b'{"value":%s,"event_public_id":"%s"%s}' % (value, event.encode(), more)


async def harvest(job: Field) -> Harvest:
    """Everything, to the last acknowledgement."""
    ledger = Ledger(job.first)
    made = templates(job.events, job.unlinked, random.Random(8))
    chances = [random.Random(number) for number in range(job.controllers)]
    controllers = [
        Controller(job, ledger, number, cycle(chance.sample(made, len(made))), chance)
        for number, chance in enumerate(chances)
    ]
    began, cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for controller in controllers:
            group.create_task(controller.run(began + job.seconds))
    delays = sorted(ledger.delays_ms) or [0.0]
    return Harvest(
        ledger.first,
        ledger.readings,
        time.perf_counter() - began,
        ledger.connections,
        ledger.again,
        ledger.refused,
        delays[len(delays) // 2],
        delays[len(delays) * 99 // 100],
        delays[-1],
        time.process_time() - cpu_s,
    )


def main() -> None:
    """Run as a worker."""
    job = Field(**workers.job())
    workers.say_ready()
    workers.wait_for_sign()
    workers.hand_back(asyncio.run(harvest(job)))


if __name__ == "__main__":
    main()
