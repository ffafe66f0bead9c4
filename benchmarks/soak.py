"""`python -m benchmarks.soak`, which is `make soak`: does an hour leave anything behind that a minute does not?

A real server with everything that a plant has at once: controllers that come and go, browsers of every kind, pages,
people, rules that fire, webhooks to a receiver that is well and to one that is dead. First the worst happens: at full
speed the storage is held up until the server's queue is full, some times, while pages ask without a rest, so that the
most memory that this mix ever needs has been needed once. Then it is measured how much of it the machine takes, and it
goes on at half of that. In the end everybody leaves. What must hold then, and what was seen meanwhile, is one table,
one picture and a file. The server has the share of the processors that `deploy/webmacs.service` gives it, where that is
allowed. The exit code is 1 if memory has grown by a megabyte or descriptors at all, if the event loop was late by 20 ms
more than once in a hundred times, or if a reading that was acknowledged is not there exactly once.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import psycopg2
from rich.console import Console

from benchmarks import standstill, wire
from benchmarks.field import Field, Harvest
from benchmarks.findings import MB, Course, Minute, Soak, balance, quantile, save, sentence, show
from benchmarks.installed import STORAGES, postgres
from benchmarks.process import Look, Pinger, lag_quantile_ms, look, scrape
from benchmarks.server import Server, free_port, running
from benchmarks.strangers import NOBODY, WELL, Strangers
from benchmarks.visitors import Seen, Visitors
from benchmarks.workers import Worker
from tests.plant import PASSWORD, Plant, now_us
from tests.priority import goes_first
from tests.promises import keep
from webmacs.model import Action, Operator, Role
from webmacs.storage.base import Storage
from webmacs.storage.rules import add_rule
from webmacs.storage.webhooks import add_webhook

BROWSERS: Final = 50
EVENTS: Final = 1000
RULES: Final = 10
FULL_ROWS: Final = 30_000  # of each controller that asks, at full speed: together more than the queue has room for
STANDSTILLS: Final = 3
STANDSTILL_EVERY_S: Final = 10.0
LOOK_EVERY_S: Final = 1.0
MINUTE_S: Final = 60.0
LEAVE_S: Final = 60.0  # until nothing of those who have left is there any more
QUEUES: Final = ("webmacs_queue_rows", "webmacs_controller_connections", "webmacs_frontend_connections")
CONFIGURATION: Final = '[webhooks]\nallowed_networks = ["127.0.0.0/8"]\n[logging]\nlevel = "warning"\n'
VALUES: Final = "SELECT value, count(*) FROM datapoints GROUP BY value"

Sending = Future[dict[str, Any]]
Meanwhile = Callable[[Server, Sending], None]
"""What is done beside those who send."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. `rate` 0: half of what the machine takes."""

    minutes: float
    rate: float
    measure_s: float
    warm_up_s: float


@click.command()
@click.option("--minutes", default=20.0, show_default=True, help="How long, after the machine was measured.")
@click.option("--storage", type=click.Choice((*STORAGES, "both")), default="both", show_default=True)
@click.option("--rate", default="half", show_default=True, help="Of what the machine takes; or readings a second.")
@click.option("--measure", default=60.0, show_default=True, help="Seconds at full speed, to see what it takes.")
@click.option("--warm-up", default=3.0, show_default=True, help="Minutes in which memory may grow; at most a third.")
@click.option("--figures", type=click.Path(path_type=Path), help="If all holds, keep it as that of P8 in this file.")
@click.option("--postgres-url", help="A PostgreSQL whose databases may be made and dropped. Default: one is started.")
def main(
    minutes: float,
    storage: str,
    rate: str,
    measure: float,
    warm_up: float,
    figures: Path | None,
    postgres_url: str | None,
) -> None:
    """Run a server for a while with everything that a plant has, and look for what grows."""
    console = Console(width=None if Console().is_terminal else 140)
    plan = Plan(minutes, 0.0 if rate == "half" else float(rate), measure, min(warm_up, minutes / 3) * MINUTE_S)
    done = []
    for name in STORAGES if storage == "both" else (storage,):
        began = datetime.now(UTC)
        with _place(name, postgres_url) as (url, directory):
            soak = Run(console, name, url, directory).through(plan)
        done.append(soak)
        json_file, picture = save(soak, began)
        show(console, soak)
        console.print(f"kept as {json_file} and {picture}", soft_wrap=True)
    if not all(soak.holds for soak in done):
        raise SystemExit(1)
    if figures is not None:
        keep({"P8": "; ".join(sentence(soak) for soak in done)}, figures)


@contextmanager
def _place(name: str, postgres_url: str | None) -> Iterator[tuple[str, Path]]:
    """The URL of an empty storage, and a directory; both are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="webmacs-soak-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        if name == "sqlite":
            yield f"sqlite:///{directory / 'webmacs.db'}", directory
        else:
            base = postgres_url or stack.enter_context(postgres())
            yield stack.enter_context(_database(base)), directory


@contextmanager
def _database(base: str) -> Iterator[str]:
    name = f"soak_{time.time_ns()}"

    def execute(statement: str) -> None:
        with closing(psycopg2.connect(base)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    execute(f"CREATE DATABASE {name}")
    try:
        yield f"{base.rpartition('/')[0]}/{name}"
    finally:
        execute(f"DROP DATABASE {name} WITH (FORCE)")


class Run:
    """One storage, from an empty one to what was found."""

    def __init__(self, console: Console, name: str, url: str, directory: Path) -> None:
        self._console, self._name, self._url, self._directory = console, name, url, directory
        self._ports = {WELL: free_port(), NOBODY: free_port()}

    def through(self, plan: Plan) -> Soak:
        """Everything, in order."""
        with ExitStack() as stack:
            strangers = stack.enter_context(Worker("strangers", Strangers(self._ports)))
            server = stack.enter_context(running(self._url, self._directory, EVENTS, self._alarms, CONFIGURATION))
            first = goes_first(server.process.pid)
            self._say(f"the queue filled {STANDSTILLS} times, as much as the machine takes in between")
            pressed, _ = self._together(server, 0.0, (STANDSTILLS + 1) * STANDSTILL_EVERY_S, 0, self._press)
            self._say(f"as much as it takes, for {plan.measure_s:g} s")
            measured, _ = self._together(server, 0.0, plan.measure_s, len(pressed.readings))
            capacity = measured.rows / measured.seconds
            begin, _ = self._alone(server, None)
            rate = plan.rate or capacity / 2
            self._say(
                f"this machine takes {capacity:,.0f} readings/s of this mix; {plan.minutes:g} min at {rate:,.0f}; "
                f"with nobody there {begin.rss / MB:.1f} MB, {begin.descriptors} descriptors"
            )
            course = Course(plan.warm_up_s)
            sent = len(pressed.readings) + len(measured.readings)
            harvest, seen = self._together(server, rate, plan.minutes * MINUTE_S, sent, self._watch(course))
            end, left = self._alone(server, begin)
            self._say(f"everybody has left: {end.rss / MB:.1f} MB, {end.descriptors} descriptors; counting")
            told = strangers.result()["requests"][WELL]
            found = balance((pressed, measured, harvest), self._stored())
        return Soak(
            self._name, plan.minutes, capacity, rate, first, begin, end, left, course, harvest, seen, found, int(told)
        )

    async def _alarms(self, storage: Storage, plant: Plant) -> None:
        """Rules that every reading meets, and who wants to hear of it."""
        for number, event in enumerate(plant.linked[:RULES]):
            await add_rule(
                storage,
                name=f"rule {number}",
                event=event,
                operator=Operator.GTE,
                threshold=-1.0,
                action=Action.WEBHOOK if number % 2 else Action.LOG,
                cooldown_s=1,
                now_us=now_us(),
            )
        for port in self._ports.values():
            url = f"http://{wire.HOST}:{port}/"
            events = ("sensor.threshold_exceeded", "sensor.reading")
            await add_webhook(storage, url=url, events=events, now_us=now_us())

    def _together(
        self, server: Server, rate: float, seconds: float, first: int, meanwhile: Meanwhile | None = None
    ) -> tuple[Harvest, Seen]:
        address, plant = f"http://{wire.HOST}:{server.port}", server.plant
        field = Field(address, server.operator_token, server.events, plant.unlinked, rate, seconds, first)
        if not rate:
            field = replace(field, window_rows=FULL_ROWS)
        visitors = Visitors(
            *(address, server.viewer_token, plant.emails[Role.ADMIN], PASSWORD, server.events, BROWSERS),
            hurried=meanwhile == self._press,
        )
        with ExitStack() as everyone, ThreadPoolExecutor() as signs:
            visiting = everyone.enter_context(Worker("visitors", visitors))
            sending = signs.submit(everyone.enter_context(Worker("field", field)).result)
            if meanwhile is not None:
                meanwhile(server, sending)
            return Harvest(**sending.result()), Seen(**visiting.result())

    def _press(self, server: Server, sending: Sending) -> None:
        """Hold the storage up again and again, while they send."""
        for _ in range(STANDSTILLS):
            time.sleep(STANDSTILL_EVERY_S)
            if sending.done():
                return
            took = standstill.fill(
                self._url, lambda: scrape(server.port, server.viewer_token)["webmacs_queue_rows", ""]
            )
            self._say(f"full after {took:.1f} s: {look(server.process, 0.0).anonymous / MB:.1f} MB of its own")

    def _watch(self, course: Course) -> Meanwhile:
        """Look every second and ask every minute, until all is sent."""

        def watch(server: Server, sending: Sending) -> None:
            began = time.monotonic()
            course.first = course.last = scrape(server.port, server.viewer_token)
            with closing(Pinger(server.port, server.viewer_token)) as pinger:
                while not sending.done():
                    time.sleep(LOOK_EVERY_S)
                    course.looks.append(look(server.process, began))
                    if time.monotonic() - began >= (len(course.minutes) + 1) * MINUTE_S:
                        self._minute(server, pinger, course)
                if not course.minutes:
                    self._minute(server, pinger, course)

        return watch

    def _minute(self, server: Server, pinger: Pinger, course: Course) -> None:
        now = scrape(server.port, server.viewer_token)
        minute = Minute(
            lag_quantile_ms(course.last, now, 0.5),
            lag_quantile_ms(course.last, now, 0.99),
            now["webmacs_loop_lag_longest_seconds", ""] * 1000,
            pinger.taken(),
            pinger.late(),
            now["webmacs_queue_rows", ""],
        )
        stored = now["webmacs_readings_stored_total", ""] - course.last["webmacs_readings_stored_total", ""]
        course.minutes.append(minute)
        course.last = now
        *_, (_, rss) = course.memory()
        self._say(
            f"{len(course.minutes):>3} min: {rss / MB:7.2f} MB, {course.looks[-1].descriptors} descriptors, "
            f"{stored:,.0f} stored; loop lag p99 {minute.lag_p99:.1f} ms, longest {minute.lag_longest:.0f} ms; "
            f"ping p99 {quantile(sorted(minute.pings), 0.99):.1f} ms; an idle process was late itself by "
            f"{quantile(sorted(minute.pinger_late), 0.99):.1f} ms"
        )

    def _alone(self, server: Server, before: Look | None) -> tuple[Look, dict[str, float]]:
        """How it is when everybody has left, and what is left of them; waits until there is no more than before."""
        until = time.monotonic() + LEAVE_S
        while True:
            time.sleep(5)
            now, metrics = look(server.process, 0.0), scrape(server.port, server.viewer_token)
            left = {name: metrics[name, ""] for name in QUEUES}
            clear = not any(left.values()) and (before is None or now.descriptors <= before.descriptors)
            if clear or time.monotonic() > until:
                return now, left

    def _stored(self) -> dict[int, int]:
        """How many readings there are of each value."""
        if self._name == "sqlite":
            with closing(sqlite3.connect(self._directory / "webmacs.db", timeout=30)) as database:
                return {int(value): count for value, count in database.execute(VALUES)}
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute(VALUES)
            return {int(value): count for value, count in cursor}

    def _say(self, text: str) -> None:
        self._console.print(f"{datetime.now(UTC):%H:%M:%S} {self._name}: {text}", highlight=False, markup=False)


if __name__ == "__main__":
    main()
