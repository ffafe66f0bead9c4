"""`webmacs export`: the readings that are meant, whole or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import files_in
from tests.cli.measured import SECOND, T0, inside, kind_of, put, store
from tests.cli.process import started
from tests.cli.runner import complaint, done, misuse, on_terminal, run, said
from tests.plant import Plant
from webmacs import experiments
from webmacs.catalog import Snapshot
from webmacs.export import HEADER
from webmacs.model import Datapoint
from webmacs.storage import records
from webmacs.storage.base import Storage

ROWS = [(f"Sensor {number % 3}", T0 + number * SECOND, number + 0.5) for number in range(30)]


@pytest.fixture
def measured(plant: Plant, storage_url: str) -> Plant:
    """The plant, with thirty readings of its three linked events in turn, a second apart."""
    store(storage_url, ROWS)
    return plant


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def exported(config: Path, *arguments: str) -> list[float]:
    """The values that come, in order."""
    return [float(row["value"]) for row in rows_of(done("export", "--config", config, *arguments))]


# -- what comes -----------------------------------------------------------------------------------------------------


def test_all_readings_come_in_order_of_time_as_the_contract_has_them(config: Path, measured: Plant) -> None:
    result = run("export", "--config", config)
    assert (result.exit_code, result.stderr) == (0, "exported 30 readings\n")
    lines = result.stdout_bytes.decode().split("\r\n")
    assert lines[0] == ",".join(HEADER)
    time, name, event, value, unit, datapoint = lines[2].split(",")
    assert (time, name, event) == ("2026-01-01T00:00:01.000000+00:00", "Sensor 1", measured.linked[1])
    assert (value, unit) == ("1.5", "V")
    assert datapoint.endswith(f"-{T0 + SECOND:x}")
    assert [float(line.split(",")[3]) for line in lines[1:-1]] == [value for _, _, value in ROWS]
    assert lines[-1] == ""


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (("--event", "Sensor 1"), range(1, 30, 3)),
        (("--event", "sensor 1", "--event", "r 2", "--event", "Sensor 1"), [n for n in range(30) if n % 3]),
        (("--event", "Spare"), []),
        (("--from", "2026-01-01T00:00:10Z"), range(10, 30)),
        (("--to", "2026-01-01T00:00:10"), range(10)),
        (("--from", "2026-01-01T01:00:10+01:00", "--to", "2026-01-01T00:00:12Z", "--event", "Sensor 1"), [10]),
        (("--to", "2026-01-01"), []),
    ],
)
def test_only_what_is_asked_for_comes(
    config: Path, measured: Plant, arguments: tuple[str, ...], numbers: list[int]
) -> None:
    assert exported(config, *arguments) == [number + 0.5 for number in numbers]


def test_of_an_experiment_its_own_readings_come(config: Path, plant: Plant, storage_url: str) -> None:
    async def run_twice(storage: Storage, _snapshot: Snapshot) -> None:
        await experiments.stop(storage, plant.experiment, now_us=T0)
        for name, start in (("Melt", 5), ("Cool", 15)):
            begun = await experiments.start(storage, name=name, now_us=T0 + start * SECOND)
            await experiments.stop(storage, begun, now_us=T0 + (start + 5) * SECOND)
        await put(storage, await records.snapshot(storage, T0), ROWS)

    inside(storage_url, run_twice)
    assert exported(config, "--experiment", "Melt") == [number + 0.5 for number in range(5, 10)]
    assert exported(config, "--experiment", "cool", "--event", "Sensor 0") == [15.5, 18.5]
    assert exported(config, "--experiment", "Cool", "--from", "2026-01-01T00:00:18Z") == [18.5, 19.5]


def test_of_nothing_there_is_a_header(config: Path, plant: Plant) -> None:
    assert done("export", "--config", config) == ",".join(HEADER) + "\n"  # as the runner translates line ends


# -- where it goes --------------------------------------------------------------------------------------------------


def test_it_goes_into_a_file_and_a_word_to_standard_error(config: Path, measured: Plant, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    result = run("export", "--config", config, "--output", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"exported 30 readings to {file}\n"
    assert file.read_bytes() == run("export", "--config", config, "--output", "-").stdout_bytes
    assert file.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def test_a_name_that_ends_in_gz_is_compressed_and_always_the_same(
    config: Path, measured: Plant, tmp_path: Path
) -> None:
    contents = []
    for file in (tmp_path / "1.csv.gz", tmp_path / "2.csv.gz"):
        said("export", "--config", config, "--output", file)
        contents.append(file.read_bytes())
    assert contents[0] == contents[1]
    assert gzip.decompress(contents[0]) == run("export", "--config", config).stdout_bytes


def test_behind_a_link_the_file_itself_is_replaced(config: Path, measured: Plant, tmp_path: Path) -> None:
    link = tmp_path / "latest.csv"
    link.symlink_to("all.csv")
    said("export", "--config", config, "--output", link)
    assert link.is_symlink()
    assert len(rows_of((tmp_path / "all.csv").read_text("utf-8"))) == 30


def test_what_is_no_file_is_written_to_and_stays(config: Path, measured: Plant, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        said("export", "--config", config, "--output", pipe)
        assert os.read(reader, 100).startswith(b"timestamp,")
    finally:
        os.close(reader)
    assert pipe.is_fifo()


# -- and when it does not -------------------------------------------------------------------------------------------


@pytest.fixture
def many(plant: Plant, storage_url: str) -> None:
    """Readings that take several steps to read."""
    store(storage_url, [("Sensor 0", T0 + number, 0.0) for number in range(9_000)])


def interrupt(url: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Send this process a signal in the middle: after a look at each event, and some of the readings."""
    kind = kind_of(url)
    read, calls = kind.history, list[object]()

    async def history(self: Storage, *arguments: Any, **options: Any) -> list[Datapoint]:
        calls.append(arguments)
        if len(calls) == 10:
            os.kill(os.getpid(), number)
        return await read(self, *arguments, **options)

    monkeypatch.setattr(kind, "history", history)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_what_was_there(
    config: Path, storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    file = tmp_path / "all.csv"
    file.write_text("before", "utf-8")
    there = files_in(tmp_path)
    interrupt(storage_url, monkeypatch, number)
    assert complaint("export", "--config", config, "--output", file) == "stopped: nothing was written"
    assert file.read_text("utf-8") == "before"
    assert [name for name in files_in(tmp_path) if name not in there and "test.db" not in name] == []


def test_a_place_that_cannot_be_written_is_named(config: Path, measured: Plant, tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "all.csv"
    said_so = complaint("export", "--config", config, "--output", file)
    assert said_so == f"cannot write {file}: no such file or directory"


def test_a_disk_that_is_full_is_said(config: Path, measured: Plant) -> None:
    assert complaint("export", "--config", config, "--output", "/dev/full").startswith(
        "cannot write /dev/full: no space"
    )


@pytest.mark.usefixtures("many")
async def test_who_reads_only_the_beginning_hears_no_complaint(config: Path, tmp_path: Path) -> None:
    async with started("export", "--config", config, cwd=tmp_path) as command:
        assert await command.line() == ",".join(HEADER) + "\r"
        command.hang_up()
        ended = await command.rest()
    assert (ended.code, ended.err) == (1, "")


@pytest.mark.usefixtures("many")
async def test_ctrl_c_ends_it_while_nobody_reads(config: Path, tmp_path: Path) -> None:
    async with started("export", "--config", config, cwd=tmp_path) as command:
        assert await command.line() == ",".join(HEADER) + "\r"  # the rest is more than a pipe holds
        code, _ = await command.stop(signal.SIGINT)
    assert code == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--event", "Nothing"), "no event is called 'Nothing'"),
        (("--event", "Sensor"), "'Sensor' may be 'Sensor 0', 'Sensor 1', 'Sensor 2'"),
        (("--experiment", "Nothing"), "no experiment is called 'Nothing'; there are 'Run 1'"),
    ],
)
def test_what_is_not_there_is_named(config: Path, plant: Plant, arguments: tuple[str, ...], words: str) -> None:
    assert complaint("export", "--config", config, *arguments).startswith(words)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "99999-01-01"])
def test_a_time_that_is_none_is_refused(nowhere: Path, text: str) -> None:
    assert "is no time like 2026-11-22" in misuse("export", "--config", nowhere, "--from", text)


def test_where_there_is_no_installation_it_is_said(nowhere: Path) -> None:
    assert "there is no installation yet" in complaint("export", "--config", nowhere)


@pytest.mark.usefixtures("many")
def test_people_see_how_far_it_is(config: Path, tmp_path: Path) -> None:
    shown = on_terminal("export", "--config", config, "--output", "all.csv", cwd=tmp_path, width=100)
    assert any("Exporting" in line and "%" in line for line in shown)
    assert shown[-1].endswith("exported 9,000 readings to all.csv")


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
