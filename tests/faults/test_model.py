"""Whatever happens, in whatever order: random histories of a real server, held against the model.

A failure prints the shortest history that was found to fail as the calls it consists of, and, in the long form, how to
repeat the run: `WEBMACS_TEST_SEED`. The short form is always the same.
"""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import BACKENDS
from tests.faults.machine import History
from tests.faults.play import Sums
from tests.faults.site import Site, on_postgres, on_sqlite
from tests.promises import LONG, Figure

HISTORIES = int(os.environ.get("WEBMACS_TEST_HISTORIES") or (60 if LONG else 6))
STEPS = 40 if LONG else 15
SEED = "WEBMACS_TEST_SEED"


@pytest.mark.promise("P7", "P2", "P3", "P5")
@pytest.mark.parametrize("place", BACKENDS)
def test_whatever_happens_in_whatever_order_the_model_holds(
    place: str, tmp_path: Path, request: pytest.FixtureRequest, figure: Figure
) -> None:
    sums = Sums()
    if place == "sqlite":
        around = on_sqlite(tmp_path)
    else:
        postgres, url = request.getfixturevalue("stoppable"), request.getfixturevalue("stoppable_url")
        around = on_postgres(postgres, url, tmp_path)
    with asyncio.Runner() as runner:
        site = runner.run(around.__aenter__())
        try:
            play_histories(site, runner, sums)
        finally:
            runner.run(around.__aexit__(None, None, None))
    assert sums.stored > 0
    assert sums.acknowledged > 0
    faults = ", ".join(f"{what} {count}" for what, count in sorted(sums.faults.items()))
    slowest = f"{max(sums.thrown_out_s):.2f} s" if sums.thrown_out_s else "nobody"
    figure(
        f"{place}: {sums.histories} histories of {sums.steps:,} steps ({faults}); {sums.sent:,} readings sent,"
        f" {sums.again:,} batches again, {sums.acknowledged:,} acknowledged, {sums.stored:,} stored, {sums.alarms:,}"
        f" alarms; {sums.looked:,} looked up when they were heard of; longest until who was revoked is out: {slowest};"
        " disagreements with the model 0"
    )


def play_histories(site: Site, runner: asyncio.Runner, sums: Sums) -> None:
    """Raises what the shortest failing one raises."""
    settings = hypothesis.settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=not LONG,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),  # real disks take their time
    )

    history: Any = partial(History, site, runner, sums)  # a function does as well as the class it asks for

    seed = int(os.environ.get(SEED) or random.randrange(2**32))
    try:
        run_state_machine_as_test(hypothesis.seed(seed)(history) if LONG else history, settings=settings)
    except BaseException as error:
        error.add_note(sums.first_failure)
        if LONG:
            error.add_note(f"To repeat all of this run: WEBMACS_TEST_LONG=1 {SEED}={seed}")
        raise
