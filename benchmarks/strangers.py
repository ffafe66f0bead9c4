"""Receivers of webhooks in a process of their own, each with a habit; they count what they get."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from benchmarks import wire, workers
from tests.webhooks.receivers import Behaviour, closing, flooding, hanging, listening, reply, saying

WELL: Final = "takes all"
NOBODY: Final = "refuses"  # at its port nobody listens
GIGABYTE: Final = flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", bytes(64 * 1024))
HABITS: Final[dict[str, Behaviour]] = {
    WELL: saying(reply(204)),
    "hangs": hanging,
    "redirects": saying(reply(302, "Location: http://127.0.0.1:1/")),
    "answers 500": saying(reply(500)),
    "answers 429": saying(reply(429, "Retry-After: 5")),
    "answers 410": saying(reply(410)),
    "sends a gigabyte": GIGABYTE,
    "says nothing": closing,
}
BAD: Final = (NOBODY, *(habit for habit in HABITS if habit != WELL))


@dataclass(frozen=True, slots=True)
class Strangers:
    """Which habits, and at which port each."""

    ports: dict[str, int]


@dataclass(frozen=True, slots=True)
class Heard:
    """How many requests each has got."""

    requests: dict[str, int]


async def serve(strangers: Strangers) -> Heard:
    """Listen until the sign is given."""
    async with AsyncExitStack() as stack:
        receivers = {
            habit: await stack.enter_async_context(listening(HABITS[habit], host=wire.HOST, port=port))
            for habit, port in strangers.ports.items()
            if habit != NOBODY
        }
        workers.say_ready()
        await asyncio.to_thread(workers.wait_for_sign)
        return Heard({habit: len(receiver.requests) for habit, receiver in receivers.items()})


def main() -> None:
    """Run as a worker."""
    strangers = Strangers(**workers.job())
    gc.disable()
    workers.hand_back(asyncio.run(serve(strangers)))


if __name__ == "__main__":
    main()
