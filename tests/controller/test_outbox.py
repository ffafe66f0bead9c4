"""What goes next: live before backlog, the backlog not too fast, each batch in one place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.controller.fakes import FakeClock, reading, readings, values
from webmacs.controller.batch import Batch, Refused, Stored
from webmacs.controller.limits import SpoolLimits
from webmacs.controller.outbox import MAX_LIVE, Outbox
from webmacs.controller.refused import RefusedFile
from webmacs.controller.spool import Spool
from webmacs.errors import SpoolError

LIMITS = SpoolLimits(2**20, batch_readings=10, batch_bytes=64 * 1024)
LATER = Refused("Storage unavailable, batch not stored", retry=True)
NEVER = Refused("Batch refused by the storage", retry=False)


class Post:
    """An outbox, its spool and its clock."""

    def __init__(self, directory: Path, rate: float = 1e9) -> None:
        self.clock = FakeClock()
        self.directory = directory
        self.spool = Spool(directory, LIMITS, self.clock.boot)
        self.spool.open()
        self.refused = RefusedFile(directory, 1000)
        self.outbox = Outbox(self.spool, self.refused, rate, self.clock.monotonic)

    def take(self, most: int = 1000) -> list[Batch]:
        found: list[Batch] = []
        while len(found) < most and (batch := self.outbox.take()) is not None:
            found.append(batch)
        return found

    def store(self, batch: Batch) -> None:
        self.outbox.answered(batch, Stored(len(batch.readings)))


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    post = Post(tmp_path)
    yield post
    post.spool.close()


def test_what_comes_while_connected_goes_before_what_has_waited(post: Post) -> None:
    for value in range(3):
        post.outbox.put([reading(float(value))])
    post.outbox.connected()
    post.outbox.put([reading(10.0)])
    post.outbox.put([reading(11.0)])
    assert values(post.take()) == [10.0, 11.0, 0.0, 1.0, 2.0]


def test_what_has_waited_is_sent_no_faster_than_allowed_and_live_readings_pass_it(tmp_path: Path) -> None:
    post = Post(tmp_path, rate=100.0)
    post.outbox.put(readings(0, 1000))
    post.outbox.connected()
    sent = 0
    for _ in range(50):
        post.outbox.put([reading(5000.0)])
        batches = post.take()
        assert batches[0].readings[0].value == 5000.0
        sent += len(values(batches)) - 1
        post.clock.pass_s(0.1)
    assert 480 <= sent <= 540  # five seconds, and what is held in readiness
    post.spool.close()


def test_it_is_known_when_the_next_of_them_may_go(tmp_path: Path) -> None:
    post = Post(tmp_path, rate=100.0)
    post.outbox.put(readings(0, 100))
    post.outbox.connected()
    post.take()
    wait_s = post.outbox.due_s()
    assert wait_s is not None
    post.clock.pass_s(wait_s + 1e-6)
    assert post.outbox.due_s() is None
    assert len(post.take()) == 1
    post.spool.close()


def test_after_a_lost_connection_all_that_was_not_answered_is_sent_again(post: Post) -> None:
    post.outbox.connected()
    for value in range(4):
        post.outbox.put([reading(float(value))])
    first, second, third = post.take(3)
    post.store(second)
    post.outbox.lost()
    post.outbox.connected()
    again = post.take()
    assert values(again) == [0.0, 2.0, 3.0]
    assert [batch.batch_id for batch in again[:2]] == [first.batch_id, third.batch_id]


def test_an_answer_from_a_connection_that_is_lost_is_nobodys(post: Post) -> None:
    post.outbox.connected()
    post.outbox.put([reading(1.0)])
    (batch,) = post.take()
    post.outbox.lost()
    post.store(batch)
    assert values(post.take()) == [1.0]


def test_a_server_without_room_is_left_alone_for_a_moment(post: Post) -> None:
    post.outbox.connected()
    post.outbox.put([reading(1.0)])
    (batch,) = post.take()
    post.outbox.answered(batch, LATER)
    post.outbox.put([reading(2.0)])
    assert post.take() == []
    wait_s = post.outbox.due_s()
    assert wait_s is not None
    assert 0.1 <= wait_s <= 0.2
    post.clock.pass_s(0.2)
    assert sorted(values(post.take())) == [1.0, 2.0]
    assert post.outbox.totals.stored == 0


def test_what_is_refused_for_good_is_put_aside_and_counted(post: Post) -> None:
    post.outbox.connected()
    post.outbox.put(readings(0, 3))
    (batch,) = post.take()
    post.outbox.answered(batch, NEVER)
    assert (post.outbox.totals.refused, post.outbox.waiting) == (3, 0)
    assert batch.batch_id in (post.directory / "refused.jsonl").read_text()


def test_the_file_of_what_was_refused_is_bounded(post: Post) -> None:
    post.outbox.connected()
    for _ in range(100):
        post.outbox.put(readings(0, 10))
        (batch,) = post.take()
        post.outbox.answered(batch, NEVER)
    assert sum(path.stat().st_size for path in post.directory.glob("refused*")) < 4000


def test_more_live_batches_than_can_be_sent_become_backlog(post: Post) -> None:
    post.outbox.connected()
    for value in range(MAX_LIVE + 10):
        post.outbox.put([reading(float(value))])
    assert values(post.take()) == [*range(10, MAX_LIVE + 10), *range(10)]


def test_what_the_disk_does_not_take_is_counted_and_said_once(
    post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_readings: object) -> None:
        raise SpoolError("cannot write to the spool")

    monkeypatch.setattr(post.spool, "append", full)
    for _ in range(3):
        post.outbox.put(readings(0, 5))
    assert post.outbox.totals.not_kept == 15
    assert caplog.text.count("cannot write to the spool") == 1


def test_an_acknowledgement_that_cannot_be_noted_ends_nothing(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_batch: object) -> None:
        raise SpoolError("cannot note")

    post.outbox.connected()
    post.outbox.put([reading(1.0)])
    (batch,) = post.take()
    monkeypatch.setattr(post.spool, "acknowledge", full)
    post.store(batch)
    assert (post.outbox.totals.stored, post.outbox.problem) == (1, "cannot note")


class Traffic(RuleBasedStateMachine):
    """Readings, answers of all kinds and lost connections, in any order: in the end each was stored once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.post = Post(self.directory)
        self.under_way: list[Batch] = []
        self.server: dict[str, list[float]] = {}  # by batch_id, as a server keeps them
        self.refused: list[float] = []
        self.count = 0
        self.connected = False

    def teardown(self) -> None:
        """All is well in the end."""
        self.connect()
        while True:
            self.post.clock.pass_s(60.0)
            self.send(1000)
            if not self.under_way:
                break
            while self.under_way:
                self.answer(0, stored=True, told=True)
        stored = [value for batch in self.server.values() for value in batch]
        assert sorted(stored + self.refused) == list(range(self.count))
        assert self.post.outbox.waiting == 0
        self.post.spool.close()
        shutil.rmtree(self.directory)

    @rule(size=st.integers(1, 25))
    def measure(self, size: int) -> None:
        self.post.outbox.put(readings(self.count, size))
        self.count += size

    @rule()
    def connect(self) -> None:
        if not self.connected:
            self.connected = True
            self.post.outbox.connected()

    @precondition(lambda self: self.connected)
    @rule(most=st.integers(1, 10))
    def send(self, most: int) -> None:
        self.under_way += self.post.take(most)
        ids = [batch.batch_id for batch in self.under_way]
        assert len(set(ids)) == len(ids), "sent twice at a time"

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 9), stored=st.booleans(), told=st.booleans())
    def answer(self, which: int, *, stored: bool, told: bool) -> None:
        """The server stores a batch or not, and the answer arrives or not."""
        batch = self.under_way[which % len(self.under_way)]
        if stored:
            contents = [reading.value for reading in batch.readings]
            assert self.server.setdefault(batch.batch_id, contents) == contents, "another batch of the same id"
        if told:
            self.under_way.remove(batch)
            self.post.outbox.answered(batch, Stored(len(batch.readings)) if stored else LATER)

    @precondition(lambda self: self.under_way)
    @rule()
    def refuse(self) -> None:
        batch = self.under_way[0]
        if batch.batch_id not in self.server:
            self.under_way.remove(batch)
            self.post.outbox.answered(batch, NEVER)
            self.refused += [reading.value for reading in batch.readings]

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.connected = False
        self.under_way.clear()
        self.post.outbox.lost()

    @rule()
    def wait(self) -> None:
        self.post.clock.pass_s(1.0)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        held = self.post.outbox.waiting
        done = {value for batch in self.server.values() for value in batch} | set(self.refused)
        assert held >= self.count - len(done)


TestTraffic = Traffic.TestCase
