"""What more events, and rules on all of them, cost a reading: servers side by side, measured in turn."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks import history
from benchmarks.book import Goal
from benchmarks.cases import SIZES, Case, measure
from benchmarks.installed import installed
from benchmarks.limits import Store
from benchmarks.rules import Case as Breadth
from benchmarks.rules import equip
from benchmarks.run import Run
from benchmarks.server import Server

BREADTH: Final = "More events and rules"
CONSTANT: Final = Goal("ratio", 0.9)
ALL: Final = (Breadth(10), Breadth(500), Breadth(10_000), Breadth(10_000, rules=True))
QUICK: Final = (Breadth(10), Breadth(1_000))


def breadth(run: Run) -> None:
    """Readings a second, 500 a message, beside what it is with ten events; of rules, with as many events and none.

    And beside the bare storage, for which more events are more work, too.
    """
    cases = QUICK if run.quick else ALL
    sending = Case(SIZES[-1])
    for name in run.storages:
        with ExitStack() as stack:
            tested: dict[Breadth, tuple[Store, Server]] = {}
            for case in cases:
                prepare = partial(equip, case=case)
                tested[case] = stack.enter_context(installed(name, run.postgres_url, 0, prepare))
            for repetition in range(run.repeat):
                rates: dict[Breadth, float] = {}
                for case, (store, server) in tested.items():
                    store.empty()
                    sample = measure(sending, store, server, run.seconds, f"{repetition}")
                    rates[case] = sample.rows_per_s
                    named, base = _named(case), Breadth(case.events) if case.rules else cases[0]
                    beside = (_named(base), rates[base]) if case != base else None
                    run.note(
                        *(BREADTH, store.name, named, "rows/s", sample.rows_per_s),
                        beside=beside,
                        goal=None if case.rules or beside is None else CONSTANT,
                        more=sample.more(),
                    )
                    latest_ms = history.ask(server, f"{history.API}/latest", None)
                    run.note(history.LOOKING, store.name, f"/latest, {named}", "ms", latest_ms)
                    run.note(
                        *(BREADTH, store.name, f"{named}, beside the bare storage", "rows/s", sample.rows_per_s),
                        beside=(store.limit_name, store.limit()),
                    )


def _named(case: Breadth) -> str:
    """Beside the few rules that all have."""
    return f"{case.events:,} events{', a rule on each' * case.rules}"
