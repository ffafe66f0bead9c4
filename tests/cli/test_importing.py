"""`webmacs import`: what was exported is stored again, once, and what is wrong with a file is said."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Configure, until
from tests.cli.measured import T0, Held, held, inside, kind_of, store
from tests.cli.process import ended, started
from tests.cli.runner import complaint, done, misuse, run, said
from tests.conftest import Databases
from tests.plant import Plant, Server, settings_for
from webmacs import experiments
from webmacs.catalog import Snapshot
from webmacs.cli.setting import opened_storage
from webmacs.model import Event, to_datetime
from webmacs.storage import records
from webmacs.storage.base import Commit, Storage

NAMES = ("Flow", "a, b", 'the "old" one', "two\r\nlines", "new\nline", "\r", "温度 🌡", " =1+1", ";\t'")
VALUES = (0.1, -1e300, 5e-324, sys.float_info.max, -sys.float_info.min, 1 / 3, 1e22, 2**53 + 2.0, 7.0)
LINES = "\n".join(f"2026-01-01T00:00:{number:02}Z,Sensor {number % 3},{number}.5" for number in range(30))
HEADER = "timestamp,event_name,value\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Thirty readings of the plant's three linked events."""
    return write(tmp_path, HEADER + LINES)


def write(directory: Path, text: str, name: str = "readings.csv") -> Path:
    path = directory / name
    path.write_text(text, "utf-8", newline="")
    return path


def values(url: str) -> list[float]:
    return [reading.value for reading in held(url)]


# -- there and back -------------------------------------------------------------------------------------------------


def fill(url: str) -> None:
    """Events whose names are hard to write, with values that are; an experiment in the middle of them."""

    async def make(storage: Storage, _snapshot: Snapshot) -> None:
        for name in NAMES:
            await records.add_event(storage, name=name, unit="m³/h, \n", now_us=T0)
        begun = await experiments.start(storage, name="Melt", now_us=T0 + 3)
        await experiments.stop(storage, begun, now_us=T0 + 6)

    inside(url, make)
    store(url, [(name, T0 + number, value) for number, (name, value) in enumerate(zip(NAMES, VALUES, strict=True))])


def test_what_was_exported_is_stored_again_elsewhere(
    configure: Configure, storage_url: str, tmp_path: Path, postgres_url: str, databases: Databases
) -> None:
    """In another installation, on the other storage, where nothing of it is known."""
    file = tmp_path / "all.csv.gz"
    fill(storage_url)
    said("export", "--config", configure(storage_url), "--output", file)
    before = held(storage_url)
    with databases.empty() as empty:
        there = empty if storage_url.startswith("sqlite") else f"sqlite:///{tmp_path / 'other.db'}"
        config = configure(there)
        done("migrate", "--config", config)
        assert complaint("import", file, "--config", config).startswith("there is no event 'Flow', 'a, b', ")
        assert held(there) == []
        assert said("import", file, "--create-events", "--config", config).endswith("imported 9 readings\n")
        assert held(there) == [reading._replace(experiment=None) for reading in before]
        assert events(there) == events(storage_url)


def events(url: str) -> list[tuple[str, str, str]]:
    async def known(_storage: Storage, snapshot: Snapshot) -> list[Event]:
        return list(snapshot.events.values())

    return sorted((event.public_id, event.name, event.unit) for event in inside(url, known))


def test_readings_that_were_lost_come_back_into_their_experiment(
    config: Path, storage_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "all.csv"
    fill(storage_url)
    said("export", "--config", config, "--output", file)
    before = held(storage_url)
    assert {reading.experiment for reading in before} == {None, "Melt"}

    async def lose(storage: Storage, snapshot: Snapshot) -> None:
        for event_id in snapshot.events_by_id:
            await storage.forget_event(event_id, 1_000)

    inside(storage_url, lose)
    assert said("import", file, "--config", config) == "imported 9 readings\n"
    assert held(storage_url) == before


def test_imported_twice_it_is_stored_once(config: Path, plant: Plant, storage_url: str, file: Path) -> None:
    assert said("import", file, "--config", config) == "imported 30 readings\n"
    assert said("import", file, file, "--config", config) == "imported 0 readings; 60 were there already\n"
    assert values(storage_url) == [number + 0.5 for number in range(30)]


def test_readings_that_are_alike_stay_as_many_as_they_were(
    config: Path, plant: Plant, storage_url: str, tmp_path: Path
) -> None:
    """A batch without times may hold several of one event, which get one and the same."""
    store(storage_url, [("Sensor 0", T0, 1.0)] * 3)
    file = tmp_path / "all.csv"
    said("export", "--config", config, "--output", file)
    assert said("import", file, "--config", config) == "imported 0 readings; 3 were there already\n"
    inside(storage_url, lambda storage, _snapshot: storage.forget_event(1, 1_000))
    assert said("import", file, "--config", config) == "imported 3 readings\n"
    assert values(storage_url) == [1.0] * 3


# -- who is meant ---------------------------------------------------------------------------------------------------


def test_an_event_is_found_by_its_id_else_by_its_name(
    config: Path, plant: Plant, storage_url: str, tmp_path: Path
) -> None:
    rows = (f"{plant.linked[0]},renamed since", f"{plant.linked[1]},", "of-another-installation,Sensor 2", ",Spare")
    text = "".join(f"2026-01-01T00:00:0{number}Z,{row},1\n" for number, row in enumerate(rows))
    said("import", write(tmp_path, f"time,event_public_id,event,value\n{text}"), "--config", config)
    assert [reading.event for reading in held(storage_url)] == ["Sensor 0", "Sensor 1", "Sensor 2", "Spare"]


def test_events_are_made_where_that_is_asked_for(config: Path, plant: Plant, storage_url: str, tmp_path: Path) -> None:
    rows = ("ab-1,Flow,1,l/min", "ab-1,Flow,2,", ",Level,3,", "cd-2,,4,bar", "ef-3,Flow,5,V", ",Sensor 0,6,")
    text = "".join(f"2026-01-01T00:00:0{number}Z,{row}\n" for number, row in enumerate(rows))
    file = write(tmp_path, f"timestamp,event_public_id,event_name,value,unit\n{text}")
    assert said("import", file, "--create-events", "--config", config).splitlines() == [
        *("made the event 'Flow'", "made the event 'Level'", "made the event 'cd-2'", "imported 6 readings")
    ]
    assert [reading.event for reading in held(storage_url)] == ["Flow", "Flow", "Level", "cd-2", "Flow", "Sensor 0"]
    made = {name: (public_id, unit) for public_id, name, unit in events(storage_url)}
    assert (made["Flow"], made["cd-2"], made["Level"][1]) == (("ab-1", "l/min"), ("cd-2", "bar"), "-")


@pytest.mark.parametrize("name", ["x" * 256, "a\0b"])
def test_no_event_is_made_that_could_not_be_made_otherwise(
    config: Path, plant: Plant, storage_url: str, tmp_path: Path, name: str
) -> None:
    file = write(tmp_path, f"{HEADER}2026-01-01T00:00:00Z,Flow,1\n2026-01-01T00:00:00Z,{name},1\n")
    before = events(storage_url)
    assert complaint("import", file, "--create-events", "--config", config).startswith("no event can be called")
    assert (events(storage_url), held(storage_url)) == (before, [])


def test_of_many_unknown_events_some_are_named(config: Path, plant: Plant, storage_url: str, tmp_path: Path) -> None:
    known, rest = "2026-01-01T00:00:00Z,Sensor 0,1\n", (f"2026-01-01T00:00:00Z,Valve {n},1\n" for n in range(10))
    file = write(tmp_path, HEADER + known + "".join(rest))
    names = ", ".join(f"'Valve {number}'" for number in range(8))
    expected = f"there is no event {names} and 2 more; --create-events makes them. Nothing was imported"
    assert complaint("import", file, "--config", config) == expected
    assert held(storage_url) == []


# -- what is wrong --------------------------------------------------------------------------------------------------

BAD = """\
timestamp,event_name,value
2026-01-01T00:00:00Z,Sensor 0,1
2026-01-01T00:00:01Z,Sensor 0,warm
2026-01-01T00:00:02Z,"Sensor
0"
2026-01-01T00:00:03Z,Sensor 0,2
2999-01-01T00:00:00Z,Sensor 0,3
1969-12-31T23:59:59Z,Sensor 0,4
2026-01-01T00:00:04,Sensor 0,5
"""


def test_bad_rows_are_left_out_counted_and_said(config: Path, plant: Plant, storage_url: str, tmp_path: Path) -> None:
    file = write(tmp_path, BAD)
    result = run("import", file, "--config", config)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{file}:3: 'warm' is no finite number",
        f"{file}:4: it has 2 columns, the header 3",
        f"{file}:7: '2999-01-01T00:00:00Z' is in the future",
        f"{file}:8: '1969-12-31T23:59:59Z' is before 1970-01-01 00:00 UTC, and would not be kept",
        f"{file}:9: '2026-01-01T00:00:04' has no offset; --utc takes such times for UTC",
        "imported 2 readings",
        "Error: 5 bad rows of 7 left out",
    ]
    assert values(storage_url) == [1.0, 2.0]


def test_only_the_first_bad_rows_are_said(config: Path, plant: Plant, tmp_path: Path) -> None:
    shown = run("import", write(tmp_path, BAD), "--show", "1", "--config", config).stderr.splitlines()
    assert [line.partition(": ")[2] for line in shown[:1]] == ["'warm' is no finite number"]
    assert shown[1:] == ["imported 2 readings", "Error: 5 bad rows of 7 left out"]


def test_strictly_one_bad_row_is_enough(config: Path, plant: Plant, storage_url: str, tmp_path: Path) -> None:
    file = write(tmp_path, BAD)
    result = run("import", file, "--strict", "--config", config)
    bad = f"{file}:3: 'warm' is no finite number"
    assert result.stderr.splitlines() == [bad, "Error: nothing was imported, as there is a bad row"]
    assert (result.exit_code, held(storage_url)) == (1, [])


def test_strictly_good_rows_are_imported(config: Path, plant: Plant, file: Path) -> None:
    assert said("import", file, "--strict", "--config", config) == "imported 30 readings\n"


def test_times_may_be_said_to_be_utc(config: Path, plant: Plant, storage_url: str, tmp_path: Path) -> None:
    said("import", write(tmp_path, HEADER + "2026-01-01T00:00:00,Sensor 0,1\n"), "--utc", "--config", config)
    assert held(storage_url) == [Held(T0, "Sensor 0", 1.0, None)]


def test_what_would_not_be_kept_is_not_imported(
    configure: Configure, plant: Plant, storage_url: str, tmp_path: Path, file: Path
) -> None:
    text = (tmp_path / "webmacs.toml").read_text("utf-8")
    (tmp_path / "webmacs.toml").write_text(text.replace("[storage]", "[storage]\nretention_days = 30"), "utf-8")
    shown = run("import", file, "--show", "1", "--config", tmp_path / "webmacs.toml").stderr.splitlines()
    assert shown[0].endswith("UTC, and would not be kept")
    assert held(storage_url) == []


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "there is no column timestamp in the header"),
        (b"a,b\n", "there is no column timestamp in the header"),
        (b"timestamp,event,value\n\xff\xfe,a,1\n", "it is not UTF-8"),
        (b'timestamp,event,value\n2026-01-01T00:00:00Z,Sensor 0,1\n1,"a"b,1\n', "after line 2"),
    ],
)
def test_a_file_that_is_none_is_named(
    config: Path, plant: Plant, storage_url: str, tmp_path: Path, contents: bytes, words: str
) -> None:
    (tmp_path / "odd.csv").write_bytes(contents)
    good = write(tmp_path, HEADER + LINES)
    text = complaint("import", good, tmp_path / "odd.csv", "--config", config)
    assert text.startswith(f"{tmp_path / 'odd.csv'}: ")
    assert words in text
    assert held(storage_url) == []


def test_a_byte_order_mark_is_no_part_of_the_header(config: Path, plant: Plant, tmp_path: Path) -> None:
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + (HEADER + LINES).encode())
    assert said("import", tmp_path / "bom.csv", "--config", config) == "imported 30 readings\n"


def test_a_compressed_file_that_breaks_off_is_refused(config: Path, plant: Plant, tmp_path: Path) -> None:
    file, part = tmp_path / "all.csv.gz", tmp_path / "part.csv.gz"
    said("export", "--config", config, "--output", file)
    part.write_bytes(file.read_bytes()[:-10])
    assert "ended before" in complaint("import", part, "--config", config)


def test_a_file_that_is_not_there_is_said(config: Path, plant: Plant, tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    assert complaint("import", missing, "--config", config) == f"cannot read {missing}: no such file or directory"
    os.mkfifo(tmp_path / "pipe")
    assert complaint("import", tmp_path / "pipe", "--config", config).endswith(
        "it is no file, and has to be read twice"
    )


def test_a_file_has_to_be_given(nowhere: Path) -> None:
    assert misuse("import", "--config", nowhere) == "Missing argument 'FILE...'."


# -- broken off, and beside a server --------------------------------------------------------------------------------


def big(directory: Path, count: int) -> Path:
    """Readings a millisecond apart."""
    times = (to_datetime(T0 + number * 1_000).isoformat() for number in range(count))
    rows = (f"{time},Sensor {number % 3},{number}\n" for number, time in enumerate(times))
    return write(directory, HEADER + "".join(rows))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_goes_on_when_it_is_run_again(
    config: Path,
    plant: Plant,
    storage_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    file, kind = big(tmp_path, 20_000), kind_of(storage_url)
    append, commits = kind.append, list[Commit]()

    async def noted(self: Storage, commit: Commit) -> None:
        commits.append(commit)
        if len(commits) == 2:
            os.kill(os.getpid(), number)
        await append(self, commit)

    monkeypatch.setattr(kind, "append", noted)
    assert complaint("import", file, "--config", config) == "stopped: run it again to go on; nothing is stored twice"
    assert 8_000 <= len(held(storage_url)) < 20_000
    assert "were there already" in said("import", file, "--config", config)
    assert values(storage_url) == [float(value) for value in range(20_000)]


async def test_killed_it_goes_on_when_it_is_run_again(
    config: Path, plant: Plant, storage_url: str, tmp_path: Path
) -> None:
    file = big(tmp_path, 100_000)

    async with opened_storage(settings_for(storage_url, tmp_path)) as storage:
        async with started("import", file, "--config", config, cwd=tmp_path) as command:
            async with asyncio.timeout(60):
                while not await storage.fetch("SELECT 1 FROM datapoints LIMIT 1"):
                    continue
            await command.stop(signal.SIGKILL)
        part = await storage.count()
        assert 0 < part < 100_000
        again = await ended("import", file, "--config", config, cwd=tmp_path)
        assert again.err == f"imported {100_000 - part:,} readings; {part:,} were there already\n"
        assert await storage.count() == 100_000


async def test_a_server_goes_on_beside_it(server: Server, configure: Configure, tmp_path: Path) -> None:
    config = configure(server.settings.storage.url)
    file = big(tmp_path, 60_000)
    with file.open("a") as more:
        more.write("2026-01-01T00:00:00Z,New here,1\n")
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            body = {"datapoints": [server.reading(float(sent))]}
            async with server.client.post(
                f"{server.address}/api/v1/datapoints/batch", json=body, headers=server.headers()
            ) as response:
                assert response.status == 201
            sent += 1
            await asyncio.sleep(0.02)

    sender = asyncio.create_task(send())
    ended_so = await ended("import", file, "--create-events", "--config", config, cwd=tmp_path)
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    assert (ended_so.code, ended_so.err.splitlines()[-1]) == (0, "imported 60,001 readings")
    assert sent > 5
    storage = server.parts.storage
    ids = [row_id for (row_id,) in await storage.fetch("SELECT id FROM datapoints")]
    assert len(set(ids)) == len(ids) >= 60_001 + sent
    await until(lambda: any(event.name == "New here" for event in server.parts.catalog.current.events.values()))
