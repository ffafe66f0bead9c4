"""`python -m benchmarks.dashboard`: what hundreds of live events cost a browser, and how old what it shows is.

A real server, readings whose value says when they were sent, the live page in Debian's chromium. Twice a minute the
browser's own trace says what each frame cost: script, and style, layout and paint. Whenever a value on the screen
changes, its age is taken after the frame that shows it. Memory is the heap after a collection, and the renderer's
resident set. Headless chromium has no graphics processor: what a real one would take over is in these figures.
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import psutil
from playwright.sync_api import CDPSession, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.hourglass import FIRST, ROUND_S, Sand
from benchmarks.report import RESULTS, machine
from benchmarks.server import Server, running
from benchmarks.workers import Worker

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TRACE_S: Final = 5.0
TRACE_EVERY_S: Final = 30.0
SETTLE_S: Final = 10.0
SCRIPT: Final = re.compile(
    "^(FunctionCall|EvaluateScript|FireAnimationFrame|TimerFire|EventDispatch|RunMicrotasks|WebSocketReceive"
    "|V8.GC.*|MinorGC|MajorGC|v8.*)$"
)
RENDERING: Final = re.compile(
    "^(UpdateLayoutTree|Layout|PrePaint|Paint|Layerize|Commit|IntersectionObserver.*|HitTest)$"
)
IN_SIGHT: Final = """
() => [...document.querySelectorAll('.tile')].filter((tile) => tile.getBoundingClientRect().top < innerHeight).length
"""
FRAME: Final = "AnimationFrame"

WATCH: Final = """
(([round, first]) => {
  const seen = { ages: [], long: [], waits: [] };
  window.__seen = seen;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) seen.long.push(entry.duration);
  }).observe({ type: 'longtask' });
  const watched = document.querySelector('[data-testid=value]');
  window.__watched = watched.closest('[data-event]').dataset.event;
  const channel = new MessageChannel();
  let changed = new Map();
  // A message that is posted in an animation frame arrives when that frame has been laid out and painted.
  channel.port1.onmessage = () => {
    const now = Date.now() / 1000;
    for (const text of changed.values()) {
      const age = (((now % round) - (Number(text) - first)) % round + round) % round;
      seen.ages.push(age * 1000);
    }
    if (changed.has(watched) && window.__received) seen.waits.push(performance.now() - window.__received);
    changed = new Map();
  };
  new MutationObserver((records) => {
    const waiting = changed.size > 0;
    for (const { target } of records)
      if (target.dataset?.testid === 'value') changed.set(target, target.textContent);
    if (!waiting && changed.size > 0) requestAnimationFrame(() => channel.port2.postMessage(0));
  }).observe(document.querySelector('main'), { subtree: true, childList: true, characterData: true });
})
"""


RECEIVED: Final = """
const Socket = window.WebSocket;
window.__received = 0;
window.WebSocket = class extends Socket {
  constructor(address) {
    super(address);
    this.addEventListener('message', ({ data }) => {
      if (window.__watched && data.includes(window.__watched)) window.__received = performance.now();
    });
  }
};
"""


@dataclass(slots=True)
class Found:
    """What one run found; times in ms, memory in MB."""

    events: int
    tiles_in_sight: int
    minutes: float
    script_ms: list[float] = field(default_factory=list)
    rendering_ms: list[float] = field(default_factory=list)
    long_tasks: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)
    heap_mb: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    cores: float = 0.0
    late_ms: float = 0.0


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long it is looked at.")
@click.option("--events", default=500, show_default=True, help="How many events.")
@click.option("--rate", default=5.0, show_default=True, help="Readings of each event in a second.")
@click.option("--width", default=1920, show_default=True)
@click.option("--height", default=1080, show_default=True, help="8000 and all 500 tiles are in sight.")
def main(minutes: float, events: int, rate: float, width: int, height: int) -> None:
    """Measure, and print what was found."""
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/webmacs.db"
        with running(url, Path(directory), events=events) as server:
            sand = Sand(server.port, server.operator_token, server.events, rate, minutes * 60 + SETTLE_S + 30)
            with Worker("hourglass", sand) as worker:
                worker.start()
                found = _look(server, minutes, (width, height))
                found.late_ms = worker.end()["late_ms"]
    _show(console, found)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"dashboard-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps({"machine": machine(), **asdict(found)}), "utf-8")
    console.print(f"all of it: {path}")


def _look(server: Server, minutes: float, size: tuple[int, int]) -> Found:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        context.add_init_script(f"localStorage.setItem('webmacs.token', {json.dumps(server.viewer_token)})")
        context.add_init_script(RECEIVED)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/live")
        page.locator("[data-testid=value]").filter(has_text=re.compile(r"\d")).first.wait_for()
        page.wait_for_timeout(SETTLE_S * 1000)
        in_sight = page.evaluate(IN_SIGHT)
        found = Found(len(server.events), in_sight, minutes)
        page.evaluate(WATCH, [ROUND_S, FIRST])
        cdp = context.new_cdp_session(page)
        renderer = _renderer()
        before = renderer.cpu_times()
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < minutes * 60:
            found.heap_mb.append(_heap(cdp))
            found.resident_mb.append(renderer.memory_info().rss / 1e6)
            for script, rendering in _frames(cdp, page):
                found.script_ms.append(script)
                found.rendering_ms.append(rendering)
            page.wait_for_timeout(max(0.0, min(TRACE_EVERY_S, minutes * 60 - elapsed) - TRACE_S) * 1000)
        seen = page.evaluate("window.__seen")
        whole_s = time.monotonic() - began
        after = renderer.cpu_times()
        found.heap_mb.append(_heap(cdp))
        found.resident_mb.append(renderer.memory_info().rss / 1e6)
        found.cores = (after.user + after.system - before.user - before.system) / whole_s
        found.long_tasks, found.ages_ms, found.waits_ms = seen["long"], seen["ages"], seen["waits"]
        browser.close()
    return found


def _renderer() -> psutil.Process:
    """The process of the page: of the renderers the one that has worked most."""
    mine = psutil.Process().children(recursive=True)
    renderers = [process for process in mine if "--type=renderer" in process.cmdline()]
    return max(renderers, key=lambda process: process.cpu_times().user)


def _heap(cdp: CDPSession) -> float:
    cdp.send("HeapProfiler.collectGarbage")
    cdp.send("Performance.enable")
    metrics = {one["name"]: float(one["value"]) for one in cdp.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"] / 1e6


def _frames(cdp: CDPSession, page: Page) -> list[tuple[float, float]]:
    """Script and rendering of each frame in the next seconds, as the browser's trace has them."""
    events: list[dict[str, Any]] = []
    done: list[bool] = []

    def collect(data: dict[str, Any]) -> None:
        events.extend(data["value"])

    def complete(_data: object) -> None:
        done.append(True)

    cdp.on("Tracing.dataCollected", collect)
    cdp.on("Tracing.tracingComplete", complete)
    config = {"includedCategories": ["devtools.timeline", "disabled-by-default-devtools.timeline", "v8"]}
    cdp.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": config})
    page.wait_for_timeout(TRACE_S * 1000)
    cdp.send("Tracing.end")
    while not done:
        page.wait_for_timeout(50)
    cdp.remove_listener("Tracing.dataCollected", collect)
    cdp.remove_listener("Tracing.tracingComplete", complete)
    return list(costs(events))


def costs(events: Iterable[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    """Of the thread that makes the frames: what was spent between the begin of one frame and the next, ms."""
    whole = [event for event in events if event.get("ph") == "X" and "dur" in event]
    starts = [event for event in events if event["name"] == FRAME and event.get("ph") == "b"]
    if not starts:
        return
    threads = statistics.mode((event["pid"], event["tid"]) for event in starts)
    mine = sorted((e for e in whole if (e["pid"], e["tid"]) == threads), key=lambda e: (e["ts"], -e["dur"]))
    begins = sorted(e["ts"] for e in starts if (e["pid"], e["tid"]) == threads)
    spent = [[0.0, 0.0] for _ in begins]
    stack: list[tuple[float, int | None]] = []  # end, kind
    for event in mine:
        while stack and event["ts"] >= stack[-1][0]:
            stack.pop()
        kind = 0 if SCRIPT.match(event["name"]) else 1 if RENDERING.match(event["name"]) else None
        above = next((one for _, one in reversed(stack) if one is not None), None)
        stack.append((event["ts"] + event["dur"], kind))
        frame = bisect_right(begins, event["ts"]) - 1
        if frame < 0 or kind is None or kind == above:
            continue
        spent[frame][kind] += event["dur"]
        if above is not None:
            spent[frame][above] -= event["dur"]  # layout that a script asked for is layout
    for script, rendering in spent[:-1]:  # the last one goes on behind the trace
        yield script / 1000, rendering / 1000


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _show(console: Console, found: Found) -> None:
    table = Table(title=f"{found.events} events for {found.minutes:g} minutes, {found.tiles_in_sight} tiles in sight")
    for heading in ("", "p50", "p99", "largest"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = {
        "script of a frame, ms": found.script_ms,
        "style, layout and paint of a frame, ms": found.rendering_ms,
        "from a message to the frame that shows it, ms": found.waits_ms,
        "age of a value when its frame is shown, ms": found.ages_ms,
        "long tasks (over 50 ms), ms": found.long_tasks,
    }
    for name, values in rows.items():
        table.add_row(f"{name} ({len(values)})", *(f"{_quantile(values, share):.1f}" for share in (0.5, 0.99, 1.0)))
    console.print(table)
    early = found.heap_mb[min(2, len(found.heap_mb) - 1)]
    console.print(
        f"{found.cores:.2f} of a core; heap {found.heap_mb[0]:.1f} MB, after "
        f"a minute {early:.1f}, at the end {found.heap_mb[-1]:.1f}; resident {found.resident_mb[0]:.0f} to "
        f"{found.resident_mb[-1]:.0f} MB; the sender was {found.late_ms:.0f} ms late at most"
    )


if __name__ == "__main__":
    main()
