"""A publisher that is its own last subscriber: a window of messages is under way, and the next goes when one is back.

So what is measured is how fast messages are handed on, not how many of them can be piled up. The frames are made
beforehand; a number in each, which comes round again, says which it is. Messages may be merged on the way, as a server
does that shows the newest values: what comes back then speaks for those before it.
"""

from __future__ import annotations

import gc
import json
import random
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks import mqtt, wire, workers
from benchmarks.subscribers import Protocol, open_link

WINDOW: Final = 24
ROUND: Final = 64  # different frames; more than a window, or a number could mean two
FIRST: Final = 1000  # so that all numbers have as many digits
EXPERIMENT: Final = "00000000-0000-4000-8000-000000000000"
NUMBER: Final = re.compile(rb'"value":(\d{4})')
NUMBER_BYTES: Final = len('"value":1000')

Content = Literal["readings", "stream"]


@dataclass(frozen=True, slots=True)
class Publication:
    """Messages of `size` of the events, the first of them always among these.

    `content`: as a controller sends readings, or as the stream shows them, where somebody passes them on as they are.
    """

    protocol: Protocol
    content: Content
    port: int
    operator_token: str
    viewer_token: str
    events: list[str]
    size: int
    wanted: str
    seconds: float
    name: str


@dataclass(frozen=True, slots=True)
class Published:
    """`began`: the time of `time.perf_counter` at which the first was sent."""

    messages: int
    began: float
    cpu_s: float


def payloads(events: list[str], size: int, content: Content) -> Iterator[bytes]:
    """One round of them, the same in every run."""
    chance = random.Random(0)
    for number in range(ROUND):
        chosen = [events[0], *chance.sample(events[1:], size - 1)]
        value = float(FIRST + number)
        if content == "readings":
            points: list[dict[str, object]] = [{"value": value, "event_public_id": event} for event in chosen]
            yield json.dumps({"datapoints": points}).encode()
            continue
        points = [
            {
                "value": value,
                "event_public_id": event,
                "timestamp": "2026-01-01T00:00:00.000000+00:00",
                "experiment_public_id": EXPERIMENT,
            }
            for event in chosen
        ]
        yield json.dumps({"type": "datapoints_batch", "datapoints": points}, separators=(",", ":")).encode()


def publish(frames: list[bytes], out: socket.socket, back: socket.socket, seconds: float) -> Published:
    """Send for so long, then wait for the last to be back.

    Raises:
        ConnectionError: the other side has ended it.
        TimeoutError: nothing comes back any more.

    """
    sent = shown = 0
    end = b""
    cpu_s, began = time.process_time(), time.perf_counter()
    until = began + seconds
    while True:
        if time.perf_counter() < until:
            while sent < shown + WINDOW:
                out.sendall(frames[sent % ROUND])
                sent += 1
        elif shown == sent:
            return Published(sent, began, time.process_time() - cpu_s)
        received = back.recv(1 << 18)
        if not received:
            raise ConnectionError("the connection of the publisher was ended")
        text = end + received
        for match in NUMBER.finditer(text):
            shown += (int(match[1]) - FIRST + 1 - shown) % ROUND
        end = text[1 - NUMBER_BYTES :]


def main() -> None:
    """Run as a worker."""
    job = Publication(**workers.job())
    made = payloads(job.events, job.size, job.content)
    if job.protocol == "mqtt":
        frames, out = [mqtt.publish(payload) for payload in made], mqtt.connect(job.port, f"{job.name}-out")
    else:
        frames = [wire.client_frame(payload) for payload in made]
        out = wire.connect(job.port, wire.TELEMETRY, job.operator_token)
    back = open_link(job.protocol, job.port, job.viewer_token, f"{job.name}-back", job.wanted)
    gc.disable()
    workers.say_ready()
    workers.wait_for_sign()
    workers.hand_back(publish(frames, out, back, job.seconds))


if __name__ == "__main__":
    main()
