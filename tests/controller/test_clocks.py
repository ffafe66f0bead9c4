"""What time it was: clocks that jump, machines that boot in 1970, and a server that knows better."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.controller.fakes import NOON_NS, NS, FakeClock
from webmacs.controller.clocks import Clocks, MachineClock
from webmacs.controller.document import Document
from webmacs.controller.frames import Reading

TOLERANCE_S = 2.0
NEXT_BOOT = b"the next boot".ljust(16)


def read(clock: FakeClock) -> Reading:
    return Reading("event", 1.0, clock.wall_ns(), clock.mono_ns())


def test_a_clock_that_is_right_is_believed() -> None:
    clock = FakeClock()
    clocks = Clocks(clock, TOLERANCE_S)
    reading = read(clock)
    clocks.heard(clock.wall_ns() // 1000 + 1_900_000, 0.01)
    clock.pass_s(100)
    assert clocks.time_us(reading, clock.boot) == reading.wall_ns // 1000
    assert clocks.mended == 0


def test_readings_from_before_the_connection_get_the_servers_time() -> None:
    """A machine without a battery."""
    clock = FakeClock(wall_ns=0)
    clocks = Clocks(clock, TOLERANCE_S)
    first = read(clock)
    clock.pass_s(3600)
    second = read(clock)
    clocks.heard(NOON_NS // 1000, 0.01)
    assert clocks.time_us(first, clock.boot) == NOON_NS // 1000 - 3600 * 10**6
    assert clocks.time_us(second, clock.boot) == NOON_NS // 1000
    assert clocks.mended == 2


def test_a_clock_that_was_set_meanwhile_mends_what_was_measured_before() -> None:
    """As a time service does; no server has said anything."""
    clock = FakeClock(wall_ns=0)
    clocks = Clocks(clock, TOLERANCE_S)
    reading = read(clock)
    clock.pass_s(60)
    clock.set_wall(NOON_NS)
    assert clocks.time_us(reading, clock.boot) == NOON_NS // 1000 - 60 * 10**6


def test_a_clock_that_jumps_while_the_server_is_known_changes_no_times() -> None:
    clock = FakeClock()
    clocks = Clocks(clock, TOLERANCE_S)
    clocks.heard(NOON_NS // 1000, 0.01)
    clock.set_wall(NOON_NS + 86_400 * NS)
    clock.pass_s(10)
    assert clocks.time_us(read(clock), clock.boot) == NOON_NS // 1000 + 10 * 10**6
    assert clocks.server_us() == NOON_NS // 1000 + 10 * 10**6
    assert clocks.skew_s == 86_400


def test_readings_of_an_earlier_boot_are_mended_if_the_server_was_reached_in_it(tmp_path: Path) -> None:
    clock = FakeClock(wall_ns=0)
    clocks = Clocks(clock, TOLERANCE_S, Document(tmp_path / "clocks.json"))
    reading, boot = read(clock), clock.boot
    clock.pass_s(5)
    clocks.heard(NOON_NS // 1000, 0.01)
    clock.restart(0, NEXT_BOOT)
    clocks = Clocks(clock, TOLERANCE_S, Document(tmp_path / "clocks.json"))
    assert clocks.time_us(reading, boot) == NOON_NS // 1000 - 5 * 10**6
    assert clocks.untimed == 0


def test_readings_of_an_earlier_boot_that_nobody_can_time_go_as_they_are_and_are_counted() -> None:
    clock = FakeClock(wall_ns=0)
    clocks = Clocks(clock, TOLERANCE_S)
    lost, boot = read(clock), clock.boot
    clock.restart(NOON_NS, NEXT_BOOT)
    clocks.heard(NOON_NS // 1000, 0.01)
    assert clocks.time_us(lost, boot) == 0
    assert (clocks.untimed, clocks.mended) == (1, 0)


def test_what_is_known_well_is_not_given_up_for_what_is_known_roughly() -> None:
    clock = FakeClock()
    clocks = Clocks(clock, TOLERANCE_S)
    clocks.heard(NOON_NS // 1000, 0.01)
    clocks.heard(NOON_NS // 1000 + 400_000, 0.5)  # an HTTP answer has whole seconds
    assert clocks.server_us() == NOON_NS // 1000
    clocks.heard(NOON_NS // 1000 + 10_000_000, 0.5)  # but its clock was set
    assert clocks.server_us() == NOON_NS // 1000 + 10_000_000


def test_the_boots_that_are_remembered_are_bounded(tmp_path: Path) -> None:
    document = Document(tmp_path / "clocks.json")
    clock = FakeClock()
    for number in range(50):
        clock.restart(NOON_NS, number.to_bytes(16, "big"))
        Clocks(clock, TOLERANCE_S, document).heard(NOON_NS // 1000, 0.01)
    assert len(document.read()["offsets"]) == 16
    assert clock.boot.hex() in document.read()["offsets"]


@given(
    true_start=st.integers(NOON_NS // NS, 2 * NOON_NS // NS),
    wrong_by=st.lists(st.integers(-2_000_000_000, 2_000_000_000), min_size=1, max_size=6),
    heard_after=st.integers(0, 5),
)
def test_whatever_the_clock_shows_the_times_are_right_once_the_server_was_heard(
    true_start: int, wrong_by: list[int], heard_after: int
) -> None:
    """The wall clock is set again and again; one second passes between two readings."""
    clock = FakeClock(wall_ns=0, mono_ns=7 * NS)
    clocks = Clocks(clock, TOLERANCE_S)
    readings = []
    for number, wrong_s in enumerate(wrong_by):
        now_ns = (true_start + number) * NS
        clock.set_wall(now_ns + wrong_s * NS)
        if number == min(heard_after, len(wrong_by) - 1):
            clocks.heard(now_ns // 1000, 0.0)
        readings.append((read(clock), now_ns // 1000))
        clock.pass_s(1.0)
    for reading, true_us in readings:
        assert abs(clocks.time_us(reading, clock.boot) - true_us) <= TOLERANCE_S * 1e6


def test_the_machine_has_both_clocks() -> None:
    clock = MachineClock()
    assert len(clock.boot) == 16
    assert clock.boot == MachineClock().boot
    before = clock.mono_ns()
    assert 0 < before <= clock.mono_ns()
    assert clock.wall_ns() > NOON_NS // 2
