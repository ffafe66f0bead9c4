"""From a controller's send to a browser's receipt, the commit included.

Sender and receiver are threads of one process, so there is one clock. Each value is sent once and tells which it is.
"""

from __future__ import annotations

import gc
import re
import socket
import threading
import time
from dataclasses import dataclass
from typing import Final

from benchmarks import wire, workers

VALUE: Final = re.compile(rb'"value":(\d+)')
QUIET_S: Final = 0.5  # for what an earlier measurement has left behind to pass
PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Trickle:
    """One reading a message, evenly spaced, of all events in turn, which the browser asks for.

    An event's turn must come less often than the broadcast's interval, or its readings wait for that.
    """

    port: int
    operator_token: str
    viewer_token: str
    events: list[str]
    per_second: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds, one for each reading, in the order sent."""

    milliseconds: list[float]


def measure(trickle: Trickle, controller: socket.socket, browser: socket.socket) -> Delays:
    """Send all, receive all.

    Raises:
        RuntimeError: a reading did not arrive.

    """
    count = int(trickle.per_second * trickle.seconds)
    frames = [
        wire.client_frame(
            b'{"datapoints": [{"value": %d, "event_public_id": "%s"}]}'
            % (number, trickle.events[number % len(trickle.events)].encode())
        )
        for number in range(count)
    ]
    arrived: list[float] = [0.0] * count
    missing = count

    def receive() -> None:
        nonlocal missing
        end = b""
        while missing:
            received = browser.recv(64 * 1024)
            now = time.perf_counter()
            if not received:
                return
            text = end + received
            cut = text.rfind(b"}") + 1  # a value that was cut in two is read with the next piece
            for match in VALUE.finditer(text, 0, cut):
                arrived[int(match[1])] = now
                missing -= 1
            end = text[cut:]

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    sent = []
    gc.disable()
    start = time.perf_counter()
    for number, frame in enumerate(frames):
        time.sleep(max(0.0, start + number / trickle.per_second - time.perf_counter()))
        sent.append(time.perf_counter())
        controller.sendall(frame)
    receiver.join(PATIENCE_S)
    if missing:
        raise RuntimeError(f"{missing} of {count} readings did not reach the browser")
    return Delays([(end - begin) * 1000 for begin, end in zip(sent, arrived, strict=True)])


def main() -> None:
    """Run as a worker."""
    trickle = Trickle(**workers.job())
    controller = wire.connect(trickle.port, wire.TELEMETRY, trickle.operator_token)
    browser = wire.connect(trickle.port, wire.STREAM, f"{trickle.viewer_token}&events={','.join(trickle.events)}")
    time.sleep(QUIET_S)
    browser.recv(64 * 1024)  # the confirmation
    workers.say_ready()
    workers.wait_for_sign()
    workers.hand_back(measure(trickle, controller, browser))


if __name__ == "__main__":
    main()
