"""The spool: nothing lost, nothing doubled, the same batches again and again; and its bound."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.controller.fakes import reading, readings, values
from webmacs.controller.frames import Reading
from webmacs.controller.limits import SpoolLimits
from webmacs.controller.segment import Segment
from webmacs.controller.spool import Spool, Spooled
from webmacs.errors import SpoolError

BOOT = b"a run of machine"
LARGE = SpoolLimits(2**20, batch_readings=10, batch_bytes=64 * 1024, sync_s=1.0)
SMALL = SpoolLimits(64 * 1024, batch_readings=10, batch_bytes=64 * 1024, sync_s=1.0)


def opened(directory: Path, limits: SpoolLimits = LARGE) -> Spool:
    spool = Spool(directory, limits, BOOT)
    spool.open()
    return spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = opened(tmp_path)
    yield spool
    spool.close()


def all_of(spool: Spool) -> list[Spooled]:
    found = []
    while (batch := spool.take()) is not None:
        found.append(batch)
    return found


# -- in and out --------------------------------------------------------------------------------------------------------


def test_readings_come_out_in_the_order_in_which_they_went_in(spool: Spool) -> None:
    for first in range(0, 30, 3):
        spool.append(readings(first, 3))
    assert values(all_of(spool)) == list(range(30))
    assert spool.depth == 30


def test_a_batch_holds_no_more_than_a_message_may(tmp_path: Path) -> None:
    spool = opened(tmp_path, SpoolLimits(2**20, batch_readings=10, batch_bytes=1000))
    assert [len(batch.readings) for batch in spool.append(readings(0, 25, "x"))] == [9, 9, 7]  # of 107 bytes each
    assert [len(batch.readings) for batch in spool.append([reading(1.0, "e" * 2000)] * 2)] == [1, 1]
    spool.close()


def test_what_is_acknowledged_does_not_come_again(spool: Spool) -> None:
    first, second, third = (spool.append([reading(value)])[0] for value in (1.0, 2.0, 3.0))
    spool.acknowledge(second)
    assert values(all_of(spool)) == [1.0, 3.0]
    for batch in (first, third):
        spool.release(batch)
    assert values(all_of(spool)) == [1.0, 3.0]
    assert spool.depth == 2


def test_what_is_held_goes_to_nobody_else_until_it_is_released(spool: Spool) -> None:
    (batch,) = spool.append([reading(1.0)])
    spool.hold(batch)
    assert spool.take() is None
    spool.release(batch)
    again = spool.take()
    assert again == batch


def test_files_go_with_their_last_acknowledgement(tmp_path: Path) -> None:
    spool = opened(tmp_path, SMALL)
    batches = [batch for first in range(0, 2000, 10) for batch in spool.append(readings(first, 10))]
    assert len(list(tmp_path.glob("*.segment"))) > 2
    random.Random(1).shuffle(batches)
    for batch in batches:
        spool.acknowledge(batch)
    assert len(list(tmp_path.glob("*.segment"))) == 1  # which is written to
    spool.close()
    spool = opened(tmp_path, SMALL)
    assert list(tmp_path.glob("*.segment")) == list(tmp_path.glob("*.acks")) == []
    assert (spool.take(), spool.depth, spool.dropped) == (None, 0, 0)
    spool.close()


def test_a_batch_means_the_same_after_a_restart(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    before = spool.append(readings(0, 25))
    spool.close()
    spool = opened(tmp_path, SpoolLimits(2**20, batch_readings=3, batch_bytes=1000))  # other settings cut nothing anew
    assert all_of(spool) == before
    spool.close()


def test_no_two_batches_have_the_same_id(tmp_path: Path) -> None:
    ids = []
    for _ in range(3):
        spool = opened(tmp_path)
        ids += [batch.batch_id for batch in spool.append(readings(0, 30))]
        for batch in all_of(spool):
            spool.acknowledge(batch)
        spool.close()
    assert len(set(ids)) == len(ids) == 9
    assert all(len(batch_id) <= 64 for batch_id in ids)


# -- its bound ---------------------------------------------------------------------------------------------------------


def test_when_it_is_full_the_oldest_go_and_are_counted_for_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path, SMALL)
    for first in range(0, 10_000, 10):
        spool.append(readings(first, 10))
        assert spool.bytes <= SMALL.max_bytes
    assert spool.depth + spool.dropped == 10_000
    assert 0 < spool.dropped < 9_000
    assert values(all_of(spool)) == list(range(spool.dropped, 10_000))
    assert caplog.text.count("the oldest readings make room") == 1
    dropped = spool.dropped
    spool.close()
    spool = opened(tmp_path, SMALL)
    assert spool.dropped == dropped
    spool.close()


def test_a_crash_while_the_oldest_go_counts_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path, SMALL)
    monkeypatch.setattr(Segment, "delete", _crash)
    with pytest.raises(ZeroDivisionError):
        spool.append(readings(0, 10_000))
    monkeypatch.undo()
    dropped, depth = spool.dropped, spool.depth
    spool.close()
    spool = opened(tmp_path, SMALL)
    assert (spool.dropped, spool.depth) == (dropped, depth)
    spool.close()


def _crash(_segment: Segment) -> None:
    raise ZeroDivisionError


def test_an_answer_to_what_had_to_make_room_is_nobodys(tmp_path: Path) -> None:
    spool = opened(tmp_path, SMALL)
    spool.append(readings(0, 10))
    oldest = spool.take()
    assert oldest is not None
    for first in range(10, 5_000, 10):
        spool.append(readings(first, 10))
    depth = spool.depth
    spool.acknowledge(oldest)
    spool.release(oldest)
    assert spool.depth == depth
    assert values(all_of(spool)) == list(range(spool.dropped, 5_000))
    spool.close()


def test_of_a_disk_that_is_full_the_spool_takes_its_own_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path, SMALL)
    for first in range(0, 1000, 10):
        spool.append(readings(first, 10))
    left, write = 1, os.write

    def full(file: int, data: bytes) -> int:
        nonlocal left
        if left:
            left -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    (batch,) = spool.append([reading(1000.0)])
    assert spool.dropped > 0
    assert values(all_of(spool)) == list(range(spool.dropped, 1001))
    assert values([batch]) == [1000.0]
    spool.close()


def test_what_a_full_disk_took_half_of_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    spool.append([reading(1.0)])
    write = os.write
    calls = iter([lambda file, data: write(file, data[:7])])

    def half(file: int, data: bytes) -> int:
        call = next(calls, None)
        if call is None:
            raise OSError(errno.EIO, "Input/output error")
        return call(file, data)

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(SpoolError, match=r"cannot write to the spool .*: Input/output error; make room on its disk"):
        spool.append([reading(2.0)])
    monkeypatch.undo()
    spool.append([reading(3.0)])
    spool.close()
    spool = opened(tmp_path)
    assert values(all_of(spool)) == [1.0, 3.0]
    spool.close()


# -- who may have it, and in what state --------------------------------------------------------------------------------


def test_one_process_has_it_at_a_time(tmp_path: Path, spool: Spool) -> None:
    with pytest.raises(SpoolError, match=r"is in use: another controller runs on it, or give this one its own"):
        opened(tmp_path)
    spool.append([reading(1.0)])


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match=r"cannot use the spool .*file"):
        opened(tmp_path / "file" / "spool")


@pytest.mark.parametrize("what", [b"", b"WMSPOOL1", b"\0" * 100, random.Random(1).randbytes(100)], ids=range(4))
def test_a_file_without_a_beginning_is_removed(tmp_path: Path, what: bytes) -> None:
    (tmp_path / "0000000007.segment").write_bytes(what)
    spool = opened(tmp_path)
    assert (spool.take(), list(tmp_path.glob("*.segment"))) == (None, [])
    spool.append([reading(1.0)])
    assert (tmp_path / "0000000008.segment").exists()
    spool.close()


def test_damage_in_the_middle_costs_what_lies_behind_it_in_that_file(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    batches = [spool.append([reading(float(value))])[0] for value in range(5)]
    spool.close()
    (path,) = tmp_path.glob("*.segment")
    data = bytearray(path.read_bytes())
    data[batches[2].position.offset + 12] ^= 1
    path.write_bytes(data)
    spool = opened(tmp_path)
    assert values(all_of(spool)) == [0.0, 1.0]
    spool.close()


def test_damage_that_comes_while_it_runs_is_said_and_counted(
    tmp_path: Path, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    batches = [spool.append([reading(float(value))])[0] for value in range(5)]
    (path,) = tmp_path.glob("*.segment")
    with path.open("r+b") as file:
        file.seek(batches[2].position.offset + 12)
        file.write(b"\xff")
    assert values(all_of(spool)) == [0.0, 1.0]
    assert "is damaged at byte" in caplog.text
    assert spool.dropped == 5  # those that are taken, too: nobody knows yet what becomes of them
    spool.append([reading(9.0)])
    assert values(all_of(spool)) == [9.0]


async def test_what_is_synced_is_on_the_disk(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watched(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
        fsync(file)

    monkeypatch.setattr(os, "fsync", watched)
    spool.append([reading(1.0)])
    assert synced == []
    await spool.sync()
    assert sorted(synced) == sorted(["0000000001.segment", tmp_path.name])
    await spool.sync()
    assert len(synced) == 2


def test_where_each_append_is_to_be_on_the_disk_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    spool = opened(tmp_path, SpoolLimits(2**20, 10, 64 * 1024, sync_s=0))
    spool.append([reading(1.0)])
    assert len(synced) == 2
    spool.close()


def test_the_tally_can_be_read_by_people(tmp_path: Path) -> None:
    spool = opened(tmp_path, SMALL)
    for first in range(0, 3_000, 10):
        spool.append(readings(first, 10))
    assert json.loads((tmp_path / "tally.json").read_text())["dropped"] == spool.dropped > 0
    spool.close()


# -- anything in any order ---------------------------------------------------------------------------------------------


class Crashes(RuleBasedStateMachine):
    """Appends, takes, acknowledgements in any order, restarts, and crashes that tear what was not yet on the disk.

    The model: what was appended, in order, and what of it was acknowledged. A crash may tear off any number of the last
    frames of the file that is written to (as a power cut does; a killed process tears none), and the last
    acknowledgements of any file: those then come again, under their old ids.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.spool = opened(self.directory, LARGE)
        self.appended: dict[str, list[Reading]] = {}  # by batch_id, in order
        self.acknowledged: set[str] = set()
        self.taken: dict[str, Spooled] = {}
        self.count = 0

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.directory)

    @rule(sizes=st.lists(st.integers(1, 25), min_size=1, max_size=5), held=st.booleans())
    def append(self, sizes: list[int], held: bool) -> None:
        for size in sizes:
            for batch in self.spool.append(readings(self.count, size)):
                assert batch.batch_id not in self.appended
                self.appended[batch.batch_id] = list(batch.readings)
                if held:
                    self.spool.hold(batch)
                    self.taken[batch.batch_id] = batch
            self.count += size

    @rule(most=st.integers(1, 10))
    def take(self, most: int) -> None:
        """What is taken is the oldest that nobody has, and is what was appended under that id."""
        for _ in range(most):
            free = [each for each in self.appended if each not in self.acknowledged and each not in self.taken]
            batch = self.spool.take()
            assert (batch.batch_id if batch else None) == (free[0] if free else None)
            if batch is None:
                break
            assert list(batch.readings) == self.appended[batch.batch_id]
            self.taken[batch.batch_id] = batch

    @precondition(lambda self: self.taken)
    @rule(which=st.integers(0, 100))
    def acknowledge(self, which: int) -> None:
        batch = self._chosen(which)
        self.spool.acknowledge(batch)
        self.acknowledged.add(batch.batch_id)

    @precondition(lambda self: self.taken)
    @rule(which=st.integers(0, 100))
    def release(self, which: int) -> None:
        self.spool.release(self._chosen(which))

    def _chosen(self, which: int) -> Spooled:
        return self.taken.pop(list(self.taken)[which % len(self.taken)])

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self._begin()

    @rule(frames=st.integers(0, 400), acks=st.integers(0, 40))
    def crash(self, frames: int, acks: int) -> None:
        """The power is cut: so many bytes are missing at the ends of the files."""
        self.spool.close()
        newest = max(self.directory.glob("*.segment"), default=None)
        if newest is not None:
            os.truncate(newest, max(newest.stat().st_size - frames, 0))
        for path in self.directory.glob("*.acks"):
            os.truncate(path, max(path.stat().st_size - acks, 0))
        self._begin()
        there = {batch.batch_id for batch in all_of(self.spool)}
        self.spool.close()
        self._begin()
        missing = self.appended.keys() - there - self.acknowledged
        order = list(self.appended)
        torn = order[min((order.index(each) for each in missing), default=len(order)) :]
        assert set(torn) <= missing | self.acknowledged  # the end, and nothing in the middle
        self.acknowledged -= there  # whose acknowledgement is torn
        for each in missing:
            del self.appended[each]

    def _begin(self) -> None:
        self.spool = opened(self.directory, LARGE)
        self.taken.clear()

    @invariant()
    def the_depth_is_what_is_not_acknowledged(self) -> None:
        waiting = [self.appended[each] for each in self.appended if each not in self.acknowledged]
        assert self.spool.depth == sum(map(len, waiting))


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(max_examples=100, stateful_step_count=40)
