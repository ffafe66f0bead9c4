"""What controllers say of plugin instances."""

from __future__ import annotations

from webmacs.catalog import Catalog, Snapshot
from webmacs.metrics import Metrics
from webmacs.model import Identity, Plugin, Role, User
from webmacs.statuses import Report, Said, Status, Statuses
from webmacs.testing import START_US, ManualClock

USER = User(1, "u", "u@example.org", "u", Role.OPERATOR, 1, 0)
ANYBODY, FIRST_RIG = Identity(USER, None, jti="j"), Identity(USER, None, token_id=1, plugin_id=1)
QUIET_S = 10.0


class Office:
    """Statuses of two instances, on a clock that is moved."""

    def __init__(self) -> None:
        self.clock, self.metrics = ManualClock(), Metrics()
        rigs = tuple(Plugin(n, f"rig-{n}", "test", f"Rig {n}", False, True, None, None, 0) for n in (1, 2))

        async def fetch() -> Snapshot:
            return Snapshot(plugins=rigs)

        catalog = Catalog(fetch)
        catalog.current = Snapshot(plugins=rigs)
        self.statuses = Statuses(catalog, self.clock, QUIET_S, self.metrics)

    @property
    def ignored(self) -> int:
        return self.metrics.counter("statuses_ignored", "").value


def report(number: int, status: Status = Status.CONNECTED, message: str | None = None) -> Report:
    return Report(f"rig-{number}", status, message)


def test_the_last_report_counts() -> None:
    office = Office()
    assert office.statuses.of(1) is None
    assert office.statuses.hear([report(1), report(1, Status.ERROR, "no answer")], ANYBODY) == 2
    assert office.statuses.of(1) == Said(report(1, Status.ERROR, "no answer"), START_US, fresh=True)
    assert office.statuses.of(2) is None


def test_a_report_gets_old_whatever_the_clock_on_the_wall_says() -> None:
    office = Office()
    office.statuses.hear([report(1)], ANYBODY)
    for step_s in (-3600, 7200):
        office.clock.step(step_s)
        said = office.statuses.of(1)
        assert said is not None
        assert (said.fresh, said.time_us) == (True, START_US)
    office.clock.advance(QUIET_S)
    said = office.statuses.of(1)
    assert said is not None
    assert said.fresh
    office.clock.advance(0.001)
    said = office.statuses.of(1)
    assert said is not None
    assert not said.fresh


def test_who_speaks_for_one_instance_is_not_heard_about_another() -> None:
    office = Office()
    assert office.statuses.hear([report(1), report(2), report(3)], FIRST_RIG) == 1
    assert (office.statuses.of(2), office.ignored) == (None, 2)
    assert office.statuses.hear([report(2), report(3)], ANYBODY) == 1
    assert office.ignored == 3


def test_reports_go_with_their_instances() -> None:
    office = Office()
    office.statuses.hear([report(1), report(2)], ANYBODY)
    office.statuses.retain({2})
    assert office.statuses.of(1) is None
    assert office.statuses.of(2) is not None
