"""Of any file: what is stored is what was planned, and the second time there is nothing to do."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.declaration.plants import after, carried_out, planned, stored
from tests.plant import settings_for
from webmacs.declaration.file import CONDITIONS, Declaration
from webmacs.declaration.plan import Mode
from webmacs.declaration.problem import Refused
from webmacs.declaration.state import Present
from webmacs.extensions import load_storage
from webmacs.model import Direction, WebhookEvent

EXAMPLES = 60
EVENTS = ["A", "B", "C", "Rig \N{EN DASH} Valve"]
NUMBERS = st.floats(-1e300, 1e300)
ORDERED = st.tuples(NUMBERS, NUMBERS).map(sorted)
SWITCH = {"enabled": st.booleans()}


def tables(key: str, names: list[str], needed: dict[str, Any], **optional: Any) -> Any:
    """Some things of a kind, each once; of some all is said that a new one needs, of others less."""
    full = st.fixed_dictionaries({key: st.sampled_from(names), **needed}, optional=optional)
    partly = st.fixed_dictionaries({key: st.sampled_from(names)}, optional={**needed, **optional})
    return st.lists(full | full | partly, unique_by=lambda entry: entry[key], min_size=1, max_size=3)


def conditions() -> Any:
    one = [word for word in CONDITIONS if word not in {"between", "outside"}]
    return st.sampled_from(one).flatmap(lambda word: NUMBERS.map(lambda number: {word: number})) | st.sampled_from(
        ["between", "outside"]
    ).flatmap(lambda word: ORDERED.map(lambda pair: {word: pair}))


USERS = tables(
    "email",
    ["ann@example.org", "Bob@example.org"],
    {"password_env": st.just("P")},
    role=st.sampled_from(["viewer", "operator", "admin"]),
    username=st.sampled_from(["Ann", "Bo", "ann"]),
)
BOUNDS = ORDERED.map(lambda pair: {"min_value": pair[0], "max_value": pair[1]})
EVENT_TABLES = st.lists(
    st.builds(
        lambda bounds, rest: {**bounds, **rest},
        BOUNDS | st.just({}),
        st.fixed_dictionaries(
            {"name": st.sampled_from(EVENTS)},
            optional={
                "unit": st.sampled_from(["V", "°C"]),
                "type": st.sampled_from(["sensor", "range"]),
            },
        ),
    ),
    unique_by=lambda entry: entry["name"],
    min_size=1,
    max_size=3,
)
CHANNELS = tables(
    "channel_id",
    ["t", "v", "x"],
    {"channel_name": st.sampled_from(["X", "Ü"]), "unit": st.just("V")},
    event=st.sampled_from([*EVENTS, ""]),
    direction=st.sampled_from([direction.value for direction in Direction]),
)
INSTANCES = tables(
    "instance_name",
    ["Rig", "Other"],
    {"plugin_id": st.just("rig")},
    **SWITCH,
    demo_mode=st.booleans(),
    config=st.dictionaries(st.sampled_from("ab"), NUMBERS | st.text(max_size=3) | st.booleans(), max_size=2),
    catalog_channels=st.booleans(),
    auto_create_events=st.booleans(),
    channels=CHANNELS,
)
RULES = st.lists(
    st.builds(
        lambda rest, condition: {**rest, **condition},
        st.fixed_dictionaries(
            {"name": st.sampled_from(["Hot", "Cold"]), "event": st.sampled_from(EVENTS)},
            optional={
                **SWITCH,
                "action": st.sampled_from(["log", "webhook"]),
                "emits": st.sampled_from(list(WebhookEvent)).map(str),
                "cooldown_s": st.integers(0, 10**6),
            },
        ),
        conditions(),
    ),
    unique_by=lambda entry: entry["name"],
    min_size=1,
    max_size=2,
)
WEBHOOKS = tables(
    "url",
    ["http://a/", "https://b/?x"],
    {
        "events": st.lists(
            st.sampled_from([text for event in WebhookEvent for text in event.spellings]), min_size=1, max_size=4
        )
    },
    **SWITCH,
)
KINDS = {"users": USERS, "events": EVENT_TABLES, "plugins": INSTANCES, "rules": RULES, "webhooks": WEBHOOKS}
FILES = st.one_of(
    *(st.fixed_dictionaries({name: tables}) for name, tables in KINDS.items()),
    st.fixed_dictionaries({}, optional=KINDS),
).map(Declaration.model_validate)
BASE = Declaration.model_validate(
    {
        "users": [{"email": "ann@example.org", "role": "admin", "password_env": "P"}],
        "events": [{"name": name, "unit": "V", "min_value": 0.0, "max_value": 1.0} for name in EVENTS[:2]],
        "plugins": [{"instance_name": "Rig", "plugin_id": "rig"}],
        "rules": [{"name": "Hot", "event": "A", "above": 1.0}],
        "webhooks": [{"url": "http://a/", "events": ["sensor.reading"]}],
    }
)
MODES = st.sampled_from([Mode.BRING, Mode.BRING, Mode.BRING, Mode.ADD])


@given(st.lists(st.tuples(FILES, MODES), min_size=4, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_file_that_was_applied_leaves_nothing_to_do(files: list[tuple[Declaration, Mode]]) -> None:
    there = Present()
    for file, mode in [(BASE, Mode.BRING), *files]:
        try:
            plan = planned(file, there, mode=mode)
        except Refused:
            continue
        there = after(there, plan)
        assert planned(file, there, mode=mode).changes == ()
        assert planned(file, there, mode=Mode.ADD).changes == ()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with nothing in it."""
    directory = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        storage = load_storage(settings_for(f"sqlite:///{directory / 'empty.db'}", directory))
        await storage.open()
        await storage.close()

    asyncio.run(make())
    return directory / "empty.db"


@given(st.lists(st.tuples(FILES, MODES), min_size=4, max_size=8))
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_is_stored_is_what_was_planned(empty: Path, files: list[tuple[Declaration, Mode]]) -> None:
    async def run(directory: Path) -> None:
        storage = load_storage(settings_for(f"sqlite:///{shutil.copy(empty, directory / 'test.db')}", directory))
        await storage.open()
        try:
            there = await stored(storage)
            for file, mode in [(BASE, Mode.BRING), *files]:
                try:
                    plan = planned(file, there, mode=mode)
                except Refused:
                    continue
                await carried_out(storage, plan)
                there = after(there, plan)
                assert await stored(storage) == there
                assert planned(file, await stored(storage), mode=mode).changes == ()
        finally:
            await storage.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))
