"""`python -m benchmarks.receivers`: what becomes of bad receivers of webhooks, and what ingestion notices of them.

First, one reading that every kind of receiver wants to hear of, with the pauses between attempts made short so that the
end of each delivery can be waited for. Then the 99th percentile of acknowledgements at a steady rate, by default
settings: without webhooks and rules, with a rule on every event and as many good receivers as there are bad ones, and
with the bad ones; in turn, medians over the repetitions, whose spread says what a difference means.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import click
from rich.console import Console
from rich.table import Table

from benchmarks import wire
from benchmarks.crowd import Crowd, Noticed, Part
from benchmarks.server import Server, running
from benchmarks.strangers import BAD, NOBODY, WELL, Strangers
from benchmarks.workers import Worker
from tests.plant import Plant, now_us, settings_for
from webmacs.extensions import load_storage
from webmacs.model import Action, Delivery, Operator
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import deliveries
from webmacs.storage.rules import add_rule
from webmacs.storage.webhooks import add_webhook, webhooks

EVENTS: Final = 50
SUBSCRIBED: Final = ("sensor.reading", "sensor.threshold_exceeded")
LOOPBACK: Final = '[webhooks]\nallowed_networks = ["127.0.0.0/8"]\n'
QUICK: Final = "timeout_s = 2.0\nattempts = 4\nfirst_retry_s = 0.5\n"  # else it would take seven hours
WAIT_S: Final = 60.0

Company = Literal["none", "good", "bad"]


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement: milliseconds, seconds of the server's processor, attempts that were stored."""

    acknowledged: list[float]
    server_cpu_s: float
    asked: int
    attempts: int


@click.command()
@click.option("--seconds", default=20.0, show_default=True, help="How long each measurement takes.")
@click.option("--repeat", default=3, show_default=True, help="How often each of the three is measured.")
@click.option("--cooldown", default=1, show_default=True, help="Seconds, of the rule on each event; 0: each batch.")
def main(seconds: float, repeat: int, cooldown: int) -> None:
    """Measure on SQLite, where nothing but the server itself takes part."""
    console = Console(width=150)
    console.print(_fates(), highlight=False)
    found: dict[Company, list[Round]] = {"none": [], "good": [], "bad": []}
    for repetition in range(repeat):
        # In turn, and the other way round the next time: whatever drifts then meets all.
        for company in list(found)[:: 1 if repetition % 2 == 0 else -1]:
            noticed = _measure(company, seconds, cooldown)
            found[company].append(noticed)
            console.print(
                f"{company}: {len(noticed.acknowledged)} acknowledgements, p50 {_at(noticed, 50):.2f} ms, p99 "
                f"{_at(noticed, 99):.2f} ms; server {noticed.server_cpu_s / seconds:.2f} of a core; "
                f"{noticed.asked} deliveries asked for, {noticed.attempts} attempts",
                highlight=False,
            )
    console.print(_compared(found, seconds))


# -- what becomes of them --------------------------------------------------------------------------------------------


def _fates() -> Table:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        url = f"sqlite:///{directory}/webmacs.db"
        ports = {habit: _free_port() for habit in (WELL, *BAD)}
        strangers = stack.enter_context(Worker("strangers", Strangers(ports)))

        async def subscribe(storage: Storage, plant: Plant) -> None:
            await _subscribe(storage, plant, list(ports.values()), cooldown_s=60)

        server = stack.enter_context(running(url, Path(directory), 1, subscribe, LOOPBACK + QUICK))
        link = wire.connect(server.port, wire.TELEMETRY, server.operator_token)
        link.sendall(wire.client_frame(f'{{"datapoints":[{_point(server.events[0], 1.5)}],"batch_id":"1"}}'.encode()))
        link.recv(4096)
        ends = asyncio.run(_ends(url, Path(directory), ports))
        requests = strangers.result()["requests"]
    table = Table("receiver", "requests", "deliveries", "attempts of each", "took", "last error", "code", "webhook")
    for habit, (rows, enabled, took_s) in ends.items():
        statuses = {row.status.value for row in rows}
        table.add_row(
            habit,
            str(requests.get(habit, 0)),
            f"{len(rows)} {', '.join(sorted(statuses))}",
            ", ".join(str(row.attempts) for row in rows),
            f"{took_s:.1f} s",
            rows[0].last_error or "",
            str(rows[0].response_code or ""),
            "on" if enabled else "off",
        )
    return table


async def _ends(url: str, directory: Path, ports: dict[str, int]) -> dict[str, tuple[Sequence[Delivery], bool, float]]:
    """Of each receiver its deliveries, whether its webhook is on, and when nothing waited any more that can go on."""
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    try:
        began = time.monotonic()
        found: dict[str, tuple[Sequence[Delivery], bool, float]] = {}
        habits = {f"http://{wire.HOST}:{port}/": habit for habit, port in ports.items()}
        while len(found) < len(ports) and time.monotonic() < began + WAIT_S:
            for webhook in await webhooks(storage):
                rows = await deliveries(storage, webhook.id, limit=100)
                waits = webhook.enabled and any(row.status == "pending" for row in rows)
                if rows and not waits and habits[webhook.url] not in found:
                    found[habits[webhook.url]] = (rows, webhook.enabled, time.monotonic() - began)
            await asyncio.sleep(0.05)
        return {habit: found[habit] for habit in ports}
    finally:
        await storage.close()


# -- what ingestion notices ------------------------------------------------------------------------------------------


def _measure(company: Company, seconds: float, cooldown_s: int) -> Round:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        url = f"sqlite:///{directory}/webmacs.db"
        ports = {NOBODY: _free_port()} if company == "none" else {habit: _free_port() for habit in BAD}
        if company == "good":
            ports = dict.fromkeys([WELL], ports[NOBODY])
        stack.enter_context(Worker("strangers", Strangers(ports)))

        async def subscribe(storage: Storage, plant: Plant) -> None:
            receivers = list(ports.values()) if company == "bad" else list(ports.values()) * len(BAD)
            if company != "none":
                await _subscribe(storage, plant, receivers, cooldown_s=cooldown_s)

        server = stack.enter_context(running(url, Path(directory), EVENTS + 1, subscribe, LOOPBACK))
        cpu_s = server.cpu_s()
        acknowledged = _acknowledged(server, seconds)
        cpu_s = server.cpu_s() - cpu_s
        asked, attempts = asyncio.run(_made(url, Path(directory)))
    return Round(acknowledged, cpu_s, asked, attempts)


def _acknowledged(server: Server, seconds: float) -> list[float]:
    *events, asked = server.events

    def worker(part: Part) -> Worker:
        return Worker("crowd", Crowd(part, server.port, server.operator_token, events, asked, 0, seconds, part))

    with ExitStack() as everyone, ThreadPoolExecutor() as signs:
        workers = {part: everyone.enter_context(worker(part)) for part in ("show", "ask")}
        results = {part: signs.submit(workers[part].result) for part in workers}
        return Noticed(**results["ask"].result()).delays


async def _made(url: str, directory: Path) -> tuple[int, int]:
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    try:
        rows = await storage.fetch("SELECT count(*), coalesce(sum(attempts), 0) FROM deliveries")
        return int(rows[0][0]), int(rows[0][1])
    finally:
        await storage.close()


def _compared(found: dict[Company, list[Round]], seconds: float) -> Table:
    table = Table("receivers", "p50 ms", "p99 ms", "ratio of p99", "spread of p99", "of a core", "attempts/s")
    base = statistics.median(_at(one, 99) for one in found["none"])
    for company, rounds in found.items():
        all99 = [_at(one, 99) for one in rounds]
        table.add_row(
            company,
            f"{statistics.median(_at(one, 50) for one in rounds):.2f}",
            f"{statistics.median(all99):.2f}",
            f"{statistics.median(all99) / base:.2f}",
            f"{min(all99):.2f}–{max(all99):.2f}",  # noqa: RUF001 - a range
            f"{statistics.median(one.server_cpu_s for one in rounds) / seconds:.2f}",
            f"{statistics.median(one.attempts for one in rounds) / seconds:.0f}",
        )
    return table


# -- both ------------------------------------------------------------------------------------------------------------


async def _subscribe(storage: Storage, plant: Plant, ports: Sequence[int], *, cooldown_s: int) -> None:
    """A rule on every event that each reading meets, and a webhook for each port that wants to hear of all."""
    for number, event in enumerate(plant.linked):
        await add_rule(
            storage,
            name=f"rule {number}",
            event=event,
            operator=Operator.GTE,
            threshold=-1e9,
            action=Action.WEBHOOK,
            cooldown_s=cooldown_s,
            now_us=now_us(),
        )
    for number, port in enumerate(ports):
        path = f"?{number}" if len(set(ports)) < len(ports) else ""
        await add_webhook(storage, url=f"http://{wire.HOST}:{port}/{path}", events=SUBSCRIBED, now_us=now_us())


def _point(event: str, value: float) -> str:
    return f'{{"value":{value},"event_public_id":"{event}"}}'


def _at(found: Round, percent: int) -> float:
    return statistics.quantiles(found.acknowledged, n=100)[percent - 1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((wire.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
