"""What a controller shows of itself: a live picture in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webmacs.controller.instances import State

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from webmacs.controller.agent import Agent
    from webmacs.controller.worker import Worker

_log = logging.getLogger(__name__)

REFRESH_S: Final = 0.5
LINE_S: Final = 60.0
MESSAGES: Final = 8
NS: Final = 1_000_000_000
MB: Final = 10**6
RATE_S: Final = 5.0  # devices are read once a second, the picture is drawn more often
_STYLES: Final = {State.CONNECTED: "green", State.DEMO: "cyan", State.ERROR: "red", State.INACTIVE: "dim"}


@dataclass(frozen=True, slots=True)
class Row:
    """An instance as it is shown."""

    name: str
    state: State
    message: str
    rate: float
    age_s: float | None
    missed: int


class Glance:
    """The agent at one moment, and how fast it is between two of them."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._looks: deque[tuple[float, dict[str, int]]] = deque()
        self.rows: list[Row] = []
        self.rate = 0.0

    def look(self, wall_ns: int) -> None:
        """Look again; rates are of the last seconds, or since the last time if that is longer ago."""
        now = asyncio.get_running_loop().time()
        while len(self._looks) > 1 and self._looks[1][0] <= now - RATE_S:
            self._looks.popleft()
        then, before = self._looks[0] if self._looks else (now, {})
        self.rows = [self._row(worker, before, max(now - then, 1e-3), wall_ns) for worker in self._agent.fleet.workers]
        self.rate = sum(row.rate for row in self.rows)
        counts = {worker.instance.public_id: worker.figures.readings for worker in self._agent.fleet.workers}
        self._looks.append((now, counts))

    def _row(self, worker: Worker, before: Mapping[str, int], passed_s: float, wall_ns: int) -> Row:
        figures = worker.figures
        more = figures.readings - before.get(worker.instance.public_id, figures.readings)
        age_s = None if figures.last_ns is None else max(wall_ns - figures.last_ns, 0) / NS
        return Row(worker.instance.name, worker.state, worker.message, more / passed_s, age_s, figures.missed)

    def link(self) -> str:
        """The connection in a few words."""
        agent = self._agent
        if agent.connected_at is None:
            return f"not connected: {agent.problem}"
        if agent.server.acknowledges is False:
            return "connected, without acknowledgements"
        return "connected"

    def spool(self) -> str:
        """What waits, and what was lost."""
        agent = self._agent
        lost = [
            f"{count:,} {what}"
            for count, what in (
                (agent.spool.dropped, "had to make room"),
                (agent.outbox.totals.not_kept, "not kept"),
                (agent.outbox.totals.refused, "refused"),
                (agent.outbox.totals.unlinked, "of events that are not linked"),
            )
            if count
        ]
        return ", ".join([f"{agent.outbox.waiting:,} readings wait ({agent.spool.bytes / MB:.1f} MB)", *lost])


class Lines:
    """A line in the log now and then."""

    def __init__(self, agent: Agent) -> None:
        self._glance = Glance(agent)
        self._clock = agent.clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LINE_S)
            glance = self._glance
            glance.look(self._clock.wall_ns())
            well = sum(row.state in {State.CONNECTED, State.DEMO} for row in glance.rows)
            _log.info(
                "%s; %d of %d devices well, %.1f readings/s; %s",
                *(glance.link(), well, len(glance.rows), glance.rate, glance.spool()),
            )


class Screen:
    """The picture. What is said meanwhile is shown below it, the newest last."""

    def __init__(self, agent: Agent, console: Console | None = None) -> None:
        """`console` None: standard output."""
        self._agent, self._console = agent, console
        self._glance = Glance(agent)
        self._messages: deque[str] = deque(maxlen=MESSAGES)

    async def run(self) -> None:
        """Until cancelled."""
        from rich.console import Console
        from rich.live import Live

        console = self._console or Console(highlight=False)
        root = logging.getLogger()
        handlers, ours = root.handlers[:], _Kept(self._messages)
        for handler in handlers:
            ours.setFormatter(handler.formatter)
            root.removeHandler(handler)
        root.addHandler(ours)
        try:
            with Live(console=console, auto_refresh=False) as live:
                while True:
                    self._glance.look(self._agent.clock.wall_ns())
                    live.update(self.draw(), refresh=True)
                    await asyncio.sleep(REFRESH_S)
        finally:
            root.removeHandler(ours)
            for handler in handlers:
                root.addHandler(handler)

    def draw(self) -> RenderableType:
        """The whole of it."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        glance = self._glance
        style = "red" if self._agent.connected_at is None else "green"
        heading = Text.assemble(
            ("WebMACS controller ", "bold"), self._agent.server.address, "  ", (glance.link(), style)
        )
        table = Table(box=None, padding=(0, 1), header_style="bold dim")
        for name, right in (("Device", False), ("State", False), ("Rate", True), ("Age", True), ("", False)):
            table.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
        for row in glance.rows:
            age = "" if row.age_s is None else f"{row.age_s:.1f} s"
            late = f"{row.missed:,} beats missed" if row.missed else ""
            table.add_row(row.name, Text(row.state, _STYLES[row.state]), f"{row.rate:.1f}/s", age, row.message or late)
        lines: list[RenderableType] = [heading, Text(), table]
        if not glance.rows:
            lines.append(Text("  no devices: add an instance of a plugin on the server", style="dim"))
        lines += [Text(), Text(f"  {glance.rate:.1f} readings/s, {glance.spool()}", style="dim")]
        lines += [Text(f"  {message}", style="dim", no_wrap=True, overflow="ellipsis") for message in self._messages]
        return Group(*lines)


class _Kept(logging.Handler):
    """Keeps what is said."""

    def __init__(self, messages: deque[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.extend(self.format(record).splitlines())
