"""The controllers: send as fast as the server reads, or so many rows a second, and wait for the last commit.

Everything is made before the clock starts and sent in blocks of many frames, so that the generator takes little of
the processor that it shares with the server. The last message of each controller has a `batch_id`: as order is kept,
its acknowledgement says that all before it is committed. Where every message has one, a controller keeps no more than
a window of them unacknowledged.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from benchmarks import wire, workers

BODIES_ROWS: Final = 20_000  # readings in the messages that repeat
BLOCK_BYTES: Final = 64 * 1024
WINDOW_ROWS: Final = 40_000  # unacknowledged, of all controllers together: a few transactions
# No more than this is sent for each second of the load: the kernel's buffers take far more than the server can.
MOST_MESSAGES_PER_S: Final = 100_000
MOST_ROWS_PER_S: Final = 400_000

ACKNOWLEDGED: Final = b'"ack"'
REFUSED: Final = b'"error"'


@dataclass(frozen=True, slots=True)
class Load:
    """What to send. `name` makes the batch ids unique among the loads of one server; `rows_per_s` 0: all it takes."""

    port: int
    token: str
    events: list[str]
    readings: int
    controllers: int
    acknowledged: bool
    seconds: float
    name: str
    rows_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent; `seconds` is from the first byte to the last acknowledgement."""

    messages: int
    rows: int
    seconds: float
    generator_cpu_s: float


@dataclass(frozen=True, slots=True)
class Block:
    """Whole frames that are sent by one call."""

    data: bytes
    messages: int


class Controller:
    """One connection: a sender and, beside it, a reader of what the server answers."""

    def __init__(self, load: Load, number: int, bodies: list[bytes]) -> None:
        name = f"{load.name}-{number}"
        per_s = min(MOST_MESSAGES_PER_S, MOST_ROWS_PER_S / load.readings) / load.controllers
        self._most = int(per_s * load.seconds) + 1
        repeated = cycle(bodies)
        if load.acknowledged:
            frames = [wire.telemetry(next(repeated), f"{name}-{n}") for n in range(self._most)]
            self._blocks: Iterator[Block] = iter(_blocks(frames))
        elif load.rows_per_s:
            self._blocks = cycle([Block(wire.telemetry(body), 1) for body in bodies])
        else:
            self._blocks = cycle(_blocks([wire.telemetry(body) for body in bodies]))
        self._pause_s = load.readings * load.controllers / load.rows_per_s if load.rows_per_s else 0.0
        self._last = Block(wire.telemetry(bodies[0], f"{name}-last"), 1)
        self._acknowledged = load.acknowledged
        self._window = max(1, WINDOW_ROWS // load.readings // load.controllers)
        self._link = wire.connect(load.port, wire.TELEMETRY, load.token)
        self._progress = threading.Condition()
        self._acks = 0
        self._expected = -1  # how many acknowledgements there will be, once that is known
        self.messages = 0

    def send(self, until: float) -> None:
        """Send until that time of `time.perf_counter`, or until there is no more.

        Raises:
            TimeoutError: no acknowledgement comes.

        """
        due = time.perf_counter()
        for block in self._blocks:
            if time.perf_counter() >= until or self.messages >= self._most:
                break
            if self._pause_s:
                time.sleep(max(0.0, due - time.perf_counter()))
                due += self._pause_s
            self._send(block)
            if self._acknowledged:
                self._wait_for_window()
        self._expected = self.messages + 1 if self._acknowledged else 1
        self._send(self._last)

    def read(self) -> float:
        """Count acknowledgements until all have come; the time of the last one."""
        end = b""
        while self._acks != self._expected:
            received = self._link.recv(BLOCK_BYTES)
            if not received:
                raise ConnectionError(f"the server closed the connection; it had said {end!r}")
            text = end + received
            if REFUSED in text:
                raise RuntimeError(f"the server refused a message: {text!r}")
            with self._progress:
                self._acks += text.count(ACKNOWLEDGED)
                self._progress.notify()
            end = text[1 - len(ACKNOWLEDGED) :]
        return time.perf_counter()

    def _send(self, block: Block) -> None:
        self._link.sendall(block.data)
        self.messages += block.messages

    def _wait_for_window(self) -> None:
        with self._progress:
            if not self._progress.wait_for(lambda: self.messages - self._acks <= self._window, wire.TIMEOUT_S):
                raise TimeoutError("the server does not acknowledge")


def _blocks(frames: list[bytes]) -> list[Block]:
    size = max(1, BLOCK_BYTES // len(frames[0]))
    parts = [frames[start : start + size] for start in range(0, len(frames), size)]
    return [Block(b"".join(part), len(part)) for part in parts]


def main() -> None:
    """Run as a worker."""
    load = Load(**workers.job())
    bodies = wire.bodies(load.events, load.readings, max(1, BODIES_ROWS // load.readings))
    controllers = [Controller(load, number, bodies) for number in range(load.controllers)]
    gc.disable()
    with ThreadPoolExecutor(2 * load.controllers) as threads:
        workers.say_ready()
        workers.wait_for_sign()
        cpu_s, began = time.process_time(), time.perf_counter()
        reading = [threads.submit(controller.read) for controller in controllers]
        sending = [threads.submit(controller.send, began + load.seconds) for controller in controllers]
        for sender in sending:
            sender.result()
        ended = max(reader.result() for reader in reading)
    messages = sum(controller.messages for controller in controllers)
    workers.hand_back(Sent(messages, messages * load.readings, ended - began, time.process_time() - cpu_s))


if __name__ == "__main__":
    main()
